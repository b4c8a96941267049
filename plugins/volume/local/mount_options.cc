#include "plugins/volume/local/mount_options.h"

#include <sys/mount.h>

#include <algorithm>
#include <string_view>

namespace skep::local {
namespace {

struct Flag {
  std::string_view name;
  unsigned long set;
  unsigned long clear;
};

constexpr Flag kFlags[] = {
    {"defaults", 0, 0},
    {"ro", MS_RDONLY, 0},
    {"rw", 0, MS_RDONLY},
    {"nosuid", MS_NOSUID, 0},
    {"suid", 0, MS_NOSUID},
    {"nodev", MS_NODEV, 0},
    {"dev", 0, MS_NODEV},
    {"noexec", MS_NOEXEC, 0},
    {"exec", 0, MS_NOEXEC},
    {"sync", MS_SYNCHRONOUS, 0},
    {"async", 0, MS_SYNCHRONOUS},
    {"dirsync", MS_DIRSYNC, 0},
    {"mand", MS_MANDLOCK, 0},
    {"nomand", 0, MS_MANDLOCK},
    {"noatime", MS_NOATIME, 0},
    {"atime", 0, MS_NOATIME},
    {"nodiratime", MS_NODIRATIME, 0},
    {"diratime", 0, MS_NODIRATIME},
    {"relatime", MS_RELATIME, 0},
    {"norelatime", 0, MS_RELATIME},
    {"strictatime", MS_STRICTATIME, 0},
    {"bind", MS_BIND, 0},
    {"rbind", MS_BIND | MS_REC, 0},
};

Error invalid(std::string message) {
  return Error{Code::kInvalidArgument, std::move(message), "BAD_VOLUME_OPTION"};
}

void apply_option(std::string_view option, MountSpec& spec) {
  for (const Flag& flag : kFlags) {
    if (flag.name == option) {
      spec.flags = (spec.flags | flag.set) & ~flag.clear;
      return;
    }
  }
  if (!option.empty()) {
    spec.data.append(spec.data.empty() ? "" : ",").append(option);
  }
}

}  // namespace

Result<MountSpec> parse_mount_options(const std::map<std::string, std::string>& options) {
  MountSpec spec;
  std::string_view list;
  for (const auto& [key, value] : options) {
    if (key == "type") {
      spec.type = value;
    } else if (key == "device") {
      spec.device = value;
    } else if (key == "o") {
      list = value;
    } else {
      return invalid("the local volume driver has no option '" + key +
                     "'; it knows type, o and device");
    }
  }
  if (spec.type.empty() != spec.device.empty()) {
    return invalid(spec.type.empty() ? "option 'device' needs 'type' (and 'o' for its mount options)"
                                     : "option 'type' needs 'device', for example device=tmpfs");
  }
  if (spec.empty() && !list.empty()) {
    return invalid("option 'o' needs 'type' and 'device'");
  }
  while (!list.empty()) {
    const auto comma = list.find(',');
    apply_option(list.substr(0, comma), spec);
    list = comma == std::string_view::npos ? std::string_view() : list.substr(comma + 1);
  }
  return spec;
}

Status check_volume_name(const std::string& name) {
  const auto letter_or_digit = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  const bool fits =
      !name.empty() && name.size() <= 255 && letter_or_digit(name.front()) &&
      std::all_of(name.begin(), name.end(), [&](char c) {
        return letter_or_digit(c) || c == '_' || c == '.' || c == '-';
      });
  if (!fits) {
    return Error{Code::kInvalidArgument,
                 "'" + name + "' is no volume name: use 1 to 255 of letters, digits, '_', '.' and '-', "
                 "and begin with a letter or digit; for a directory of the node use a bind mount",
                 "BAD_VOLUME_NAME"};
  }
  return ok();
}

}  // namespace skep::local
