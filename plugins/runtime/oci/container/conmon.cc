#include "plugins/runtime/oci/container/conmon.h"

#include <algorithm>
#include <array>
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

bool has(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

/// What stands between `before` and `after`; "" when one of them is not there.
std::string between(const std::string& text, std::string_view before, std::string_view after) {
  const auto open = text.find(before);
  const auto from = open == std::string::npos ? open : open + before.size();
  const auto close = from == std::string::npos ? from : text.find(after, from);
  return close == std::string::npos ? std::string() : text.substr(from, close - from);
}

Error wrong(std::string message, const char* reason) {
  return Error{Code::kInvalidArgument, std::move(message), reason};
}

/// `message` begins with "exec: ": the kernel or the search in $PATH refused the program.
Error explain_command(const std::string& message, const std::string& command) {
  const std::string program = quoted(message).empty() ? command : quoted(message);
  if (has(message, "permission denied") || has(message, "is a directory")) {
    return wrong("command '" + program + "' cannot be executed: it is not an executable file",
                 "COMMAND_NOT_EXECUTABLE");
  }
  return wrong("command '" + program +
                   "' not found in the container: name a program that is in "
                   "the image",
               "COMMAND_NOT_FOUND");
}

/// A directory that a new container lacks is made by the runtime; one that an exec names is not.
std::optional<Error> explain_directory(const std::string& message) {
  constexpr std::string_view kChdir = "chdir to cwd (\"";
  constexpr std::string_view kWhy = "\") set in config.json failed: ";
  constexpr std::string_view kNotADirectory = ": not a directory";
  if (message.starts_with(kChdir) && has(message, kWhy)) {
    return wrong("working directory '" + between(message, kChdir, kWhy) +
                     "' cannot be used: " + message.substr(message.rfind(kWhy) + kWhy.size()) +
                     "; name a directory that is in the container",
                 "BAD_DIRECTORY");
  }
  if (message.starts_with("mkdir /") && message.ends_with(kNotADirectory)) {
    return wrong("working directory cannot be made: '" +
                     between(message, "mkdir ", kNotADirectory) +
                     "' of the image is not a directory; name another one",
                 "BAD_DIRECTORY");
  }
  return std::nullopt;
}

std::optional<Error> explain_sysctl(const std::string& message) {
  constexpr std::string_view kFolder = " /proc/sys/";
  if (message.starts_with("sysctl \"")) {
    return wrong("sysctl '" + quoted(message) + "' is not separate per container: leave it out",
                 "BAD_SYSCTL");
  }
  std::string key = between(message, kFolder, ": ");
  std::replace(key.begin(), key.end(), '/', '.');
  if (message.starts_with("open /proc/sys/") && message.ends_with("no such file or directory")) {
    return wrong(
        "sysctl '" + key + "' does not exist in the kernel of this node: see `sysctl -a` there",
        "BAD_SYSCTL");
  }
  if (message.starts_with("write /proc/sys/")) {
    return wrong("sysctl '" + key +
                     "': the kernel refuses its value: " + message.substr(message.rfind(": ") + 2),
                 "BAD_SYSCTL");
  }
  return std::nullopt;
}

/// "... error setting rlimit type NUMBER: WHY", numbered as in getrlimit(2) on x86 and arm.
std::optional<Error> explain_ulimit(const std::string& message) {
  constexpr std::array<const char*, 16> kNames{
      "cpu",     "fsize", "data",  "stack",      "core",     "rss",  "nproc",  "nofile",
      "memlock", "as",    "locks", "sigpending", "msgqueue", "nice", "rtprio", "rttime"};
  constexpr std::string_view kKey = "error setting rlimit type ";
  const std::string number = between(message, kKey, ": ");
  std::size_t type = kNames.size();
  std::from_chars(number.data(), number.data() + number.size(), type);
  if (type >= kNames.size()) {
    return std::nullopt;
  }
  return wrong(std::string("ulimit '") + kNames[type] + "': the kernel refuses its value: " +
                   message.substr(message.rfind(": ") + 2) + "; is it above what the node allows?",
               "BAD_ULIMIT");
}

/// What whoever wrote the service or the exec has to change; nothing when it is not theirs.
std::optional<Error> explain_wish(const std::string& message) {
  for (const auto explain : {explain_directory, explain_sysctl, explain_ulimit}) {
    if (auto error = explain(message)) {
      return error;
    }
  }
  if (message.starts_with("environment variable ") ||
      message.starts_with("invalid environment variable")) {
    const std::string entry = quoted(message);  // a value may be a secret: only the name is said
    return wrong("environment variable '" + entry.substr(0, entry.find('=')) +
                     "' is invalid: write NAME=VALUE",
                 "BAD_ENV");
  }
  if (message.starts_with("sethostname: ")) {
    return wrong("hostname is refused by the kernel: use at most 64 characters", "BAD_HOSTNAME");
  }
  if (has(message, "unable to set memory limit") || has(message, "memory limit too low")) {
    return wrong("memory limit is too low for a container to start: raise it (" + message + ")",
                 "BAD_RESOURCES");
  }
  if (has(message, "error mounting") || has(message, "mountpoint")) {
    return wrong("mount failed: " + message, "MOUNT_FAILED");
  }
  return std::nullopt;
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
  if (message.starts_with("exec: ")) {
    return explain_command(message, command);
  }
  if (has(message, "hybrid mode")) {
    return Error{Code::kFailedPrecondition,
                 "the OCI runtime '" + runtime_path + "' cannot work with the hybrid cgroups of this "
                 "machine: set runtime_path to runc",
                 "RUNTIME_UNSUITABLE"};
  }
  if (has(message, "no space left on device")) {
    return Error{Code::kResourceExhausted, "no space left on the node's disk: " + message,
                 "DISK_FULL"};
  }
  if (message.starts_with("cannot exec in a ")) {  // "paused container", "stopped container"
    return Error{Code::kFailedPrecondition, "the container does not run", "NOT_RUNNING"};
  }
  if (auto error = explain_wish(message)) {
    return *std::move(error);
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
