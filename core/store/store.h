#pragma once

// The replicated cluster state in memory: typed tables, their indexes, and who is told of changes.
// Every manager applies the same change sets in the same order and comes to the same state; object
// bytes are hashed as proposed and never re-serialised. Control loop thread only. Writes go through
// a Proposer (proposer.h); only the consensus client calls apply().

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/store/commit.h"
#include "core/store/view.h"
#include "skep/result.h"
#include "skep/store.pb.h"

namespace skep::store {

/// What became of a log entry. Only kApplied changed anything; every manager comes to the same.
enum class Outcome : std::uint8_t {
  kApplied,
  kEmpty,      ///< no data: the leader's no-op or a membership entry
  kConflict,   ///< some object was not at the version expected
  kMalformed,  ///< not a change set, or one that breaks the rules (limits, an id twice, no id)
};
struct ApplyResult {
  Outcome outcome = Outcome::kEmpty;
  std::string proposer;  ///< of the change set, when it could be read
  std::string message;   ///< why it was rejected
};

/// One object as it lies on disk and in snapshots.
struct StoredRow {
  std::uint32_t table = 0;
  std::string id;
  v1::StoredObject object;
};

using StateHash = std::array<std::uint64_t, 2>;
/// The part of a state's hash that one row makes; the hash is the sum over all rows.
StateHash digest_of(const StoredRow& row);
void add_digest(StateHash& sum, const StateHash& digest);
using SubscriptionId = std::uint64_t;
using OnCommit = std::function<void(const Commit&)>;
/// One row that a log entry changed; no `object` means removed. For disk_state.
struct RowChange {
  std::uint32_t table = 0;
  const std::string* id = nullptr;
  const v1::StoredObject* object = nullptr;
};
/// What one log entry did to the rows, and the hash of all rows after it.
struct AppliedRows {
  std::uint64_t index = 0;
  std::uint64_t term = 0;
  StateHash hash{};
  std::vector<RowChange> rows;
};
using OnRows = std::function<void(const AppliedRows&)>;

class Store {
 public:
  /// Commits kept for watchers that resume; older ones are dropped.
  static constexpr std::size_t kHistoryEventsMax = 4'096;

  Store() = default;
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  [[nodiscard]] const View& view() const { return view_; }
  [[nodiscard]] std::uint64_t applied_index() const { return view_.applied_index(); }
  [[nodiscard]] std::uint64_t applied_term() const { return applied_term_; }

  /// Applies the entry at `index`, which must be applied_index() + 1 (kFailedPrecondition
  /// LOG_GAP otherwise). Rejections are results, not errors: the index moves on.
  Result<ApplyResult> apply(std::uint64_t index, std::uint64_t term, std::string_view change_set);

  /// Replaces the whole state by one that was saved at `index` (start, snapshot). Watchers are
  /// not told; their resume point is lost.
  void load(std::uint64_t index, std::uint64_t term, const std::vector<StoredRow>& rows);

  /// Calls `on_commit` for every commit after now; read the view first and nothing is missed.
  SubscriptionId subscribe(OnCommit on_commit);
  /// First the kept commits above `after` (within this call), then new ones. kFailedPrecondition
  /// SNAPSHOT_AGAIN: the history does not reach back that far, or `after` lies in the future.
  Result<SubscriptionId> subscribe_after(std::uint64_t after, OnCommit on_commit);
  /// Unknown ids are ignored. Allowed from within a callback.
  void unsubscribe(SubscriptionId id);

  /// Told of every applied entry, also empty and rejected ones, before the watchers.
  void set_on_rows(OnRows on_rows) { on_rows_ = std::move(on_rows); }

  /// Equal on managers whose objects are equal, bytes and versions. Kept up to date, O(1).
  [[nodiscard]] StateHash state_hash() const { return hash_; }

 private:
  struct Row {
    std::uint64_t version = 0;
    std::int64_t created_at = 0;
    StateHash digest{};
  };
  using Rows = std::unordered_map<std::string, Row>;

  [[nodiscard]] std::string find_fault(const v1::ChangeSet& set, Outcome& outcome) const;
  void apply_change(std::uint64_t index, const v1::ChangeSet& set, const v1::Change& change,
                    Commit& commit, std::vector<v1::StoredObject>& stored);
  Event install(std::uint32_t table, const std::string& id, const v1::StoredObject* object);
  template <class T>
  Event install_as(const std::string& id, const v1::StoredObject* object);
  void publish(Commit commit);

  View view_;
  std::map<std::uint32_t, Rows> rows_;  // unknown tables too: a newer manager may know them
  StateHash hash_{};
  std::uint64_t applied_term_ = 0;
  OnRows on_rows_;
  std::deque<Commit> history_;
  std::size_t history_events_ = 0;
  std::uint64_t history_after_ = 0;  // the history holds every commit above this index
  std::map<SubscriptionId, std::shared_ptr<OnCommit>> subscribers_;  // shared: it may end itself
  SubscriptionId last_subscription_ = 0;
};

}  // namespace skep::store
