#pragma once

// Arithmetic on reservations. Amounts are exact 64-bit integers, so sums have no rounding.

#include <cstdint>
#include <map>
#include <string>

#include "skep/model.pb.h"

namespace skep::model {

/// What a task takes of its node, or what a node has left. Pids are a limit, never reserved.
struct Amounts {
  std::int64_t nano_cpus = 0;
  std::int64_t memory_bytes = 0;
  std::map<std::string, std::int64_t> generic = {};

  Amounts& operator+=(const Amounts& other);
  Amounts& operator-=(const Amounts& other);
  /// Every amount of `wanted` is at most ours. Wanting nothing of a kind always fits.
  [[nodiscard]] bool fits(const Amounts& wanted) const;
  [[nodiscard]] bool empty() const;
  bool operator==(const Amounts&) const = default;
};

Amounts amounts_of(const v1::Resources& resources);
/// The reservations of a task; limits do not count.
Amounts reservations_of(const v1::TaskSpec& spec);
/// What the node says it has.
Amounts capacity_of(const v1::Node& node);

}  // namespace skep::model
