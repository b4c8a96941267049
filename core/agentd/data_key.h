#pragma once

// The swarm's data key on a manager: what the log, the state on disk and the node's key are sealed
// with. It lies in <state_dir>/data.key, sealed itself: by <state_dir>/local.key, or, when the
// swarm is autolocked, by the unlock key, which lies nowhere on this machine. Loop thread only.

#include <memory>
#include <string>
#include <vector>

#include "core/agentd/config.h"
#include "core/base/sealing.h"
#include "skep/env.h"

namespace skep::agentd {

class DataKey {
 public:
  /// `disk` and `random` outlive it.
  DataKey(const Paths& paths, Disk& disk, Random& random);

  /// Of a new swarm. An empty unlock key: not locked.
  Status make(const std::string& unlock_key);
  /// As another manager gave it; `version` as in wrap().
  Status take(const std::string& key, const std::string& unlock_key, std::uint64_t version);
  /// At a start: reads the files. Success also when it is locked. kDataLoss: lost or damaged, with
  /// the way out.
  Status open();
  /// kPermissionDenied WRONG_UNLOCK_KEY, kInvalidArgument BAD_UNLOCK_KEY; it stays locked.
  Status unlock(const std::string& unlock_key);
  /// Seals the file as the swarm wanted it at `version` of its Cluster object; nothing when it
  /// already is, when a later version was followed before (a log that is replayed), or while
  /// locked.
  Status wrap(const std::string& unlock_key, std::uint64_t version);
  /// This node is no manager any more: nothing of the key stays on disk, nor what a write that was
  /// interrupted left of it. After an error or a crash in between, present() still says so.
  Status forget();

  /// Whether anything of it lies there, in whatever shape.
  [[nodiscard]] bool present() const;
  [[nodiscard]] bool locked() const { return locked_; }
  /// nullptr while locked and on workers.
  [[nodiscard]] const std::shared_ptr<const base::Sealer>& sealer() const { return sealer_; }
  /// What seals the file now; empty: local.key.
  [[nodiscard]] const std::string& unlock_key() const { return unlock_key_; }

 private:
  Status save(const std::string& unlock_key);
  [[nodiscard]] Result<std::shared_ptr<const base::Sealer>> local_sealer(bool make_it);
  [[nodiscard]] Result<std::string> sealed_key();

  /// Of files that hold the key or what opens it, in the order in which they may be removed.
  [[nodiscard]] Result<std::vector<std::string>> names() const;

  const std::string directory_;
  const std::string file_;
  const std::string local_file_;
  Disk& disk_;
  Random& random_;
  std::shared_ptr<const base::Sealer> sealer_;
  std::string unlock_key_;
  std::uint64_t version_ = 0;
  bool locked_ = false;
};

}  // namespace skep::agentd
