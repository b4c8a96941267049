#pragma once

// The applied state in a LevelDB directory (manager.db). Keys:
//   "f"                          format number, "1"
//   "m"                          skep.store.v1.AppliedMark
//   "o" TABLE(4 bytes, big endian) ID   skep.store.v1.StoredObject
// LevelDB alone does not keep its promise across a power failure: its previous log may be unsynced
// while a newer one is. sync() therefore syncs every log file itself, and the mark carries a hash
// of all rows, so that a hole is found at the next start instead of being served.
//
// A state that comes from another manager is gathered in DIRECTORY.incoming and synced; then
// DIRECTORY becomes DIRECTORY.old and .incoming becomes DIRECTORY. Without DIRECTORY, an .incoming
// beside an .old is complete.

#include <memory>
#include <string>

#include "core/store/state_backend.h"

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
  Result<std::unique_ptr<StateCursor>> snapshot() override;
  Status begin_install() override;
  Status install(const std::vector<StoredRow>& rows) override;
  Result<LoadedState> finish_install(const v1::AppliedMark& mark) override;
  [[nodiscard]] std::string description() const override { return directory_; }

 private:
  class Cursor;
  struct Handle;
  using HandlePtr = std::shared_ptr<Handle>;
  Result<LoadedState> read_all();
  Status open_handle();
  void close_handle();
  Result<HandlePtr> open_at(const std::string& directory);
  /// A swap of states that a crash interrupted goes on or back.
  Status finish_swap();

  const std::string directory_;
  HandlePtr handle_;    // cursors share it
  HandlePtr incoming_;  // the state being gathered, in DIRECTORY.incoming
};

}  // namespace skep::store
