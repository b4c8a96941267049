#include "plugins/runtime/oci/container/spec_mounts.h"

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <set>

namespace skep::oci {
namespace {

namespace json = boost::json;

json::object mount_entry(std::string_view target, std::string_view type, std::string_view source,
                         const std::vector<std::string>& options) {
  json::array list;
  for (const std::string& option : options) {
    list.emplace_back(option);
  }
  return {{"destination", target}, {"type", type}, {"source", source}, {"options", std::move(list)}};
}

void add_default_mounts(json::array& mounts, const SpecInput& input) {
  mounts.push_back(mount_entry("/proc", "proc", "proc", {"nosuid", "noexec", "nodev"}));
  mounts.push_back(
      mount_entry("/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}));
  mounts.push_back(mount_entry("/dev/pts", "devpts", "devpts",
                               {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620",
                                "gid=5"}));
  mounts.push_back(mount_entry("/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", "ro"}));
  mounts.push_back(
      mount_entry("/sys/fs/cgroup", "cgroup", "cgroup", {"nosuid", "noexec", "nodev", "ro"}));
  mounts.push_back(mount_entry("/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"}));
  mounts.push_back(mount_entry("/dev/shm", "tmpfs", "shm",
                               {"nosuid", "noexec", "nodev", "mode=1777",
                                "size=" + std::to_string(input.shm_bytes)}));
}

struct Planned {
  std::string target;
  json::object entry;
};

/// Lexically clean: no "//", "." or trailing '/'. A ".." cannot leave the root file system (the
/// runtime resolves inside it) but would defeat the check for duplicates, so it is refused.
Result<std::string> clean_target(const std::string& target) {
  const auto bad = [&target](const char* why) {
    return Error{Code::kInvalidArgument, "mount target '" + target + "' " + why, "BAD_MOUNT"};
  };
  if (target.empty() || target.front() != '/') {
    return bad("is not absolute: begin it with '/'");
  }
  std::string clean;
  std::size_t at = 0;
  while (at < target.size()) {
    const auto end = std::min(target.find('/', at), target.size());
    const std::string part = target.substr(at, end - at);
    at = end + 1;
    if (part == "..") {
      return bad("contains '..'");
    }
    if (!part.empty() && part != ".") {
      clean += "/" + part;
    }
  }
  if (clean.empty()) {
    return bad("is the root of the container: mount below it");
  }
  return clean;
}

Result<Planned> plan_bind(const runtime::v1::BindMount& bind) {
  static constexpr std::array<const char*, 6> kPropagations{"private", "rprivate", "shared",
                                                            "rshared", "slave",    "rslave"};
  SKEP_TRY_ASSIGN(std::string target, clean_target(bind.target()));
  const std::string propagation = bind.propagation().empty() ? "rprivate" : bind.propagation();
  if (std::find(kPropagations.begin(), kPropagations.end(), propagation) == kPropagations.end()) {
    return Error{Code::kInvalidArgument,
                 "mount '" + target + "': unknown propagation '" + propagation +
                     "': use one of private, rprivate, shared, rshared, slave, rslave",
                 "BAD_MOUNT"};
  }
  if (bind.source().empty() || bind.source().front() != '/') {
    return Error{Code::kInvalidArgument,
                 "mount '" + target + "': source '" + bind.source() + "' is not an absolute path",
                 "BAD_MOUNT"};
  }
  std::vector<std::string> options{bind.nonrecursive() ? "bind" : "rbind", propagation};
  if (bind.read_only()) {
    options.emplace_back("ro");
    if (!bind.nonrecursive()) {
      options.emplace_back("rro");  // also what is mounted below the source
    }
  }
  json::object entry = mount_entry(target, "bind", bind.source(), options);
  return Planned{std::move(target), std::move(entry)};
}

Result<Planned> plan_tmpfs(const model::v1::Mount& tmpfs) {
  SKEP_TRY_ASSIGN(std::string target, clean_target(tmpfs.target()));
  if (tmpfs.tmpfs_size_bytes() < 0) {
    return Error{Code::kInvalidArgument, "tmpfs '" + target + "': its size is negative",
                 "BAD_MOUNT"};
  }
  std::array<char, 16> mode{};
  std::snprintf(mode.data(), mode.size(), "mode=%o",
                tmpfs.tmpfs_mode() == 0 ? 01777U : tmpfs.tmpfs_mode() & 07777U);
  std::vector<std::string> options{"nosuid", "nodev", "noexec", mode.data()};
  if (tmpfs.tmpfs_size_bytes() > 0) {
    options.push_back("size=" + std::to_string(tmpfs.tmpfs_size_bytes()));
  }
  if (tmpfs.read_only()) {
    options.emplace_back("ro");
  }
  json::object entry = mount_entry(target, "tmpfs", "tmpfs", options);
  return Planned{std::move(target), std::move(entry)};
}

std::ptrdiff_t depth(const std::string& target) {
  return std::count(target.begin(), target.end(), '/');
}

}  // namespace

Result<json::array> build_mounts(const SpecInput& input) {
  std::vector<Planned> planned;
  std::set<std::string> targets;
  for (const auto& bind : input.request.binds()) {
    SKEP_TRY_ASSIGN(Planned plan, plan_bind(bind));
    planned.push_back(std::move(plan));
  }
  for (const auto& tmpfs : input.request.tmpfs()) {
    SKEP_TRY_ASSIGN(Planned plan, plan_tmpfs(tmpfs));
    planned.push_back(std::move(plan));
  }
  for (const Planned& plan : planned) {
    if (!targets.insert(plan.target).second) {
      return Error{Code::kInvalidArgument, "two mounts on one target '" + plan.target + "'",
                   "BAD_MOUNT"};
    }
  }
  const std::array<std::pair<const char*, const std::string&>, 3> files{
      {{"/etc/resolv.conf", input.resolv_path},
       {"/etc/hostname", input.hostname_path},
       {"/etc/hosts", input.hosts_path}}};
  for (const auto& [target, source] : files) {
    if (!source.empty() && targets.insert(target).second) {
      planned.push_back({target, mount_entry(target, "bind", source, {"rbind", "rprivate"})});
    }
  }
  std::stable_sort(planned.begin(), planned.end(), [](const Planned& a, const Planned& b) {
    return depth(a.target) < depth(b.target);
  });
  json::array mounts;
  add_default_mounts(mounts, input);
  for (const ExtraMount& extra : input.early_mounts) {
    mounts.push_back(mount_entry(extra.target, extra.type, extra.source, extra.options));
  }
  for (Planned& plan : planned) {
    // What a service mounts at /dev/shm or /sys/fs/cgroup replaces ours.
    for (auto mount = mounts.begin(); mount != mounts.end();) {
      const bool replaced = mount->as_object().at("destination").as_string() == plan.target;
      mount = replaced ? mounts.erase(mount) : mount + 1;
    }
    mounts.push_back(std::move(plan.entry));
  }
  return mounts;
}

}  // namespace skep::oci
