#pragma once

// spdlog behind skep/log.h: the daemon's and its plugins' lines on stderr, where systemd or the
// person at the terminal reads them.

#include "skep/log.h"

namespace skep::agentd {

void start_logging(LogLevel level);
/// Writes out what is buffered.
void stop_logging();

}  // namespace skep::agentd
