#pragma once

// Whether a history of operations on registers is linearizable. Pure; see README.md.

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace skep::lin {

enum class Kind : std::uint8_t {
  kRead,    ///< saw `value`
  kCreate,  ///< nothing was there; now `value` is
  kUpdate,  ///< `expected` was there; now `value` is
  kRemove,  ///< something was there; now nothing is
};

inline constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();

struct Operation {
  int client = 0;
  Kind kind = Kind::kRead;
  std::string key;
  std::string expected = {};
  std::string value = {};        ///< empty: absent
  std::int64_t called = 0;       ///< any clock that all clients share
  std::int64_t returned = kNever;  ///< kNever: its outcome is unknown
};

struct Verdict {
  bool linearizable = true;
  bool gave_up = false;  ///< the limit of steps was reached: nothing is known
  std::string key;       ///< the first that failed
  std::string why;       ///< the longest explanation found and what does not fit behind it
  std::size_t steps = 0;
};

/// At most `steps_max` steps of search per key.
Verdict check(const std::vector<Operation>& history, std::size_t steps_max = 10'000'000);

std::string describe(const Operation& operation);

}  // namespace skep::lin
