// A complete volume driver: a volume is a directory below the plugin's state directory. Replace the
// bodies by your own storage; what the comments promise is what the conformance suite checks.
#include <skep/log.h>
#include <skep/plugin.h>

#include <algorithm>
#include <charconv>
#include <set>

namespace {

using skep::Code;
using skep::Error;
using skep::Result;
using skep::Status;
using skep::volume::v1::Volume;

class MyVolumes final : public skep::VolumeDriver {
 public:
  Status start(const skep::DriverContext& context) override {
    disk_ = &context.env.disk;
    root_ = context.start.state_dir() + "/volumes";
    holders_ = context.start.run_dir() + "/holders";
    SKEP_TRY(read_mode(context.start.config().at("mode")));
    SKEP_TRY(disk_->make_directories(holders_, 0700));
    return disk_->make_directories(root_, 0711);
  }

  // The same name again is the same volume.
  Result<Volume> create(const skep::volume::v1::CreateRequest& request) override {
    SKEP_TRY(check_name(request.name()));
    SKEP_TRY(disk_->make_directories(path(request.name()), mode_));
    return describe(request.name());
  }

  // Removing what is not there is success; a volume in use stays.
  Status remove(const skep::volume::v1::RemoveRequest& request) override {
    if (!read_holders(request.name()).empty()) {
      return Error{Code::kFailedPrecondition, "volume '" + request.name() + "' is in use"};
    }
    return disk_->remove_tree(path(request.name()));
  }

  // One reference per mount id, also across a crash: the ids are on disk.
  Result<std::string> mount(const skep::volume::v1::MountRequest& request) override {
    SKEP_TRY_ASSIGN(const Volume volume, get(request.name()));
    auto ids = read_holders(request.name());
    ids.insert(request.mount_id());
    SKEP_TRY(write_holders(request.name(), ids));
    return volume.mountpoint();
  }

  Status unmount(const skep::volume::v1::UnmountRequest& request) override {
    auto ids = read_holders(request.name());
    return ids.erase(request.mount_id()) > 0 ? write_holders(request.name(), ids) : skep::ok();
  }

  Result<Volume> get(const std::string& name) override {
    SKEP_TRY(check_name(name));
    if (!disk_->exists(path(name))) {
      return Error{Code::kNotFound, "no volume '" + name + "' here"};
    }
    return describe(name);
  }

  Result<std::vector<Volume>> list() override {
    SKEP_TRY_ASSIGN(const auto names, disk_->list_directory(root_));
    std::vector<Volume> volumes;
    for (const std::string& name : names) {
      volumes.push_back(describe(name));
    }
    return volumes;
  }

  // After a restart: what is not named is not in use any more.
  Status recover(const skep::volume::v1::RecoverRequest& request) override {
    SKEP_TRY_ASSIGN(const auto names, disk_->list_directory(holders_));
    for (const std::string& name : names) {
      std::set<std::string> ids;
      for (const auto& mount : request.mounts()) {
        if (mount.name() == name) {
          ids.insert(mount.mount_id());
        }
      }
      SKEP_TRY(write_holders(name, ids));
    }
    return skep::ok();
  }

 private:
  // The agent knows the keys of plugin.toml and their types; what a value means is yours to check.
  Status read_mode(const std::string& text) {
    const char* end = text.data() + text.size();
    const auto [stopped, error] = std::from_chars(text.data(), end, mode_, 8);
    if (error != std::errc{} || stopped != end || mode_ < 0 || mode_ > 07777) {
      return Error{Code::kInvalidArgument,
                   "mode '" + text + "' is no file mode: write [plugin.my-volumes] mode = \"0755\" in agentd.toml"};
    }
    return skep::ok();
  }
  static Status check_name(const std::string& name) {
    const auto fits = [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-';
    };
    if (name.empty() || name.size() > 255 || !std::all_of(name.begin(), name.end(), fits) || name[0] == '.' ||
        name[0] == '-' || name[0] == '_') {
      return Error{Code::kInvalidArgument, "'" + name + "' is no volume name"};
    }
    return skep::ok();
  }
  std::string path(const std::string& name) const { return root_ + "/" + name; }
  Volume describe(const std::string& name) {
    Volume volume;
    volume.set_name(name);
    volume.set_driver("my-volumes");
    volume.set_mountpoint(path(name));
    volume.set_mounts(static_cast<std::uint32_t>(read_holders(name).size()));
    return volume;
  }
  // One id per line.
  std::set<std::string> read_holders(const std::string& name) {
    std::set<std::string> ids;
    if (auto content = disk_->read_file(holders_ + "/" + name)) {
      std::size_t begin = 0;
      for (std::size_t end = 0; (end = content->find('\n', begin)) != std::string::npos; begin = end + 1) {
        ids.insert(content->substr(begin, end - begin));
      }
    }
    return ids;
  }
  Status write_holders(const std::string& name, const std::set<std::string>& ids) {
    std::string content;
    for (const std::string& id : ids) {
      content += id + "\n";
    }
    return disk_->write_file_atomic(holders_ + "/" + name, content, 0600);
  }

  skep::Disk* disk_ = nullptr;
  std::string root_;
  std::string holders_;
  int mode_ = 0755;
};

}  // namespace

SKEP_PLUGIN(MyVolumes, "my-volumes", "1.0.0");
