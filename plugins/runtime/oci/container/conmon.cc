#include "plugins/runtime/oci/container/conmon.h"

#include <boost/json.hpp>
#include <charconv>

namespace skep::oci {
namespace {

namespace json = boost::json;

/// The text behind the last msg="..." of logrus lines, unescaped; else the whole text, trimmed.
std::string innermost_message(const std::string& text) {
  constexpr std::string_view kKey = "msg=\"";
  const auto at = text.rfind(kKey);
  std::string out;
  if (at == std::string::npos) {
    out = text;
  } else {
    for (std::size_t i = at + kKey.size(); i < text.size() && text[i] != '"'; ++i) {
      if (text[i] == '\\' && i + 1 < text.size()) {
        ++i;
      }
      out += text[i];
    }
  }
  while (!out.empty() && (out.back() == '\n' || out.back() == ' ')) {
    out.pop_back();
  }
  for (const std::string_view prefix :
       {"runc create failed: ", "runc run failed: ", "exec failed: ", "unable to start container process: ",
        "error during container init: "}) {
    if (out.starts_with(prefix)) {
      out.erase(0, prefix.size());
    }
  }
  return out;
}

/// What stands between the first pair of double quotes.
std::string quoted(const std::string& text) {
  const auto open = text.find('"');
  const auto close = open == std::string::npos ? open : text.find('"', open + 1);
  return close == std::string::npos ? std::string() : text.substr(open + 1, close - open - 1);
}

}  // namespace

std::vector<std::string> conmon_argv(const ConmonCommand& command) {
  std::vector<std::string> argv{command.conmon_path,
                                "--api-version", "1",
                                "-c", command.container_id,
                                "-u", command.container_id,
                                "-r", command.runtime_path,
                                "--runtime-arg", "--root=" + command.runtime_root,
                                "-b", command.bundle,
                                "-p", command.bundle + "/pid",
                                "-P", command.bundle + "/conmon.pid",
                                "--exit-dir", command.exit_dir,
                                "-l", "k8s-file:" + command.log_path,
                                "--log-level", "error",
                                "--full-attach",
                                "--no-sync-log"};
  if (command.tty) {
    argv.emplace_back("-t");
  }
  if (command.open_stdin) {
    argv.insert(argv.end(), {"-i", "--leave-stdin-open"});
  }
  return argv;
}

Result<int> parse_sync_line(const std::string& line) {
  boost::system::error_code error;
  const json::value parsed = json::parse(line, error);
  const json::object* object = error ? nullptr : parsed.if_object();
  const json::value* data = object == nullptr ? nullptr : object->if_contains("data");
  if (data == nullptr || !data->is_int64()) {
    return Error{Code::kInternal, "conmon answered '" + line.substr(0, 200) + "'", "CONMON_FAILED"};
  }
  if (data->get_int64() > 0) {
    return static_cast<int>(data->get_int64());
  }
  const json::value* message = object->if_contains("message");
  return Error{Code::kInternal,
               message != nullptr && message->is_string() ? std::string(message->get_string())
                                                          : "the OCI runtime failed without a word",
               "RUNTIME_FAILED"};
}

Error explain_runtime_error(const std::string& text, const std::string& command,
                            const std::string& runtime_path) {
  const std::string message = innermost_message(text);
  const auto has = [&message](std::string_view part) {
    return message.find(part) != std::string::npos;
  };
  if (message.starts_with("exec: ")) {
    const std::string program = quoted(message).empty() ? command : quoted(message);
    if (has("permission denied") || has("is a directory")) {
      return Error{Code::kInvalidArgument,
                   "command '" + program + "' cannot be executed: it is not an executable file",
                   "COMMAND_NOT_EXECUTABLE"};
    }
    return Error{Code::kInvalidArgument,
                 "command '" + program + "' not found in the container: name a program that is in "
                 "the image",
                 "COMMAND_NOT_FOUND"};
  }
  if (has("hybrid mode")) {
    return Error{Code::kFailedPrecondition,
                 "the OCI runtime '" + runtime_path + "' cannot work with the hybrid cgroups of this "
                 "machine: set runtime_path to runc",
                 "RUNTIME_UNSUITABLE"};
  }
  if (has("no space left on device")) {
    return Error{Code::kResourceExhausted, "no space left on the node's disk: " + message,
                 "DISK_FULL"};
  }
  if (has("error mounting") || has("mountpoint")) {
    return Error{Code::kInvalidArgument, "mount failed: " + message, "MOUNT_FAILED"};
  }
  return Error{Code::kInternal, "the OCI runtime '" + runtime_path + "' failed: " + message,
               "RUNTIME_FAILED"};
}

int exit_code_of_failed_start(const Error& error) {
  if (error.reason == "COMMAND_NOT_FOUND") {
    return 127;
  }
  return error.reason == "COMMAND_NOT_EXECUTABLE" ? 126 : 128;
}

std::optional<int> parse_exit_file(const std::string& text) {
  int code = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), code);
  if (parsed.ec != std::errc{}) {
    return std::nullopt;
  }
  return code;
}

}  // namespace skep::oci
