#pragma once

// Where the applied state lies between two runs of a manager. Implementations: LevelDB
// (leveldb_backend.h) and memory (memory_backend.h, for the simulator). All calls block; DiskState
// makes them one at a time on a worker thread.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/store/store.h"
#include "skep/result.h"

namespace skep::store {

/// Rows to write and the mark of the last entry they contain; atomic.
struct StateBatch {
  /// By (table, id); no object means removed.
  std::map<std::pair<std::uint32_t, std::string>, std::optional<v1::StoredObject>> rows;
  v1::AppliedMark mark;
};

struct LoadedState {
  v1::AppliedMark mark;  ///< index 0: nothing was ever stored
  std::vector<StoredRow> rows;
};

/// Reads a whole state as it was at one moment, while writes go on. Calls block; one at a time, on
/// any worker thread. May outlive the backend.
class StateCursor {
 public:
  virtual ~StateCursor() = default;
  [[nodiscard]] virtual const v1::AppliedMark& mark() const = 0;
  /// The next rows, of at least `bytes` together unless it is the end; none: that was all.
  /// kUnavailable: the backend was opened again meanwhile.
  virtual Result<std::vector<StoredRow>> read(std::size_t bytes) = 0;
};

class StateBackend {
 public:
  virtual ~StateBackend() = default;
  /// Opens (creating when missing) and reads everything. Also heals a handle that failed.
  /// kDataLoss: damaged; the message names the file. kFailedPrecondition: in use by another.
  virtual Result<LoadedState> open() = 0;
  /// Atomic, perhaps lost by a power failure until sync() succeeded. After an error open() again.
  virtual Status write(const StateBatch& batch) = 0;
  /// Everything written so far reaches stable storage.
  virtual Status sync() = 0;
  /// kUnavailable: not open.
  virtual Result<std::unique_ptr<StateCursor>> snapshot() = 0;
  /// A state that came from another manager, gathered beside the present one: begins anew.
  virtual Status begin_install() = 0;
  virtual Status install(const std::vector<StoredRow>& rows) = 0;
  /// What was gathered takes the place of the present state, whole and on stable storage, or not at
  /// all (also over a power failure). Answers it as open() would.
  virtual Result<LoadedState> finish_install(const v1::AppliedMark& mark) = 0;
  /// Puts a damaged state out of the way (it is kept for people) so that open() starts empty.
  virtual Status set_aside() = 0;
  [[nodiscard]] virtual std::string description() const = 0;
};

}  // namespace skep::store
