#pragma once

// What a crash leaves in the log: systemd tells of the signal, only the process itself can tell which thread.

namespace skep::agentd {

/// From now on SIGSEGV, SIGBUS, SIGILL, SIGFPE and SIGABRT first write one sentence and a stack trace to stderr, then
/// end the process as they would have. In-process plugins run on threads named after them, so the sentence
/// names the plugin that was running. Call once, before threads exist.
void note_crashes();

}  // namespace skep::agentd
