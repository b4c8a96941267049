#pragma once

// The node's certificate on disk: <state_dir>/node.crt, node.key (0600) and root-ca.crt. The key stays
// for the life of the membership, so a renewal replaces one file at once. On a manager the key is sealed
// with the swarm's data key.

#include <optional>

#include "core/agentd/config.h"
#include "core/base/sealing.h"
#include "core/link/tls.h"
#include "skep/env.h"

namespace skep::agentd {

/// nullopt: none of the files is there. kDataLoss: some are missing or damaged, with the way out; also
/// when the key is sealed and `sealer` (may be nullptr) does not open it.
Result<std::optional<link::Credentials>> load_credentials(const Paths& paths, Disk& disk,
                                                          const base::Sealer* sealer);
/// `sealer`: nullptr on a worker.
Status save_credentials(const Paths& paths, Disk& disk, Random& random, const base::Sealer* sealer,
                        const link::Credentials& credentials);
/// Whether the node's key can be read only with the data key.
bool node_key_sealed(const Paths& paths, Disk& disk);

Status forget_credentials(const Paths& paths, Disk& disk);

}  // namespace skep::agentd
