#pragma once

// Input that makes no sense is the normal case here: nobody reads what is logged about it.

#include <google/protobuf/stubs/logging.h>

#include <string_view>

#include "skep/log.h"

namespace skep::fuzz {

/// Once per process.
inline void be_quiet() {
  static const bool kQuiet = [] {
    log::set_sink([](LogLevel, std::string_view) {});
    google::protobuf::SetLogHandler(nullptr);
    return true;
  }();
  (void)kQuiet;
}

}  // namespace skep::fuzz
