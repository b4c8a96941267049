#pragma once

// The applied state in a LevelDB directory (manager.db). Keys:
//   "f"                          format number, "1"
//   "m"                          skep.store.v1.AppliedMark
//   "o" TABLE(4 bytes, big endian) ID   skep.store.v1.StoredObject
// LevelDB alone does not keep its promise across a power failure: its previous log may be unsynced
// while a newer one is. sync() therefore syncs every log file itself, and the mark carries a hash
// of all rows, so that a hole is found at the next start instead of being served.

#include <memory>
#include <string>

#include "core/store/state_backend.h"

namespace leveldb {
class Cache;
class DB;
}  // namespace leveldb

namespace skep::store {

class LevelDbBackend final : public StateBackend {
 public:
  /// `directory` is made with mode 0700 when missing.
  explicit LevelDbBackend(std::string directory);
  ~LevelDbBackend() override;
  LevelDbBackend(const LevelDbBackend&) = delete;
  LevelDbBackend& operator=(const LevelDbBackend&) = delete;

  Result<LoadedState> open() override;
  Status write(const StateBatch& batch) override;
  Status sync() override;
  Status set_aside() override;
  [[nodiscard]] std::string description() const override { return directory_; }

 private:
  Result<LoadedState> read_all();
  Status open_handle();

  const std::string directory_;
  std::unique_ptr<leveldb::Cache> cache_;  // outlives db_
  std::unique_ptr<leveldb::DB> db_;
};

}  // namespace skep::store
