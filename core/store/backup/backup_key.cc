#include "core/store/backup/backup_key.h"

#include <utility>

#include "core/base/unlock_key.h"

namespace skep::store {
namespace {

constexpr std::string_view kContext = "backup data key";

Result<std::shared_ptr<const base::Sealer>> around(const std::string& unlock_key) {
  SKEP_TRY_ASSIGN(const std::string raw, base::parse_unlock_key(unlock_key));
  return base::Sealer::make(raw);
}

Error no_key(const std::string& why) {
  return Error{Code::kDataLoss,
               "the key that it is sealed with is of no use (" + why + "); take another backup",
               "BACKUP_DAMAGED"};
}

}  // namespace

Status put_data_key(v1::BackupHeader& header, const base::Sealer& sealer,
                    const std::string& unlock_key, Random& random) {
  header.set_locked(!unlock_key.empty());
  header.set_data_key(sealer.key());
  if (header.locked()) {
    SKEP_TRY_ASSIGN(const auto lock, around(unlock_key));
    header.set_data_key(lock->seal(sealer.key(), kContext, random));
  }
  return ok();
}

Result<std::shared_ptr<const base::Sealer>> backup_sealer(const v1::BackupHeader& header,
                                                          const std::string& unlock_key) {
  if (header.data_key().empty()) {
    return std::shared_ptr<const base::Sealer>();
  }
  std::string key = header.data_key();
  if (header.locked()) {
    if (unlock_key.empty()) {
      return Error{Code::kFailedPrecondition,
                   "the swarm was locked when this backup was made: '--unlock' asks for the unlock "
                   "key that it had then",
                   "BACKUP_LOCKED"};
    }
    SKEP_TRY_ASSIGN(const auto lock, around(unlock_key));
    auto opened = lock->unseal(key, kContext);
    if (!opened && opened.error().reason == "WRONG_SEAL_KEY") {
      return Error{
          Code::kPermissionDenied,
          "the backup could not be unlocked: invalid key provided; it takes the key that the "
          "swarm had when the backup was made",
          "WRONG_UNLOCK_KEY"};
    }
    if (!opened) {
      return no_key(opened.error().message);
    }
    key = *std::move(opened);
  }
  auto sealer = base::Sealer::make(key);
  return sealer ? std::move(sealer) : no_key(sealer.error().message);
}

}  // namespace skep::store
