#pragma once

// Keeps a copy of the applied state on disk, off the commit path: rows of committed entries are
// gathered on the loop, written by a worker in one batch with the applied mark, and synced from
// time to time. The log may be compacted only below the synced index. Loop thread only.

#include <functional>
#include <memory>
#include <vector>

#include "core/store/state_backend.h"
#include "core/store/store.h"
#include "skep/env.h"

namespace skep::store {

class DiskState {
 public:
  struct Options {
    Duration sync_after = std::chrono::seconds{5};   ///< at latest this long after a write
    std::uint64_t sync_entries = 1'000;              ///< or after so many log entries
    Duration retry_after = std::chrono::seconds{5};  ///< when a write failed (disk full)
  };
  struct Handlers {
    /// Everything up to this entry survives a power failure.
    std::function<void(std::uint64_t index, std::uint64_t term)> on_synced;
    /// A write or sync failed and will be tried again: the reason; empty when it works again.
    std::function<void(const std::string& reason)> on_trouble;
  };

  /// Shares the backend with the worker's job, which may outlive this object.
  DiskState(Env& env, std::shared_ptr<StateBackend> backend, Options options, Handlers handlers);
  ~DiskState();
  DiskState(const DiskState&) = delete;
  DiskState& operator=(const DiskState&) = delete;

  /// Opens the backend, fills `store` (which outlives this object) and follows its commits.
  /// kDataLoss when the state is damaged: see set_aside().
  void load(Store& store, std::function<void(Status)> done);
  /// Puts damaged files aside; load() then starts at index 0 and the log must be replayed.
  void set_aside(std::function<void(Status)> done);
  /// Writes and syncs what is left, then ends. Nothing follows the store afterwards.
  void close(std::function<void(Status)> done);

  using Cursor = std::shared_ptr<StateCursor>;
  /// Answers a cursor over a state on disk that holds at least entry `min_index`, as soon as there
  /// is one. kCancelled: closed before.
  void snapshot(std::uint64_t min_index, std::function<void(Result<Cursor>)> done);
  /// Whether snapshot() would wait, perhaps for ever: that much may never be written here.
  [[nodiscard]] bool snapshot_waits(std::uint64_t min_index) const;
  /// Reads on a worker; see StateCursor.
  void read(const Cursor& cursor, std::size_t bytes,
            std::function<void(Result<std::vector<StoredRow>>)> done);

  /// A state from another manager: begin_install(), install() any number of times, each after the
  /// answer of the one before. finish_install() puts it in place of the present one on disk and in
  /// the store; nothing may be applied until it answered. kDataLoss: it is not what `mark` says.
  void begin_install(std::function<void(Status)> done);
  void install(std::vector<StoredRow> rows, std::function<void(Status)> done);
  void finish_install(v1::AppliedMark mark, std::function<void(Status)> done);

  /// As Options::sync_entries, from now on.
  void set_sync_entries(std::uint64_t entries);

  [[nodiscard]] std::uint64_t synced_index() const;
  [[nodiscard]] std::uint64_t synced_term() const;

 private:
  struct State;
  std::shared_ptr<State> state_;  // shared with work in flight
};

/// The hash in a mark.
inline StateHash hash_of(const v1::AppliedMark& mark) {
  return {mark.state_hash_0(), mark.state_hash_1()};
}

}  // namespace skep::store
