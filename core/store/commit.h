#pragma once

// What one committed change set did: what watchers and manager loops are told.

#include <cstdint>
#include <string>
#include <vector>

#include "core/store/tables.h"

namespace skep::store {

enum class Action : std::uint8_t { kCreated, kUpdated, kRemoved };

/// One object's change. `before` is empty for kCreated, `after` for kRemoved.
struct Event {
  Table table;
  Action action;
  std::string id;
  Ptr<google::protobuf::MessageLite> before;
  Ptr<google::protobuf::MessageLite> after;

  /// The object as T, or nullptr when this event is of another table or has no such side.
  template <class T>
  [[nodiscard]] const T* before_as() const {
    return table == TableOf<T>::kTable ? static_cast<const T*>(before.get()) : nullptr;
  }
  template <class T>
  [[nodiscard]] const T* after_as() const {
    return table == TableOf<T>::kTable ? static_cast<const T*>(after.get()) : nullptr;
  }
};

/// All changes of one log entry, visible together.
struct Commit {
  std::uint64_t index = 0;  ///< the version of every object it put
  std::string proposer;
  std::int64_t proposed_at = 0;
  std::vector<Event> events;
};

}  // namespace skep::store
