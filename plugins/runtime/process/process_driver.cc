#include "plugins/runtime/process/process_driver.h"

#include <algorithm>
#include <array>
#include <sstream>

namespace skep::process {
namespace {

bool is_below(const std::string& path, const std::string& top) {
  return path == top || path.starts_with(top + "/");
}

std::string under_root(const std::string& root, const std::string& path) {
  return root.empty() || root == "/" ? path : root + path;
}

class NodeSource final : public oci::RootfsSource {
 public:
  NodeSource(Disk& disk, std::vector<std::string> hidden)
      : disk_(disk), hidden_(std::move(hidden)) {}

  Result<oci::Rootfs> find(const model::v1::ContainerSpec&) override {
    oci::Rootfs rootfs;
    rootfs.bind = "/";
    SKEP_TRY_ASSIGN(const std::string mountinfo, disk_.read_file("/proc/self/mountinfo"));
    for (const std::string& point : local_mounts(mountinfo, hidden_)) {
      rootfs.early_mounts.push_back({point, "bind", point, {"bind", "rprivate", "ro"}});
    }
    for (const char* path : {"/tmp", "/var/tmp"}) {
      rootfs.early_mounts.push_back({path, "tmpfs", "tmpfs", {"nosuid", "nodev", "mode=1777"}});
    }
    rootfs.early_mounts.push_back({"/run", "tmpfs", "tmpfs", {"nosuid", "nodev", "mode=755"}});
    rootfs.masked_paths = hidden_;
    return rootfs;
  }

 private:
  Disk& disk_;
  const std::vector<std::string> hidden_;
};

}  // namespace

std::vector<std::string> local_mounts(const std::string& mountinfo,
                                      const std::vector<std::string>& hidden) {
  static constexpr std::array<const char*, 8> kLocal{"ext2", "ext3", "ext4",     "xfs",
                                                     "btrfs", "zfs", "f2fs", "bcachefs"};
  std::vector<std::string> found;
  std::istringstream lines(mountinfo);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    std::string skip;
    std::string root;
    std::string point;
    fields >> skip >> skip >> skip >> root >> point;
    std::string word;
    while (fields >> word && word != "-") {
    }
    std::string type;
    fields >> type;
    // Binds of parts (files, container roots) are somebody's wiring, not a disk of the node.
    const bool local = std::find(kLocal.begin(), kLocal.end(), type) != kLocal.end();
    const bool covered = std::any_of(hidden.begin(), hidden.end(), [&point](const auto& top) {
      return is_below(point, top);
    }) || is_below(point, "/run") || is_below(point, "/tmp") || is_below(point, "/var/tmp");
    if (local && root == "/" && point != "/" && !covered &&
        point.find('\\') == std::string::npos) {
      found.push_back(point);
    }
  }
  std::sort(found.begin(), found.end());
  found.erase(std::unique(found.begin(), found.end()), found.end());
  return found;
}

Result<std::shared_ptr<oci::RootfsSource>> ProcessDriver::make_source(const DriverContext& context) {
  const auto& start = context.start;
  return std::shared_ptr<oci::RootfsSource>(std::make_shared<NodeSource>(
      context.env.disk,
      std::vector<std::string>{under_root(start.root(), "/var/lib/skep"),
                               under_root(start.root(), "/etc/skep"), start.state_dir()}));
}

}  // namespace skep::process
