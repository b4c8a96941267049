// Plugins whose tables are wrong, made without the SDK's glue. BROKEN_CASE picks the mistake.
#include <cstdint>

#include "skep/abi.h"

#define FINE 0
#define WRONG_ABI 1
#define NULL_ENTRY 2
#define NULL_FUNCTIONS 3
#define NO_INSTANCE 4
#define ID_MISMATCH 5
#define NO_ENTRY 6
#define EXPORTS_TOO_MUCH 7

#if BROKEN_CASE == EXPORTS_TOO_MUCH
extern "C" SKEP_EXPORT int broken_helper();
extern "C" SKEP_EXPORT int broken_helper() { return 1; }
#endif

#if BROKEN_CASE != NO_ENTRY
namespace {

const skep_plugin kPlugin = {
    sizeof(skep_plugin),
    nullptr,
#if BROKEN_CASE == NULL_FUNCTIONS
    nullptr,
    nullptr,
#else
    [](void*, skep_bytes) { return std::int32_t{0}; },
    [](void*, skep_bytes, skep_bytes) {},
#endif
    [](void*) {},
    [](void*) {},
    [](void*, const char*) -> const void* { return nullptr; },
};

[[maybe_unused]] const skep_plugin* make(const skep_host* /*host*/) {
  return BROKEN_CASE == NO_INSTANCE ? nullptr : &kPlugin;
}

}  // namespace

extern "C" SKEP_EXPORT const skep_entry skep_plugin_entry_v1 = {
    sizeof(skep_entry),
    BROKEN_CASE == WRONG_ABI ? 9 : SKEP_ABI_MAJOR,
    SKEP_ABI_MINOR,
    BROKEN_CASE == ID_MISMATCH ? "somebody-else" : BROKEN_ID,
    "1.0.0",
    {nullptr, 0},
#if BROKEN_CASE == NULL_ENTRY
    nullptr,
#else
    make,
#endif
};
#endif
