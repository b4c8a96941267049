#include "skep/testing/fake_volume.h"

#include <algorithm>

namespace skep::testing {
namespace {

Error missing(const std::string& name) {
  return Error{Code::kNotFound, "no such volume: " + name, "NO_SUCH_VOLUME"};
}

bool same(const google::protobuf::Map<std::string, std::string>& left,
          const google::protobuf::Map<std::string, std::string>& right) {
  return std::map<std::string, std::string>(left.begin(), left.end()) ==
         std::map<std::string, std::string>(right.begin(), right.end());
}

}  // namespace

volume::v1::Volume FakeVolume::view(const volume::v1::Volume& volume) const {
  auto copy = volume;
  copy.set_mounts(static_cast<std::uint32_t>(std::count_if(
      mounts.begin(), mounts.end(), [&](const auto& m) { return m.first == volume.name(); })));
  return copy;
}

Result<volume::v1::Volume> FakeVolume::create(const volume::v1::CreateRequest& request) {
  if (auto error = faults.take("create")) {
    return *error;
  }
  if (const auto it = volumes.find(request.name()); it != volumes.end()) {
    if (!same(it->second.options(), request.options())) {
      return Error{Code::kAlreadyExists,
                   "volume '" + request.name() + "' exists with other options"};
    }
    return view(it->second);
  }
  auto& volume = volumes[request.name()];
  volume.set_name(request.name());
  *volume.mutable_options() = request.options();
  *volume.mutable_labels() = request.labels();
  volume.set_mountpoint("/volumes/" + request.name());
  return volume;
}

Status FakeVolume::remove(const volume::v1::RemoveRequest& request) {
  if (auto error = faults.take("remove")) {
    return *error;
  }
  const auto it = volumes.find(request.name());
  if (it == volumes.end()) {
    return ok();
  }
  if (view(it->second).mounts() > 0) {
    return Error{Code::kFailedPrecondition, "volume '" + request.name() + "' is in use"};
  }
  volumes.erase(it);
  return ok();
}

Result<std::string> FakeVolume::mount(const volume::v1::MountRequest& request) {
  if (auto error = faults.take("mount")) {
    return *error;
  }
  const auto it = volumes.find(request.name());
  if (it == volumes.end()) {
    return missing(request.name());
  }
  mounts.insert({request.name(), request.mount_id()});
  return it->second.mountpoint();
}

Status FakeVolume::unmount(const volume::v1::UnmountRequest& request) {
  if (auto error = faults.take("unmount")) {
    return *error;
  }
  mounts.erase({request.name(), request.mount_id()});
  return ok();
}

Result<volume::v1::Volume> FakeVolume::get(const std::string& name) {
  const auto it = volumes.find(name);
  if (it == volumes.end()) {
    return missing(name);
  }
  return view(it->second);
}

Result<std::vector<volume::v1::Volume>> FakeVolume::list() {
  std::vector<volume::v1::Volume> result;
  for (const auto& [name, volume] : volumes) {
    result.push_back(view(volume));
  }
  return result;
}

Status FakeVolume::recover(const volume::v1::RecoverRequest& request) {
  if (auto error = faults.take("recover")) {
    return *error;
  }
  std::set<std::pair<std::string, std::string>> kept;
  for (const auto& mount : request.mounts()) {
    if (mounts.contains({mount.name(), mount.mount_id()})) {
      kept.insert({mount.name(), mount.mount_id()});
    }
  }
  mounts = std::move(kept);
  return ok();
}

}  // namespace skep::testing
