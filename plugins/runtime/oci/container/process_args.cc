#include "plugins/runtime/oci/container/process_args.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <csignal>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>

namespace skep::oci {
namespace {

std::string name_of(const std::string& variable) {
  return variable.substr(0, variable.find('='));
}

/// Those for which the C library has another name.
constexpr std::array<std::pair<std::string_view, int>, 4> kSignalAliases{
    {{"CLD", SIGCHLD}, {"IOT", SIGABRT}, {"IO", SIGIO}, {"POLL", SIGIO}}};

/// RTMIN, RTMIN+1 to +30, RTMAX, RTMAX-1 to -30, as containers number them: glibc hides the first
/// two.
std::optional<int> realtime_signal(std::string_view name) {
  constexpr int kFirst = 34;
  constexpr int kLast = 64;
  const bool from_first = name.starts_with("RTMIN");
  if (!from_first && !name.starts_with("RTMAX")) {
    return std::nullopt;
  }
  name.remove_prefix(5);
  int offset = 0;
  if (!name.empty()) {
    const auto parsed = std::from_chars(name.data() + 1, name.data() + name.size(), offset);
    if (name.front() != (from_first ? '+' : '-') || parsed.ec != std::errc{} ||
        parsed.ptr != name.data() + name.size() || offset < 1 || offset > kLast - kFirst) {
      return std::nullopt;
    }
  }
  return from_first ? kFirst + offset : kLast - offset;
}

void set_variable(std::vector<std::string>& env, const std::string& variable) {
  const std::string name = name_of(variable);
  const auto same = std::find_if(env.begin(), env.end(), [&name](const std::string& other) {
    return name_of(other) == name;
  });
  if (variable.find('=') == std::string::npos) {
    if (same != env.end()) {
      env.erase(same);
    }
  } else if (same != env.end()) {
    *same = variable;
  } else {
    env.push_back(variable);
  }
}

}  // namespace

Result<std::vector<std::string>> resolve_args(const model::v1::ContainerSpec& spec,
                                              const runtime::v1::Image& image) {
  std::vector<std::string> args;
  const bool own_command = spec.command_size() > 0;
  const auto& entrypoint = own_command ? spec.command() : image.entrypoint();
  args.assign(entrypoint.begin(), entrypoint.end());
  if (spec.args_size() > 0) {
    args.insert(args.end(), spec.args().begin(), spec.args().end());
  } else if (!own_command) {
    args.insert(args.end(), image.command().begin(), image.command().end());
  }
  if (args.empty() || args.front().empty()) {
    return Error{Code::kInvalidArgument,
                 "no command to run: neither the image '" + spec.image() +
                     "' nor the service names one; give a command",
                 "NO_COMMAND"};
  }
  return args;
}

std::vector<std::string> resolve_env(const model::v1::ContainerSpec& spec,
                                     const runtime::v1::Image& image, const std::string& hostname) {
  std::vector<std::string> env{kDefaultPath, "HOSTNAME=" + hostname};
  if (spec.tty()) {
    env.emplace_back("TERM=xterm");
  }
  for (const std::string& variable : image.env()) {
    set_variable(env, variable);
  }
  for (const std::string& variable : spec.env()) {
    set_variable(env, variable);
  }
  return env;
}

Result<std::string> resolve_directory(const model::v1::ContainerSpec& spec,
                                      const runtime::v1::Image& image) {
  std::string directory = spec.directory().empty() ? image.directory() : spec.directory();
  if (directory.empty()) {
    directory = "/";
  }
  if (directory.front() != '/') {
    return Error{Code::kInvalidArgument,
                 "working directory '" + directory + "' is not absolute: begin it with '/'",
                 "BAD_DIRECTORY"};
  }
  return directory;
}

Result<int> parse_signal(const std::string& text) {
  int number = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  if (parsed.ec == std::errc{} && parsed.ptr == text.data() + text.size() && number > 0 &&
      number <= SIGRTMAX) {
    return number;
  }
  std::string name = text;
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  if (name.starts_with("SIG")) {
    name.erase(0, 3);
  }
  if (const auto number_of_realtime = realtime_signal(name)) {
    return *number_of_realtime;
  }
  for (const auto& [alias, number_of_alias] : kSignalAliases) {
    if (name == alias) {
      return number_of_alias;
    }
  }
  for (int candidate = 1; candidate < 32; ++candidate) {
    const char* abbreviation = ::sigabbrev_np(candidate);
    if (abbreviation != nullptr && name == abbreviation) {
      return candidate;
    }
  }
  return Error{Code::kInvalidArgument,
               "unknown signal '" + text + "': use a name such as SIGTERM or a number from 1 to 64",
               "BAD_SIGNAL"};
}

Result<int> resolve_stop_signal(const model::v1::ContainerSpec& spec,
                                const runtime::v1::Image& image) {
  if (!spec.stop_signal().empty()) {
    return parse_signal(spec.stop_signal());
  }
  if (!image.stop_signal().empty()) {
    return parse_signal(image.stop_signal()).value_or(SIGTERM);
  }
  return SIGTERM;
}

}  // namespace skep::oci
