#pragma once

// How change sets are made. A Transaction collects puts and removals with the versions they
// expect; a Batch packs many small transactions into as few change sets as the limits allow.

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/store/view.h"
#include "skep/result.h"
#include "skep/store.pb.h"

namespace skep::store {

inline constexpr std::size_t kChangesMax = 200;
inline constexpr std::size_t kChangeSetBytesMax = 1'572'864 - 64;  // encoded; 1.5 MiB when sealed

/// Applied whole or not at all. Movable, not copyable; holds no reference to the view it read.
class Transaction {
 public:
  Transaction() = default;
  Transaction(Transaction&&) = default;
  Transaction& operator=(Transaction&&) = default;

  /// Creates the object when its meta.version is 0, else replaces the version it was read at (copy
  /// an object of the View, change it, put it). A second put of the same id within the transaction
  /// replaces the first and keeps the version that was read. `object.id` must not be empty.
  template <class T>
  void put(T object) {
    const std::uint64_t version = object.meta().version();
    // Version and times are the log's to give; what is stored must not depend on who read it.
    object.mutable_meta()->clear_version();
    object.mutable_meta()->clear_created_at();
    object.mutable_meta()->clear_updated_at();
    add(TableOf<T>::kTable, object.id(), version, object.SerializeAsString(), /*remove=*/false);
  }
  /// Removes the version that was read.
  template <class T>
  void remove(const T& object) {
    add(TableOf<T>::kTable, object.id(), object.meta().version(), {}, /*remove=*/true);
  }

  [[nodiscard]] bool empty() const { return changes_.empty(); }
  [[nodiscard]] std::size_t size() const { return changes_.size(); }
  /// Upper bound of the encoded size.
  [[nodiscard]] std::size_t bytes() const { return bytes_; }
  /// Whether `other` could join without passing a limit.
  [[nodiscard]] bool has_room_for(const Transaction& other) const;
  /// Takes over the changes of `other`; where both change one object, the later put wins.
  void merge(Transaction other);

  /// Encodes. kInvalidArgument: empty or above a limit (CHANGE_SET_TOO_LARGE).
  Result<std::string> encode(std::string_view proposer, std::int64_t proposed_at) const;

 private:
  void add(Table table, const std::string& id, std::uint64_t expected, std::string object,
           bool remove);
  static std::size_t cost(const v1::Change& change);

  std::map<std::pair<Table, std::string>, v1::Change> changes_;
  std::size_t bytes_ = 0;
};

/// Packs units that must each stay whole; different units may land in different change sets.
class Batch {
 public:
  /// Empty units are ignored.
  void add(Transaction unit);
  template <class T>
  void put(T object) {
    Transaction unit;
    unit.put(std::move(object));
    add(std::move(unit));
  }
  template <class T>
  void remove(const T& object) {
    Transaction unit;
    unit.remove(object);
    add(std::move(unit));
  }
  [[nodiscard]] bool empty() const { return full_.empty() && open_.empty(); }
  /// The packed transactions, in order of adding; the batch is empty afterwards.
  std::vector<Transaction> take();

 private:
  std::vector<Transaction> full_;
  Transaction open_;
};

}  // namespace skep::store
