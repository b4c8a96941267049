#pragma once

// Where the applied state lies between two runs of a manager. Implementations: LevelDB
// (leveldb_backend.h) and memory (memory_backend.h, for the simulator). All calls block; DiskState
// makes them one at a time on a worker thread.

#include <cstdint>
#include <map>
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
  /// Puts a damaged state out of the way (it is kept for people) so that open() starts empty.
  virtual Status set_aside() = 0;
  [[nodiscard]] virtual std::string description() const = 0;
};

}  // namespace skep::store
