#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "core/agentctl/flags/service_flags.h"
#include "core/agentctl/suggest.h"
#include "core/agentctl/text.h"
#include "core/model/units.h"

namespace skep::ctl {
namespace {

using model::v1::Mount;

Error bad(std::string message) {
  return Error{Code::kInvalidArgument, std::move(message)};
}

const std::vector<std::string_view> kKeys{"type",
                                          "source",
                                          "src",
                                          "target",
                                          "dst",
                                          "destination",
                                          "readonly",
                                          "ro",
                                          "bind-propagation",
                                          "bind-recursive",
                                          "bind-create-src",
                                          "volume-subpath",
                                          "volume-nocopy",
                                          "volume-label",
                                          "volume-driver",
                                          "volume-opt",
                                          "tmpfs-size",
                                          "tmpfs-mode",
                                          "consistency"};

Status set_type(Mount& mount, const std::string& value) {
  if (value == "volume" || value == "bind" || value == "tmpfs") {
    mount.set_type(value == "volume" ? Mount::VOLUME
                   : value == "bind" ? Mount::BIND
                                     : Mount::TMPFS);
    return ok();
  }
  if (value == "npipe" || value == "image" || value == "cluster") {
    return Error{
        Code::kUnimplemented,
        fmt::format("mounts of type '{}' are not there yet: use volume, bind or tmpfs", value),
        "NOT_YET"};
  }
  const std::vector<std::string_view> types{"volume", "bind", "tmpfs"};
  return bad(fmt::format("unknown mount type '{}'{}; types are {}", value, did_you_mean(value, types),
                         comma_list(types)));
}

Status set_bind_key(Mount& mount, const std::string& key, const std::string& value) {
  if (key == "bind-propagation") {
    if (value != "shared" && value != "rshared" && value != "slave" && value != "rslave" &&
        value != "private" && value != "rprivate") {
      return bad(fmt::format(
          "'{}' is not a propagation: use private, rprivate, shared, rshared, slave or rslave",
          value));
    }
    mount.set_propagation(value);
  } else if (key == "bind-recursive") {
    if (value == "readonly" || value == "writable") {
      return Error{
          Code::kUnimplemented,
          fmt::format("bind-recursive={} is not there yet: use enabled or disabled", value),
          "NOT_YET"};
    }
    if (value != "enabled" && value != "disabled") {
      return bad(
          fmt::format("'{}' is not a value of bind-recursive: use enabled or disabled", value));
    }
    mount.set_bind_nonrecursive(value == "disabled");
  } else {
    SKEP_TRY_ASSIGN(const bool create, parse_switch(value));
    mount.set_bind_create_source(create);
  }
  return ok();
}

Status set_tmpfs_key(Mount& mount, const std::string& key, const std::string& value) {
  if (key == "tmpfs-size") {
    SKEP_TRY_ASSIGN(const std::int64_t size, model::parse_bytes(value));
    mount.set_tmpfs_size_bytes(size);
    return ok();
  }
  std::uint32_t mode = 0;
  for (const char digit : value) {
    if (digit < '0' || digit > '7' || mode > 07777) {
      return bad(fmt::format("'{}' is not an octal mode such as 1777", value));
    }
    mode = mode * 8 + static_cast<std::uint32_t>(digit - '0');
  }
  mount.set_tmpfs_mode(mode);
  return ok();
}

Status set_volume_key(Mount& mount, const std::string& key, const std::string& value) {
  if (key == "volume-driver") {
    mount.set_volume_driver(value);
  } else if (key == "volume-subpath") {
    mount.set_volume_subpath(value);
  } else if (key == "volume-nocopy") {
    SKEP_TRY_ASSIGN(const bool no_copy, parse_switch(value));
    mount.set_volume_no_copy(no_copy);
  } else {
    SKEP_TRY_ASSIGN(auto pair, parse_pair(value));
    auto& map =
        key == "volume-opt" ? *mount.mutable_volume_options() : *mount.mutable_volume_labels();
    map[pair.first] = pair.second;
  }
  return ok();
}

Status set_key(Mount& mount, const std::string& key, const std::string& value, bool given) {
  if (key == "readonly" || key == "ro") {
    SKEP_TRY_ASSIGN(const bool read_only, parse_switch(value));
    mount.set_read_only(read_only);
    return ok();
  }
  if (key == "bind-nonrecursive") {
    return bad("bind-nonrecursive is gone: use bind-recursive=disabled");
  }
  if (key != "volume-nocopy" && key != "bind-create-src" && (!given || value.empty())) {
    return bad(fmt::format("'{}' needs a value: {}=VALUE", key, key));
  }
  if (value.empty() ? false : value.front() == ' ' || value.back() == ' ') {
    return bad(fmt::format("the value of '{}' begins or ends with a space", key));
  }
  if (key == "type") {
    return set_type(mount, value);
  }
  if (key == "source" || key == "src") {
    mount.set_source(value);
  } else if (key == "target" || key == "dst" || key == "destination") {
    mount.set_target(value);
  } else if (key.starts_with("bind-")) {
    return set_bind_key(mount, key, value);
  } else if (key.starts_with("tmpfs-")) {
    return set_tmpfs_key(mount, key, value);
  } else if (key.starts_with("volume-")) {
    return set_volume_key(mount, key, value);
  }
  return ok();  // consistency: accepted and without effect on Linux, as in Docker
}

// Options of one type of mount make no sense on another.
Status check_mount(const Mount& mount, const std::vector<std::string>& keys) {
  if (mount.target().empty()) {
    return bad("it names no target: add target=PATH, the path inside the container");
  }
  const std::string own = mount.type() == Mount::BIND    ? "bind-"
                          : mount.type() == Mount::TMPFS ? "tmpfs-"
                                                         : "volume-";
  for (const std::string& key : keys) {
    for (const std::string prefix : {"bind-", "tmpfs-", "volume-"}) {
      if (key.starts_with(prefix) && prefix != own) {
        return bad(
            fmt::format("'{}' does not go with type={}", key, own.substr(0, own.size() - 1)));
      }
    }
  }
  if (mount.type() == Mount::BIND && mount.source().empty()) {
    return bad("a bind mount needs source=PATH, the path on the node");
  }
  if (mount.type() == Mount::TMPFS && !mount.source().empty()) {
    return bad("a tmpfs has no source");
  }
  return ok();
}

}  // namespace

Result<Mount> parse_mount(const std::string& text) {
  Mount mount;
  std::vector<std::string> keys;
  SKEP_TRY_ASSIGN(const std::vector<std::string> fields, split_csv(text));
  for (const std::string& field : fields) {
    const std::size_t equals = field.find('=');
    std::string key = field.substr(0, equals);
    std::transform(key.begin(), key.end(), key.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    if (std::find(kKeys.begin(), kKeys.end(), key) == kKeys.end() && key != "bind-nonrecursive") {
      return bad(fmt::format("unknown key '{}'{}; keys are {}", key, did_you_mean(key, kKeys),
                             comma_list(kKeys)));
    }
    const bool given = equals != std::string::npos;
    SKEP_TRY(set_key(mount, key, given ? field.substr(equals + 1) : "", given));
    keys.push_back(std::move(key));
  }
  SKEP_TRY(check_mount(mount, keys));
  return mount;
}

}  // namespace skep::ctl
