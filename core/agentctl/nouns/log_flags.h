#pragma once

// The flags that `service logs`, `container logs` and `plugin logs` share, and what they mean.

#include <cstdint>
#include <string>
#include <string_view>

#include "skep/env.h"
#include "skep/result.h"

namespace skep::ctl {

class Command;
struct Context;

struct LogFlags {
  bool follow = false;
  bool timestamps = false;
  std::string since;
  std::string tail = "all";
};

/// --follow and --tail; `tail_help` says of what the lines are.
void add_tail_flags(Command& command, LogFlags& flags, std::string tail_help);
/// Those, --timestamps and --since.
void add_log_flags(Command& command, LogFlags& flags, std::string tail_help);

/// Lines of --tail: -1 for "all".
Result<std::int64_t> parse_tail(const std::string& text);
/// The moment that `flag` ("--until") names. kInvalidArgument USAGE, as for every flag that cannot be read.
Result<WallTime> parse_moment_flag(Context& context, std::string_view flag, const std::string& text);
/// Moment of --since; 0 when it was not given.
Result<WallTime> parse_since(Context& context, const LogFlags& flags);

/// Fills follow, tail and since of a log request.
template <class Request>
Status fill_log_request(Context& context, const LogFlags& flags, Request& request) {
  SKEP_TRY_ASSIGN(const std::int64_t tail, parse_tail(flags.tail));
  SKEP_TRY_ASSIGN(const WallTime since, parse_since(context, flags));
  request.set_follow(flags.follow);
  request.set_tail(tail);
  request.set_since(since);
  return ok();
}

}  // namespace skep::ctl
