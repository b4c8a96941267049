#pragma once

// What the simulator prints: one line per seed, one table in the end.

#include <map>
#include <string>

#include "outcome.h"

namespace skep::sim {

/// Of all seeds of a run.
struct Totals {
  std::uint64_t green = 0;
  std::uint64_t useless = 0;  ///< did not count
  std::uint64_t wide = 0;
  std::uint64_t sealed = 0;
  std::uint64_t certified = 0;
  std::uint64_t tasks = 0;
  std::uint64_t elections = 0;
  std::uint64_t operations = 0;
  std::uint64_t commits = 0;
  std::uint64_t joined = 0;
  double minutes = 0;
  std::uint64_t told = 0;
  std::map<std::string, std::size_t> faults;
  std::map<std::string, std::size_t> reached;

  void add(const Outcome& outcome);
  /// `seconds` of wall time, `cpu` of this process.
  void print(double seconds, double cpu) const;
  /// False: too many seeds did not count, or a long run never was in one of kSituations. Says which.
  [[nodiscard]] bool enough() const;
};

void print(const Outcome& outcome);

}  // namespace skep::sim
