#include "core/model/kernel_names.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <string>
#include <vector>

#include "core/model/suggest.h"

namespace skep::model {

namespace {

constexpr int kSignalMax = 64;
constexpr int kRealtimeOffsetMax = 30;  // RTMIN is 34, RTMAX is 64: glibc keeps two for itself

constexpr std::array<std::string_view, 34> kSignals{
    "HUP",    "INT",  "QUIT",  "ILL",  "TRAP", "ABRT", "IOT",  "BUS",    "FPE",
    "KILL",   "USR1", "SEGV",  "USR2", "PIPE", "ALRM", "TERM", "STKFLT", "CHLD",
    "CLD",    "CONT", "STOP",  "TSTP", "TTIN", "TTOU", "URG",  "XCPU",   "XFSZ",
    "VTALRM", "PROF", "WINCH", "POLL", "IO",   "PWR",  "SYS"};

constexpr std::array<std::string_view, 41> kCapabilities{
    "AUDIT_CONTROL",   "AUDIT_READ",   "AUDIT_WRITE",
    "BLOCK_SUSPEND",   "BPF",          "CHECKPOINT_RESTORE",
    "CHOWN",           "DAC_OVERRIDE", "DAC_READ_SEARCH",
    "FOWNER",          "FSETID",       "IPC_LOCK",
    "IPC_OWNER",       "KILL",         "LEASE",
    "LINUX_IMMUTABLE", "MAC_ADMIN",    "MAC_OVERRIDE",
    "MKNOD",           "NET_ADMIN",    "NET_BIND_SERVICE",
    "NET_BROADCAST",   "NET_RAW",      "PERFMON",
    "SETFCAP",         "SETGID",       "SETPCAP",
    "SETUID",          "SYSLOG",       "SYS_ADMIN",
    "SYS_BOOT",        "SYS_CHROOT",   "SYS_MODULE",
    "SYS_NICE",        "SYS_PACCT",    "SYS_PTRACE",
    "SYS_RAWIO",       "SYS_RESOURCE", "SYS_TIME",
    "SYS_TTY_CONFIG",  "WAKE_ALARM"};

constexpr std::array<std::string_view, 16> kUlimits{
    "as",   "core",   "cpu",   "data", "fsize",  "locks",  "memlock",    "msgqueue",
    "nice", "nofile", "nproc", "rss",  "rtprio", "rttime", "sigpending", "stack"};

constexpr std::array<std::string_view, 8> kIpcSysctls{
    "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem",
    "kernel.shmall", "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced"};

template <std::size_t N>
bool contains(const std::array<std::string_view, N>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

template <std::size_t N>
std::string joined(const std::array<std::string_view, N>& names) {
  std::string out;
  for (const std::string_view name : names) {
    out += (out.empty() ? "" : ", ") + std::string(name);
  }
  return out;
}

/// "; did you mean 'x'?" when at most a third of the letters differ, else "".
template <std::size_t N>
std::string suggested(std::string_view given, const std::array<std::string_view, N>& names) {
  const std::string name = nearest(given, std::vector<std::string>(names.begin(), names.end()));
  return name.empty() || edit_distance(given, name) * 3 > given.size()
             ? ""
             : "; did you mean '" + name + "'?";
}

/// `text` in upper case, without `prefix`.
std::string bare(std::string_view text, std::string_view prefix) {
  std::string name(text);
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return name.starts_with(prefix) ? name.substr(prefix.size()) : name;
}

/// Whether `text` is a number from 1 to `max`, in digits only.
bool is_number_to(std::string_view text, int max) {
  int number = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  return parsed.ec == std::errc{} && parsed.ptr == text.data() + text.size() && number > 0 &&
         number <= max;
}

bool is_realtime(std::string_view name) {
  if (!name.starts_with("RTMIN") && !name.starts_with("RTMAX")) {
    return false;
  }
  const char sign = name.starts_with("RTMIN") ? '+' : '-';
  name.remove_prefix(5);
  return name.empty() || (name.front() == sign && is_number_to(name.substr(1), kRealtimeOffsetMax));
}

Error invalid(std::string message) {
  return Error{Code::kInvalidArgument, std::move(message), "INVALID_SPEC"};
}

}  // namespace

Status validate_stop_signal(std::string_view text) {
  const std::string name = bare(text, "SIG");
  if (is_number_to(text, kSignalMax) || contains(kSignals, name) || is_realtime(name)) {
    return ok();
  }
  return invalid("stop signal '" + std::string(text) +
                 "' is unknown: use a number from 1 to 64, RTMIN+n, RTMAX-n or one of " +
                 joined(kSignals) + suggested(name, kSignals));
}

Status validate_capability(std::string_view text) {
  const std::string name = bare(text, "CAP_");
  if (name == "ALL" || contains(kCapabilities, name)) {
    return ok();
  }
  return invalid("capability '" + std::string(text) +
                 "' is unknown: use ALL or one of capabilities(7), " + joined(kCapabilities) +
                 suggested(name, kCapabilities));
}

Status validate_ulimit_name(std::string_view name) {
  if (contains(kUlimits, name)) {
    return ok();
  }
  return invalid("ulimit '" + std::string(name) + "' is unknown: use one of " + joined(kUlimits) +
                 suggested(name, kUlimits));
}

Status validate_sysctl(std::string_view key, std::string_view value) {
  const auto below = [key](std::string_view prefix) {
    return key.starts_with(prefix) && key.size() > prefix.size();
  };
  if (!below("net.") && !below("fs.mqueue.") && !contains(kIpcSysctls, key)) {
    return invalid("sysctl '" + std::string(key) +
                   "' cannot be set for a container: write KEY=VALUE with a key of net.*, "
                   "fs.mqueue.*, " +
                   joined(kIpcSysctls) + suggested(key, kIpcSysctls));
  }
  if (value.empty()) {
    return invalid("sysctl '" + std::string(key) + "' has no value: write KEY=VALUE");
  }
  return ok();
}

}  // namespace skep::model
