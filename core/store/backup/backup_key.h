#pragma once

// What a backup's rows are sealed with: the swarm's data key, which its header carries as it lies
// on a manager: sealed by the unlock key when the swarm is autolocked, else open. Pure; any thread.

#include <memory>
#include <string>

#include "core/base/sealing.h"
#include "skep/env.h"
#include "skep/store.pb.h"

namespace skep::store {

/// `unlock_key`: empty when the swarm is not autolocked. kInvalidArgument BAD_UNLOCK_KEY.
Status put_data_key(v1::BackupHeader& header, const base::Sealer& sealer,
                    const std::string& unlock_key, Random& random);
/// nullptr: the rows lie open. kFailedPrecondition BACKUP_LOCKED: without the `unlock_key` that it
/// needs; kPermissionDenied WRONG_UNLOCK_KEY, kInvalidArgument BAD_UNLOCK_KEY; kDataLoss
/// BACKUP_DAMAGED.
Result<std::shared_ptr<const base::Sealer>> backup_sealer(const v1::BackupHeader& header,
                                                          const std::string& unlock_key);

}  // namespace skep::store
