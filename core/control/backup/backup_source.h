#pragma once

// Gives the state on disk as the bytes of a backup file (agent/1/backup): one consistent snapshot
// while writes go on, read in pieces on a worker, sent as fast as the other end takes it. Loop
// thread only.

#include <cstdint>
#include <map>
#include <memory>

#include "core/base/sealing.h"
#include "core/store/backup/backup_file.h"
#include "core/store/disk_state.h"
#include "skep/agent.methods.h"
#include "skep/env.h"
#include "skep/rpc.h"

namespace skep::control {

class BackupSource {
 public:
  static constexpr std::size_t kBackupsMax = 2;  ///< at once
  static constexpr std::size_t kChunkBytes = 192 << 10;
  using Stream = rpc::TypedServerStream<agent::v1::methods::Backup>;

  /// `sealer` seals the rows; nullptr: they lie open in the file.
  BackupSource(store::DiskState& disk, std::shared_ptr<const base::Sealer> sealer, Random& random);
  ~BackupSource();
  BackupSource(const BackupSource&) = delete;
  BackupSource& operator=(const BackupSource&) = delete;

  /// The state that holds entry `min_index`. `header` says what only the caller knows.
  /// `unlock_key` is the swarm's, empty when it has none. kResourceExhausted TOO_MANY_BACKUPS.
  void serve(std::uint64_t min_index, store::v1::BackupHeader header, const std::string& unlock_key,
             Stream stream);
  /// Ends all of them: the state on disk is about to be replaced, or the manager stops.
  void drop_all(const Error& error);

 private:
  struct Backup;
  void begin(std::uint64_t id, store::DiskState::Cursor cursor, store::v1::BackupHeader header);
  void pump(std::uint64_t id);
  void read_on(std::uint64_t id, Backup& backup);
  void end(std::uint64_t id, Status status);

  std::string make_rows(Backup& backup, std::vector<store::StoredRow> rows);

  store::DiskState& disk_;
  const std::shared_ptr<const base::Sealer> sealer_;
  Random& random_;
  std::map<std::uint64_t, std::unique_ptr<Backup>> backups_;
  std::uint64_t last_id_ = 0;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace skep::control
