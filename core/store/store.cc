#include "core/store/store.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <utility>

#include "core/store/transaction.h"
#include "skep/log.h"
#include "skep/mutant.h"

namespace skep::store {
namespace {

constexpr std::size_t kIdBytesMax = 256;

std::uint64_t mix(std::uint64_t value) {
  value ^= value >> 32;
  value *= 0xd6e8feb86659fd93ULL;
  value ^= value >> 32;
  value *= 0xd6e8feb86659fd93ULL;
  return value ^ (value >> 32);
}

// The hash compares states of managers that trust each other; it is not meant against attackers.
void absorb(StateHash& hash, std::uint64_t word) {
  hash[0] = mix(hash[0] ^ word);
  hash[1] = mix(hash[1] + word + 0x9e3779b97f4a7c15ULL);
}

void absorb(StateHash& hash, std::string_view bytes) {
  absorb(hash, bytes.size());
  while (!bytes.empty()) {
    std::uint64_t word = 0;
    const std::size_t size = std::min<std::size_t>(bytes.size(), 8);
    std::memcpy(&word, bytes.data(), size);
    absorb(hash, word);
    bytes.remove_prefix(size);
  }
}

StateHash digest_of(std::uint32_t table, const std::string& id, const v1::StoredObject& object) {
  StateHash hash{0x5348454b50000001ULL, 0x5348454b50000002ULL};
  absorb(hash, table);
  absorb(hash, id);
  absorb(hash, object.version());
  absorb(hash, static_cast<std::uint64_t>(object.created_at()));
  absorb(hash, static_cast<std::uint64_t>(object.updated_at()));
  absorb(hash, object.object());
  return hash;
}

// Sums do not depend on the order of rows and can be taken back.
void take_digest(StateHash& hash, const StateHash& digest) {
  hash[0] -= digest[0];
  hash[1] -= digest[1];
}

std::string describe(const v1::Change& change) {
  std::string name{table_name(static_cast<Table>(change.table()))};
  if (name.empty()) {
    name = "table " + std::to_string(change.table());
  }
  return name + " '" + change.id() + "'";
}

}  // namespace

StateHash digest_of(const StoredRow& row) {
  return digest_of(row.table, row.id, row.object);
}

void add_digest(StateHash& sum, const StateHash& digest) {
  sum[0] += digest[0];
  sum[1] += digest[1];
}

std::string Store::find_fault(const v1::ChangeSet& set, Outcome& outcome) const {
  outcome = Outcome::kMalformed;
  if (set.changes_size() == 0 || static_cast<std::size_t>(set.changes_size()) > kChangesMax) {
    return "change set has " + std::to_string(set.changes_size()) + " changes; 1 to " +
           std::to_string(kChangesMax) + " are allowed";
  }
  std::set<std::pair<std::uint32_t, std::string_view>> seen;
  for (const auto& change : set.changes()) {
    if (change.id().empty() || change.id().size() > kIdBytesMax || change.table() == 0) {
      return "a change has no table, no id or one that is too long";
    }
    if (!seen.emplace(change.table(), change.id()).second) {
      return describe(change) + " is changed twice in one change set";
    }
    if (change.remove() && change.expected_version() == 0) {
      return describe(change) + " is removed without the version that was read";
    }
  }
  outcome = Outcome::kConflict;
  for (const auto& change : set.changes()) {
    const auto table = rows_.find(change.table());
    const Row* row = nullptr;
    if (table != rows_.end()) {
      const auto it = table->second.find(change.id());
      row = it == table->second.end() ? nullptr : &it->second;
    }
    const std::uint64_t version = row == nullptr ? 0 : row->version;
    if (version != change.expected_version() && !SKEP_MUTANT(kStoreIgnoresVersions)) {
      return describe(change) + " is at version " + std::to_string(version) + ", not " +
             std::to_string(change.expected_version()) + "; read it again";
    }
  }
  outcome = Outcome::kApplied;
  return {};
}

Result<ApplyResult> Store::apply(std::uint64_t index, std::uint64_t term,
                                 std::string_view change_set) {
  if (index != applied_index() + 1) {
    return Error{Code::kFailedPrecondition,
                 "log entry " + std::to_string(index) + " does not follow applied entry " +
                     std::to_string(applied_index()),
                 "LOG_GAP"};
  }
  ApplyResult result;
  v1::ChangeSet set;
  if (!change_set.empty()) {
    if (change_set.size() > kChangeSetBytesMax ||
        !set.ParseFromArray(change_set.data(), static_cast<int>(change_set.size()))) {
      result.outcome = Outcome::kMalformed;
      result.message = "log entry " + std::to_string(index) + " holds no change set";
    } else {
      result.proposer = set.proposer();
      result.message = find_fault(set, result.outcome);
    }
  }
  view_.applied_index_ = index;
  applied_term_ = term;
  Commit commit{index, set.proposer(), set.proposed_at(), {}};
  std::vector<v1::StoredObject> stored;
  AppliedRows applied{index, term, {}, {}};
  if (result.outcome == Outcome::kApplied) {
    stored.reserve(static_cast<std::size_t>(set.changes_size()));  // rows point into it
    for (const auto& change : set.changes()) {
      apply_change(index, set, change, commit, stored);
      applied.rows.push_back(
          {change.table(), &change.id(), change.remove() ? nullptr : &stored.back()});
    }
  }
  if (on_rows_) {
    applied.hash = hash_;
    on_rows_(applied);
  }
  if (result.outcome == Outcome::kApplied) {
    publish(std::move(commit));
  }
  return result;
}

void Store::apply_change(std::uint64_t index, const v1::ChangeSet& set, const v1::Change& change,
                         Commit& commit, std::vector<v1::StoredObject>& stored) {
  auto& table = rows_[change.table()];
  const auto it = table.find(change.id());
  const v1::StoredObject* object = nullptr;
  if (!change.remove()) {
    auto& made = stored.emplace_back();
    made.set_version(index);
    made.set_object(change.object());
    made.set_created_at(it == table.end() ? set.proposed_at() : it->second.created_at);
    made.set_updated_at(set.proposed_at());
    object = &made;
  }
  Event event = install(change.table(), change.id(), object);
  if (event.before != nullptr || event.after != nullptr) {
    commit.events.push_back(std::move(event));
  }
}

Event Store::install(std::uint32_t table, const std::string& id, const v1::StoredObject* object) {
  auto& rows = rows_[table];
  if (const auto it = rows.find(id); it != rows.end()) {
    take_digest(hash_, it->second.digest);
    if (object == nullptr) {
      rows.erase(it);
    }
  }
  if (object != nullptr) {
    Row& row = rows[id];
    row = Row{object->version(), object->created_at(), digest_of(table, id, *object)};
    add_digest(hash_, row.digest);
  }
  switch (static_cast<Table>(table)) {
    case Table::kCluster:
      return install_as<model::v1::Cluster>(id, object);
    case Table::kNode:
      return install_as<model::v1::Node>(id, object);
    case Table::kService:
      return install_as<model::v1::Service>(id, object);
    case Table::kTask:
      return install_as<model::v1::Task>(id, object);
    case Table::kNetwork:
      return install_as<model::v1::Network>(id, object);
    case Table::kSecret:
      return install_as<model::v1::Secret>(id, object);
    case Table::kConfig:
      return install_as<model::v1::Config>(id, object);
    case Table::kRemovedNode:
      return install_as<model::v1::RemovedNode>(id, object);
    case Table::kVolume:
      break;
  }
  return Event{static_cast<Table>(table), Action::kUpdated, id, nullptr, nullptr};
}

template <class T>
Event Store::install_as(const std::string& id, const v1::StoredObject* object) {
  const Ptr<T> before = view_.get<T>(id);
  Ptr<T> after;
  if (object != nullptr) {
    auto decoded = std::make_shared<T>();
    if (decoded->ParseFromString(object->object()) && decoded->id() == id) {
      auto& meta = *decoded->mutable_meta();
      meta.set_version(object->version());
      meta.set_created_at(object->created_at());
      meta.set_updated_at(object->updated_at());
      after = std::move(decoded);
    } else {
      // The row stays (every manager has it), but nobody can read it.
      SKEP_ERROR("stored object cannot be decoded", {"table", table_name(TableOf<T>::kTable)},
                 {"id", id}, {"version", object->version()});
    }
  }
  view_.replace<T>(id, before, after);
  Action action = Action::kUpdated;
  if (before == nullptr) {
    action = Action::kCreated;
  } else if (after == nullptr) {
    action = Action::kRemoved;
  }
  return Event{TableOf<T>::kTable, action, id, before, after};
}

void Store::load(std::uint64_t index, std::uint64_t term, const std::vector<StoredRow>& rows) {
  view_ = View();
  rows_.clear();
  hash_ = {};
  history_.clear();
  history_events_ = 0;
  history_after_ = index;
  view_.applied_index_ = index;
  applied_term_ = term;
  for (const auto& row : rows) {
    install(row.table, row.id, &row.object);
  }
}

SubscriptionId Store::subscribe(OnCommit on_commit) {
  subscribers_.emplace(++last_subscription_, std::make_shared<OnCommit>(std::move(on_commit)));
  return last_subscription_;
}

Result<SubscriptionId> Store::subscribe_after(std::uint64_t after, OnCommit on_commit) {
  if (after < history_after_ || after > applied_index()) {
    return Error{Code::kFailedPrecondition,
                 "changes after version " + std::to_string(after) +
                     " are no longer kept; start again from a snapshot",
                 "SNAPSHOT_AGAIN"};
  }
  const std::uint64_t known = after + (SKEP_MUTANT(kWatchResumesLate) ? 1 : 0);
  for (const auto& commit : history_) {
    if (commit.index > known) {
      on_commit(commit);
    }
  }
  return subscribe(std::move(on_commit));
}

void Store::unsubscribe(SubscriptionId id) {
  subscribers_.erase(id);
}

void Store::publish(Commit commit) {
  history_events_ += commit.events.size();
  history_.push_back(std::move(commit));
  const Commit& last = history_.back();
  std::vector<SubscriptionId> ids;
  ids.reserve(subscribers_.size());
  for (const auto& [id, callback] : subscribers_) {
    ids.push_back(id);
  }
  for (const SubscriptionId id : ids) {
    const auto it = subscribers_.find(id);
    if (it != subscribers_.end()) {
      const auto callback = it->second;  // it may unsubscribe itself
      (*callback)(last);
    }
  }
  while (history_events_ > kHistoryEventsMax && history_.size() > 1) {
    history_events_ -= history_.front().events.size();
    history_after_ = history_.front().index;
    history_.pop_front();
  }
}

}  // namespace skep::store
