// What the sanitizers' runtimes are told, linked into every program of a sanitizer tree. Variables of the environment
// would not reach plugin hosts, which inherit none: there, each report of a race inside libzmq took seconds to make,
// until the agent took the plugin for hung and ended it; and a race of ours counted for nothing.

#define SKEP_TOLD extern "C" __attribute__((visibility("default"))) const char*  // the runtimes look for it by name

// NOLINTBEGIN(bugprone-reserved-identifier): these names are the runtimes'
#if defined(__SANITIZE_THREAD__)

SKEP_TOLD __tsan_default_options();
const char* __tsan_default_options() { return "second_deadlock_stack=1:halt_on_error=1"; }

// libzmq is not instrumented, so its lock-free queues order nothing in TSan's eyes. Only what happens inside it is
// ignored; messages are copied on both sides of it, and nothing of ours is shared through it.
SKEP_TOLD __tsan_default_suppressions();
const char* __tsan_default_suppressions() { return "called_from_lib:libzmq.so.5\nrace:libzmq.so.5\n"; }

#elif defined(__SANITIZE_ADDRESS__)

SKEP_TOLD __asan_default_options();
const char* __asan_default_options() { return "detect_stack_use_after_return=1:strict_string_checks=1"; }

#endif
// NOLINTEND(bugprone-reserved-identifier)
