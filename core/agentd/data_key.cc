#include "core/agentd/data_key.h"

#include <algorithm>
#include <functional>

#include "core/agentd/kept_file.h"
#include "core/base/unlock_key.h"
#include "skep/agent.pb.h"

namespace skep::agentd {
namespace {

constexpr std::string_view kContext = "data.key";

/// What can be done about a key file that is of no use any more.
Error lost(const Error& why) {
  return Error{Code::kDataLoss,
               why.message +
                   ". Without it this manager cannot read its state: restore the file from a "
                   "backup; if the swarm "
                   "has other managers, 'agentctl swarm leave --force' here, 'agentctl node "
                   "demote' and 'node rm' "
                   "there, and join again (that ends this node's tasks)",
               "DAMAGED_FILE"};
}

}  // namespace

DataKey::DataKey(const Paths& paths, Disk& disk, Random& random)
    : directory_(paths.state_dir),
      file_(paths.state_dir + "/data.key"),
      local_file_(paths.state_dir + "/local.key"),
      disk_(disk),
      random_(random) {}

Status DataKey::make(const std::string& unlock_key) {
  sealer_ = base::Sealer::make_new(random_);
  locked_ = false;
  version_ = 0;
  return save(unlock_key);
}

Status DataKey::take(const std::string& key, const std::string& unlock_key, std::uint64_t version) {
  SKEP_TRY_ASSIGN(sealer_, base::Sealer::make(key));
  locked_ = false;
  version_ = version;
  return save(unlock_key);
}

Result<std::shared_ptr<const base::Sealer>> DataKey::local_sealer(bool make_it) {
  KeptFile file(disk_, local_file_);
  auto content = file.read();
  if (content) {
    return base::Sealer::make(*content);
  }
  if (!make_it) {
    return std::move(content).error();
  }
  const auto made = base::Sealer::make_new(random_);
  SKEP_TRY(file.write(made->key()));
  return made;
}

Status DataKey::save(const std::string& unlock_key) {
  std::shared_ptr<const base::Sealer> around;
  if (unlock_key.empty()) {
    SKEP_TRY_ASSIGN(around, local_sealer(/*make_it=*/true));
  } else {
    SKEP_TRY_ASSIGN(const std::string raw, base::parse_unlock_key(unlock_key));
    SKEP_TRY_ASSIGN(around, base::Sealer::make(raw));
  }
  agent::v1::DataKeyFile file;
  file.set_locked(!unlock_key.empty());
  file.set_version(version_);
  file.set_data_key(around->seal(sealer_->key(), kContext, random_));
  SKEP_TRY(KeptFile(disk_, file_).write(file.SerializeAsString()));
  unlock_key_ = unlock_key;
  // Last: until then the file was of use.
  return unlock_key.empty() ? ok() : KeptFile(disk_, local_file_).remove();
}

Result<std::string> DataKey::sealed_key() {
  auto content = KeptFile(disk_, file_).read();
  if (!content) {
    return lost(content.error());
  }
  agent::v1::DataKeyFile file;
  if (!file.ParseFromString(*content) || !base::looks_sealed(file.data_key())) {
    return lost(Error{Code::kDataLoss, file_ + ": is damaged"});
  }
  locked_ = file.locked();
  version_ = file.version();
  return file.data_key();
}

Status DataKey::open() {
  sealer_.reset();
  unlock_key_.clear();
  SKEP_TRY_ASSIGN(const std::string sealed, sealed_key());
  if (locked_) {
    return ok();
  }
  const auto local = local_sealer(/*make_it=*/false);
  if (!local) {
    return lost(local.error());
  }
  const auto key = (*local)->unseal(sealed, kContext);
  if (!key) {
    return lost(Error(key.error()).with_context(file_ + ": " + local_file_ + " does not open it"));
  }
  SKEP_TRY_ASSIGN(sealer_, base::Sealer::make(*key));
  return ok();
}

Status DataKey::unlock(const std::string& unlock_key) {
  SKEP_TRY_ASSIGN(const std::string raw, base::parse_unlock_key(unlock_key));
  SKEP_TRY_ASSIGN(const std::string sealed, sealed_key());
  SKEP_TRY_ASSIGN(const auto around, base::Sealer::make(raw));
  const auto key = around->unseal(sealed, kContext);
  if (!key) {
    return key.error().reason == "WRONG_SEAL_KEY"
               ? Error{Code::kPermissionDenied,
                       "swarm could not be unlocked: invalid key provided; if the key was rotated "
                       "while this "
                       "manager was away, it takes the one from before",
                       "WRONG_UNLOCK_KEY"}
               : lost(Error(key.error()).with_context(file_));
  }
  SKEP_TRY_ASSIGN(sealer_, base::Sealer::make(*key));
  unlock_key_ = std::string(unlock_key);
  locked_ = false;
  return ok();
}

Status DataKey::wrap(const std::string& unlock_key, std::uint64_t version) {
  if (sealer_ == nullptr || version < version_ || unlock_key == unlock_key_) {
    return ok();
  }
  version_ = version;
  return save(unlock_key);
}

Result<std::vector<std::string>> DataKey::names() const {
  SKEP_TRY_ASSIGN(auto names, disk_.list_directory(directory_));
  std::erase_if(names, [](const std::string& name) {
    return !name.starts_with("data.key") && !name.starts_with("local.key");
  });
  std::sort(names.begin(), names.end(), std::greater<>());  // "data.key" itself last
  return names;
}

bool DataKey::present() const {
  const auto found = names();
  return found && !found->empty();
}

Status DataKey::forget() {
  sealer_.reset();
  unlock_key_.clear();
  locked_ = false;
  version_ = 0;
  SKEP_TRY_ASSIGN(const auto found, names());
  for (const std::string& name : found) {
    SKEP_TRY(disk_.remove(directory_ + "/" + name));
  }
  return disk_.sync_directory(directory_);
}

}  // namespace skep::agentd
