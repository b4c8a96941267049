#pragma once

// What a decider hands to its shell: changes to propose, and when it wants to look again although
// nothing may have changed by then.

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "core/store/transaction.h"
#include "skep/env.h"

namespace skep::control {

namespace pb = model::v1;

/// Result of one look at the store. Each unit is applied whole or not at all; different units may
/// land in different change sets, in any number of them, in order.
struct Decision {
  std::vector<store::Transaction> units = {};
  std::optional<WallTime> wake_at = std::nullopt;

  void add(store::Transaction unit) {
    if (!unit.empty()) {
      units.push_back(std::move(unit));
    }
  }
  void wake(WallTime at) { wake_at = wake_at ? std::min(*wake_at, at) : at; }
  void merge(Decision other) {
    for (store::Transaction& unit : other.units) {
      units.push_back(std::move(unit));
    }
    if (other.wake_at) {
      wake(*other.wake_at);
    }
  }
};

}  // namespace skep::control
