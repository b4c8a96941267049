#include "core/agentctl/nouns/log_flags.h"

#include <fmt/format.h>

#include <utility>

#include "core/agentctl/command.h"
#include "core/agentctl/context.h"
#include "core/agentctl/flags/service_flags.h"
#include "core/agentctl/text.h"

namespace skep::ctl {

void add_tail_flags(Command& command, LogFlags& flags, std::string tail_help) {
  command.toggle("--follow,-f", flags.follow, "Go on as more is written");
  command.text("--tail,-n", flags.tail, "string", std::move(tail_help));
}

void add_log_flags(Command& command, LogFlags& flags, std::string tail_help) {
  add_tail_flags(command, flags, std::move(tail_help));
  command.toggle("--timestamps,-t", flags.timestamps, "Print when each line was written");
  command.text("--since", flags.since, "string",
               "From this time on: RFC 3339, or a duration before now (10m)");
}

Result<std::int64_t> parse_tail(const std::string& text) {
  if (text == "all" || text.starts_with('-')) {
    return -1;
  }
  auto number = parse_count(text);
  if (!number) {
    return Error{Code::kInvalidArgument,
                 fmt::format("--tail: '{}' is neither a number of lines nor 'all'", text), "USAGE"};
  }
  return static_cast<std::int64_t>(*number);
}

Result<WallTime> parse_moment_flag(Context& context, std::string_view flag, const std::string& text) {
  auto moment = parse_moment(text, context.clock.wall_now());
  return moment ? moment : std::move(moment).error().with_context(flag);
}

Result<WallTime> parse_since(Context& context, const LogFlags& flags) {
  return flags.since.empty() ? Result<WallTime>(WallTime{0}) : parse_moment_flag(context, "--since", flags.since);
}

}  // namespace skep::ctl
