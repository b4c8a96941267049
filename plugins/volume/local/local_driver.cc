#include "plugins/volume/local/local_driver.h"

#include <sys/stat.h>

#include "plugins/lib/pause_points.h"
#include "skep/log.h"

namespace skep::local {

using volume::v1::Volume;


LocalVolumeDriver::LocalVolumeDriver() : mounter_(kernel_) {}
LocalVolumeDriver::LocalVolumeDriver(Mounter& mounter) : mounter_(mounter) {}

Status LocalVolumeDriver::start(const DriverContext& context) {
  disk_ = &context.env.disk;
  clock_ = &context.env.clock;
  volumes_ = context.start.state_dir() + "/volumes";
  gone_ = context.start.state_dir() + "/gone";
  mounts_ = context.start.run_dir() + "/mounts";
  if (const auto it = context.start.config().find("pause_dir");
      it != context.start.config().end() && !it->second.empty()) {
    pause_ = lib::pause_points(it->second);
  }
  SKEP_TRY(disk_->make_directories(volumes_, 0711));
  SKEP_TRY(disk_->remove_tree(gone_));
  SKEP_TRY(disk_->make_directories(gone_, 0700));
  return disk_->make_directories(mounts_, 0700);
}

std::string LocalVolumeDriver::directory(const std::string& name) const {
  return volumes_ + "/" + name;
}
std::string LocalVolumeDriver::data_directory(const std::string& name) const {
  return directory(name) + "/_data";
}
std::string LocalVolumeDriver::holders_path(const std::string& name) const {
  return mounts_ + "/" + name;
}

Result<Volume> LocalVolumeDriver::load(const std::string& name) {
  SKEP_TRY(check_volume_name(name));
  auto content = disk_->read_file(directory(name) + "/volume.pb");
  if (!content) {
    if (content.error().code == Code::kNotFound) {
      return Error{Code::kNotFound, "no volume '" + name + "' on this node", "NO_SUCH_VOLUME"};
    }
    return std::move(content).error();
  }
  Volume volume;
  if (!volume.ParseFromString(*content)) {
    return Error{Code::kDataLoss, "volume '" + name + "': its record volume.pb is damaged; the data in '" +
                                      data_directory(name) + "' is untouched: restore the file or "
                                      "move the data, then remove and create the volume",
                 "DAMAGED_RECORD"};
  }
  return volume;
}

Result<LocalVolumeDriver::Holders> LocalVolumeDriver::load_holders(const std::string& name) {
  auto content = disk_->read_file(holders_path(name));
  if (!content) {
    return content.error().code == Code::kNotFound ? Result<Holders>(Holders{})
                                                   : std::move(content).error();
  }
  Holders holders;
  volume::v1::RecoverRequest record;
  if (record.ParseFromString(*content)) {
    for (const auto& mount : record.mounts()) {
      holders.insert(mount.mount_id());
    }
  }
  return holders;
}

Status LocalVolumeDriver::save_holders(const std::string& name, const Holders& holders) {
  if (holders.empty()) {
    auto status = disk_->remove(holders_path(name));
    return status || status.error().code == Code::kNotFound ? ok() : status;
  }
  volume::v1::RecoverRequest record;
  for (const std::string& id : holders) {
    auto* mount = record.add_mounts();
    mount->set_name(name);
    mount->set_mount_id(id);
  }
  return disk_->write_file_atomic(holders_path(name), record.SerializeAsString(), 0600);
}

Status LocalVolumeDriver::settle(const Volume& volume, bool held) {
  const std::map<std::string, std::string> options(volume.options().begin(), volume.options().end());
  SKEP_TRY_ASSIGN(const MountSpec spec, parse_mount_options(options));
  if (spec.empty()) {
    return ok();
  }
  const std::string target = data_directory(volume.name());
  SKEP_TRY_ASSIGN(int mounted, mounter_.count(target));
  for (; mounted > (held ? 1 : 0); --mounted) {
    pause_("unmount.before");
    SKEP_TRY(mounter_.unmount(target));
    pause_("unmount.after");
  }
  if (held && mounted == 0) {
    pause_("mount.before");
    SKEP_TRY(mounter_.mount(spec, target));
    pause_("mount.after");
  }
  return ok();
}

Result<Volume> LocalVolumeDriver::create(const volume::v1::CreateRequest& request) {
  SKEP_TRY(check_volume_name(request.name()));
  const std::map<std::string, std::string> options(request.options().begin(),
                                                   request.options().end());
  SKEP_TRY(parse_mount_options(options));
  if (auto existing = load(request.name()); existing) {
    const std::map<std::string, std::string> have(existing->options().begin(),
                                                  existing->options().end());
    if (!options.empty() && have != options) {
      return Error{Code::kAlreadyExists,
                   "volume '" + request.name() + "' exists with other options; remove it first or "
                   "choose another name",
                   "VOLUME_DIFFERS"};
    }
    return get(request.name());
  } else if (existing.error().code != Code::kNotFound) {
    return std::move(existing).error();
  }
  Volume volume;
  volume.set_name(request.name());
  volume.set_driver("local");
  *volume.mutable_options() = request.options();
  *volume.mutable_labels() = request.labels();
  volume.set_mountpoint(data_directory(request.name()));
  volume.set_created_at(clock_->wall_now());
  SKEP_TRY(disk_->make_directories(data_directory(request.name()), 0755));
  SKEP_TRY(disk_->write_file_atomic(directory(request.name()) + "/volume.pb",
                                    volume.SerializeAsString(), 0600));
  return volume;
}

Status LocalVolumeDriver::remove(const volume::v1::RemoveRequest& request) {
  auto volume = load(request.name());
  if (!volume) {
    return volume.error().code == Code::kNotFound ? ok() : Status(std::move(volume).error());
  }
  SKEP_TRY_ASSIGN(const Holders holders, load_holders(request.name()));
  if (!holders.empty()) {
    return Error{Code::kFailedPrecondition,
                 "volume '" + request.name() + "' is in use by " + std::to_string(holders.size()) +
                     " task(s), first '" + *holders.begin() + "': stop them before you remove it",
                 "VOLUME_IN_USE"};
  }
  SKEP_TRY(settle(*volume, false));
  // Out of sight in one step: a crash in between leaves rubbish for start() to sweep, never removed
  // data in a new volume of the same name.
  const std::string gone = gone_ + "/" + request.name();
  SKEP_TRY(disk_->remove_tree(gone));
  SKEP_TRY(disk_->rename(directory(request.name()), gone));
  SKEP_TRY(disk_->sync_directory(volumes_));
  return disk_->remove_tree(gone);
}

Result<std::string> LocalVolumeDriver::mount(const volume::v1::MountRequest& request) {
  SKEP_TRY_ASSIGN(const Volume volume, load(request.name()));
  if (request.mount_id().empty()) {
    return Error{Code::kInvalidArgument, "a mount needs a mount id"};
  }
  SKEP_TRY_ASSIGN(Holders holders, load_holders(request.name()));
  if (holders.insert(request.mount_id()).second) {
    pause_("hold.before");
    SKEP_TRY(save_holders(request.name(), holders));
    pause_("hold.after");
  }
  if (auto status = settle(volume, true); !status) {
    holders.erase(request.mount_id());
    if (auto undone = save_holders(request.name(), holders); !undone) {
      SKEP_WARN("volume hold not taken back", {"volume", request.name()},
                {"cause", undone.error().message});
    }
    return std::move(status).error().with_context("volume '" + request.name() + "'");
  }
  return data_directory(request.name());
}

Status LocalVolumeDriver::unmount(const volume::v1::UnmountRequest& request) {
  auto volume = load(request.name());
  if (!volume) {
    return volume.error().code == Code::kNotFound ? ok() : Status(std::move(volume).error());
  }
  SKEP_TRY_ASSIGN(Holders holders, load_holders(request.name()));
  holders.erase(request.mount_id());
  SKEP_TRY(settle(*volume, !holders.empty()));
  return save_holders(request.name(), holders);
}

Result<Volume> LocalVolumeDriver::get(const std::string& name) {
  SKEP_TRY_ASSIGN(Volume volume, load(name));
  SKEP_TRY_ASSIGN(const Holders holders, load_holders(name));
  volume.set_mounts(static_cast<std::uint32_t>(holders.size()));
  return volume;
}

Result<std::vector<Volume>> LocalVolumeDriver::list() {
  SKEP_TRY_ASSIGN(const auto names, disk_->list_directory(volumes_));
  std::vector<Volume> volumes;
  for (const std::string& name : names) {
    if (auto volume = get(name)) {
      volumes.push_back(*std::move(volume));
    } else if (volume.error().code != Code::kNotFound) {
      SKEP_WARN("volume left out of the list", {"volume", name}, {"cause", volume.error().message});
    } else if (disk_->exists(data_directory(name))) {
      SKEP_WARN("volume without its record left out of the list: creating it, or a task that mounts it, "
                "takes its data up again",
                {"volume", name}, {"data", data_directory(name)});
    }
  }
  return volumes;
}

Status LocalVolumeDriver::recover(const volume::v1::RecoverRequest& request) {
  std::map<std::string, Holders> wanted;
  for (const auto& mount : request.mounts()) {
    wanted[mount.name()].insert(mount.mount_id());
  }
  SKEP_TRY_ASSIGN(const auto volumes, list());
  for (const Volume& volume : volumes) {
    const Holders& holders = wanted[volume.name()];
    SKEP_TRY(save_holders(volume.name(), holders));
    // One volume that cannot be mounted now must not keep the others from service.
    if (auto status = settle(volume, !holders.empty()); !status) {
      SKEP_WARN("volume not recovered", {"volume", volume.name()}, {"cause", status.error().message});
    }
  }
  return ok();
}

}  // namespace skep::local
