#include "core/agentctl/errors.h"

#include <fmt/format.h>

#include <ostream>

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

std::string next_step(const Error& error) {
  if (error.message.find("agentctl ") != std::string::npos ||
      error.message.find("--help") != std::string::npos) {
    return "";  // it says so itself
  }
  switch (error.code) {
    case Code::kConflict:
      return "somebody changed it at the same time: run the command again";
    case Code::kPermissionDenied:
      return "run it as root";
    case Code::kUnauthenticated:
      return "check user name and password, or log in with 'agentctl login REGISTRY'";
    case Code::kTimeout:
      return "it may still take effect: look with the matching 'ls' or 'ps' before you repeat it";
    case Code::kResourceExhausted:
      return error.reason == "TOO_MANY_TASKS" ? ""  // it says so itself
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
