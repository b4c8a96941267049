#pragma once

// What the Raft core reads of the log that is on disk. The write-ahead log is one; tests use one in
// memory. Calls do not change the log.

#include <optional>
#include <vector>

#include "plugins/consensus/raft/types.h"
#include "skep/result.h"

namespace skep::raft {

class LogStorage {
 public:
  virtual ~LogStorage() = default;
  /// Entries up to its index are gone; members as of that index.
  [[nodiscard]] virtual const SnapshotMark& mark() const = 0;
  [[nodiscard]] virtual Index first_index() const = 0;
  /// first_index() - 1 when there are none.
  [[nodiscard]] virtual Index last_index() const = 0;
  /// Also of first_index() - 1; nullopt outside.
  [[nodiscard]] virtual std::optional<Term> term(Index index) const = 0;
  /// From `from` to `to` (both included, both in the log), cut to `bytes_max` but at least one.
  /// Errors are those of the disk; kDataLoss when a record changed since it was written.
  virtual Result<std::vector<Entry>> entries(Index from, Index to, std::size_t bytes_max) = 0;
};

}  // namespace skep::raft
