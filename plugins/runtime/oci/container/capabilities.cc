#include "plugins/runtime/oci/container/capabilities.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <optional>

namespace skep::oci {
namespace {

constexpr std::array<const char*, 41> kNames{
    "CHOWN",          "DAC_OVERRIDE",  "DAC_READ_SEARCH",  "FOWNER",       "FSETID",
    "KILL",           "SETGID",        "SETUID",           "SETPCAP",      "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN",      "NET_RAW",      "IPC_LOCK",
    "IPC_OWNER",      "SYS_MODULE",    "SYS_RAWIO",        "SYS_CHROOT",   "SYS_PTRACE",
    "SYS_PACCT",      "SYS_ADMIN",     "SYS_BOOT",         "SYS_NICE",     "SYS_RESOURCE",
    "SYS_TIME",       "SYS_TTY_CONFIG", "MKNOD",           "LEASE",        "AUDIT_WRITE",
    "AUDIT_CONTROL",  "SETFCAP",       "MAC_OVERRIDE",     "MAC_ADMIN",    "SYSLOG",
    "WAKE_ALARM",     "BLOCK_SUSPEND", "AUDIT_READ",       "PERFMON",      "BPF",
    "CHECKPOINT_RESTORE"};

constexpr std::array<const char*, 14> kDefaults{
    "CHOWN",   "DAC_OVERRIDE", "FSETID",           "FOWNER",     "MKNOD", "NET_RAW",     "SETGID",
    "SETUID",  "SETFCAP",      "SETPCAP",          "NET_BIND_SERVICE", "SYS_CHROOT", "KILL",
    "AUDIT_WRITE"};

std::string normalise(const std::string& text) {
  std::string name = text;
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  if (name.starts_with("CAP_")) {
    name.erase(0, 4);
  }
  return name;
}

Result<CapabilitySet> bit_of(const std::string& text) {
  const std::string name = normalise(text);
  if (name == "ALL") {
    return kAllCapabilities;
  }
  const auto it = std::find(kNames.begin(), kNames.end(), name);
  if (it == kNames.end()) {
    return Error{Code::kInvalidArgument,
                 "unknown capability '" + text + "': see capabilities(7), for example NET_ADMIN",
                 "UNKNOWN_CAPABILITY"};
  }
  return CapabilitySet{1} << (it - kNames.begin());
}

CapabilitySet default_set() {
  CapabilitySet set = 0;
  for (const char* name : kDefaults) {
    set |= bit_of(name).value_or(0);
  }
  return set;
}

}  // namespace

Result<std::vector<std::string>> resolve_capabilities(const std::vector<std::string>& add,
                                                      const std::vector<std::string>& drop,
                                                      CapabilitySet available) {
  CapabilitySet added = 0;
  CapabilitySet dropped = 0;
  for (const std::string& name : add) {
    SKEP_TRY_ASSIGN(const CapabilitySet bit, bit_of(name));
    added |= bit;
    if (bit != kAllCapabilities && (bit & available) == 0) {
      return Error{Code::kFailedPrecondition,
                   "capability '" + name + "' cannot be given: the agent itself does not have it",
                   "CAPABILITY_UNAVAILABLE"};
    }
  }
  bool drop_all = false;
  for (const std::string& name : drop) {
    SKEP_TRY_ASSIGN(const CapabilitySet bit, bit_of(name));
    drop_all = drop_all || bit == kAllCapabilities;
    dropped |= bit == kAllCapabilities ? 0 : bit;
  }
  const CapabilitySet base = drop_all ? 0 : default_set();
  const CapabilitySet chosen = ((base | added) & ~dropped) & available;
  std::vector<std::string> names;
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    if ((chosen & (CapabilitySet{1} << i)) != 0) {
      names.push_back("CAP_" + std::string(kNames[i]));
    }
  }
  return names;
}

CapabilitySet parse_bounding_set(const std::string& status) {
  constexpr std::string_view kKey = "CapBnd:";
  const auto at = status.find(kKey);
  if (at == std::string::npos) {
    return kAllCapabilities;
  }
  const auto first = status.find_first_not_of(" \t", at + kKey.size());
  CapabilitySet set = 0;
  if (first != std::string::npos) {
    std::from_chars(status.data() + first, status.data() + status.size(), set, 16);
  }
  return set & kAllCapabilities;
}

}  // namespace skep::oci
