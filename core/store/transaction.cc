#include "core/store/transaction.h"

namespace skep::store {
namespace {

// Beside its own fields a change costs its tag and length in the set; a set its proposer and time.
constexpr std::size_t kChangeOverheadBytes = 12;
constexpr std::size_t kSetOverheadBytes = 256;
constexpr std::size_t kChangesBytesMax = kChangeSetBytesMax - kSetOverheadBytes;

}  // namespace

std::size_t Transaction::cost(const v1::Change& change) {
  return change.ByteSizeLong() + kChangeOverheadBytes;
}

void Transaction::add(Table table, const std::string& id, std::uint64_t expected,
                      std::string object, bool remove) {
  SKEP_ASSERT(!id.empty(), "whoever makes an object gives it an id first");
  auto [it, is_new] = changes_.try_emplace({table, id});
  v1::Change& change = it->second;
  if (is_new) {
    change.set_table(static_cast<std::uint32_t>(table));
    change.set_id(id);
    change.set_expected_version(expected);
  } else {
    bytes_ -= cost(change);
    expected = change.expected_version();
  }
  if (remove && expected == 0) {
    changes_.erase(it);  // made and removed within the transaction: nothing happened
    return;
  }
  change.set_remove(remove);
  change.set_object(std::move(object));
  bytes_ += cost(change);
}

bool Transaction::has_room_for(const Transaction& other) const {
  return size() + other.size() <= kChangesMax && bytes() + other.bytes() <= kChangesBytesMax;
}

void Transaction::merge(Transaction other) {
  if (changes_.empty()) {
    *this = std::move(other);
    other = Transaction();
    return;
  }
  for (auto& [key, change] : other.changes_) {
    add(key.first, key.second, change.expected_version(), std::move(*change.mutable_object()),
        change.remove());
  }
}

Result<std::string> Transaction::encode(std::string_view proposer, std::int64_t proposed_at) const {
  if (changes_.empty()) {
    return Error{Code::kInvalidArgument, "an empty change set cannot be proposed",
                 "CHANGE_SET_EMPTY"};
  }
  v1::ChangeSet set;
  set.set_proposer(std::string(proposer));
  set.set_proposed_at(proposed_at);
  for (const auto& [key, change] : changes_) {
    *set.add_changes() = change;
  }
  std::string encoded = set.SerializeAsString();
  if (size() > kChangesMax || encoded.size() > kChangeSetBytesMax) {
    return Error{Code::kInvalidArgument,
                 "change set of " + std::to_string(size()) + " changes and " +
                     std::to_string(encoded.size()) + " bytes is above the limit of " +
                     std::to_string(kChangesMax) + " changes and " +
                     std::to_string(kChangeSetBytesMax) + " bytes; make the objects smaller",
                 "CHANGE_SET_TOO_LARGE"};
  }
  return encoded;
}

void Batch::add(Transaction unit) {
  if (unit.empty()) {
    return;
  }
  if (!open_.empty() && !open_.has_room_for(unit)) {
    full_.push_back(std::move(open_));
    open_ = Transaction();
  }
  open_.merge(std::move(unit));
}

std::vector<Transaction> Batch::take() {
  std::vector<Transaction> all = std::move(full_);
  full_.clear();
  if (!open_.empty()) {
    all.push_back(std::move(open_));
  }
  open_ = Transaction();
  return all;
}

}  // namespace skep::store
