#pragma once

// "did you mean": the nearest of the names that exist.

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace skep::model {

/// Letters to change, add or drop to make `a` out of `b`.
inline std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) {
    row[j] = j;
  }
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t substitute = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = std::exchange(row[j], std::min({row[j] + 1, row[j - 1] + 1, substitute}));
    }
  }
  return row[b.size()];
}

/// The name at most three letters away from `given`, or "".
inline std::string nearest(std::string_view given, const std::vector<std::string>& names) {
  std::string best;
  for (const std::string& name : names) {
    if (best.empty() || edit_distance(given, name) < edit_distance(given, best)) {
      best = name;
    }
  }
  return !best.empty() && edit_distance(given, best) <= 3 ? best : "";
}

/// "; did you mean 'x'?" or "".
inline std::string did_you_mean(std::string_view given, const std::vector<std::string>& names) {
  const std::string name = nearest(given, names);
  return name.empty() ? "" : "; did you mean '" + name + "'?";
}

}  // namespace skep::model
