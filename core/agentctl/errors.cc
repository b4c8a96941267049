#include "core/agentctl/errors.h"

#include <fmt/format.h>

#include <ostream>
#include <string_view>

#include "core/agentctl/command.h"
#include "core/agentctl/context.h"
#include "core/model/codes.h"

namespace skep::ctl {

int exit_code_of(const Error& error) {
  return error.reason == kUsageReason || error.reason == "BAD_TEMPLATE" ||
                 error.reason == "NO_SUCH_FIELD"
             ? kExitUsage
             : model::exit_code(error.code);
}

namespace {

/// What the code alone would tell wrongly. "": the message says it all.
struct Step {
  std::string_view reason;
  std::string_view step;
};

constexpr std::string_view kClocks = "set the clocks of both machines";
constexpr Step kSteps[] = {
    {"ANOTHER_NODE", "give the address of that node itself"},
    {"BACKUP_DAMAGED", ""},
    {"CERTIFICATE_EXPIRED", kClocks},
    {"CERTIFICATE_NOT_YET_VALID", kClocks},
    {"JOIN_TIMEOUT", "see that it is a manager's address, and that nothing on the way blocks its port"},
    {"NAME_NOT_RESOLVED", "give the address instead of the name, or see to the name service"},
    {"NO_CONSENSUS", "'agentctl doctor' and the agent's log tell more"},
    {"NO_FREE_PORT", ""},
    {"OUTCOME_UNKNOWN", ""},
    {"TASKS_LEFT", "'agentctl node ps' on a manager shows them; a longer --wait gives them more time"},
    {"TLS_FAILED", "see that a manager of this swarm listens at that address"},
    {"TOO_MANY_BACKUPS", ""},
    {"TOO_MANY_TASKS", ""},
    {"WATCH_TOO_SLOW", ""},
};

}  // namespace

std::string next_step(const Error& error) {
  if (error.message.find("agentctl ") != std::string::npos ||
      error.message.find("--help") != std::string::npos) {
    return "";  // it says so itself
  }
  for (const Step& step : kSteps) {
    if (error.reason == step.reason) {
      return std::string(step.step);
    }
  }
  switch (error.code) {
    case Code::kConflict:
      return "somebody changed it at the same time: run the command again";
    case Code::kPermissionDenied:
      return error.reason.empty() ? "run it as root" : "";  // else it is refused for what it says, to root too
    case Code::kUnauthenticated:
      // Those of nodes (certificates, tokens) bear a reason, those of registries none.
      return error.reason.empty() ? "check user name and password, or log in with 'agentctl login REGISTRY'" : "";
    case Code::kTimeout:
      return "it may still take effect: look with the matching 'ls' or 'ps' before you repeat it";
    case Code::kResourceExhausted:
      return error.message.find("again") != std::string::npos ? ""  // it says so itself
                                                              : "free what is full and run the command again";
    case Code::kDataLoss:
      return "keep the files as they are and look into the agent's log";
    case Code::kInternal:
      return "this is a defect: the agent's log tells more, please report it";
    case Code::kUnavailable:
      return "try again in a moment; 'agentctl doctor' looks for what is wrong";
    case Code::kInvalidArgument:
    case Code::kNotFound:
    case Code::kAlreadyExists:
    case Code::kFailedPrecondition:
    case Code::kCancelled:
    case Code::kUnimplemented:
      break;
  }
  return "";
}

std::string error_text(const Error& error) {
  const std::string step = next_step(error);
  return fmt::format("Error: {}{}\n", error.message, step.empty() ? "" : "\n  " + step);
}

void print_error(Context& context, const Error& error) {
  std::string text = error_text(error);
  if (context.terminal.errors && context.variable("NO_COLOR").empty()) {
    text = "\x1b[31mError:\x1b[0m" + text.substr(6);
  }
  context.out.flush();
  context.err << text << std::flush;
}

}  // namespace skep::ctl
