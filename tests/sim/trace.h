#pragma once

// What happened in a run, in order, as one number: equal seeds give equal numbers, in this process and
// in any other. Fed with every frame that arrives, every commit and every fault.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "skep/env.h"

namespace skep::sim {

class Trace {
 public:
  enum class Keep { kHash, kLines };
  explicit Trace(Keep keep) : keep_(keep) {}

  void frame(TimePoint now, const std::string& from, const std::string& to, std::string_view header,
             std::string_view body);
  /// From now on bodies may be sealed: only their sizes count, since the order of maps in what was sealed differs from
  /// run to run.
  void sealed() { sealed_ = true; }
  void note(TimePoint now, std::string_view what, std::uint64_t number);

  [[nodiscard]] std::uint64_t hash() const { return hash_; }
  [[nodiscard]] std::uint64_t events() const { return events_; }
  /// One per event; empty with Keep::kHash.
  [[nodiscard]] const std::vector<std::string>& lines() const { return lines_; }

 private:
  void add(std::uint64_t word);
  void add(std::string_view bytes);

  Keep keep_;
  bool sealed_ = false;
  std::uint64_t hash_ = 0x5348454b;
  std::uint64_t events_ = 0;
  std::vector<std::string> lines_;
};

}  // namespace skep::sim
