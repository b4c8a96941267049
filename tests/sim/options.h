#pragma once

// The command line of the simulator.

#include <cstdint>
#include <string>
#include <vector>

namespace skep::sim {

struct Options {
  std::uint64_t seeds = 20;
  std::uint64_t first_seed = 1;
  std::uint64_t stride = 1;  ///< from one seed to the next: two processes share the work
  bool wide = false;         ///< only wide worlds: the next one from first_seed on, and every stride-th
  double seconds = 0;  ///< 0: no limit
  bool verbose = false;
  bool check_determinism = false;
  bool keep_going = false;  ///< after a red seed
  bool quiet = false;       ///< only red seeds and the sums
  std::string regressions;  ///< file with seeds that run first; empty: none
  std::string mutant;  ///< sim_mutants only: its name; empty: all
  std::vector<std::string> also;  ///< sim_mutants only: test programs that may see what no seed shows
};

/// "--flag value" and "--flag=value". False after saying on stderr what is wrong.
bool parse_options(int argc, char** argv, Options& options);

/// The seeds of a file: one number per line, "#" begins a comment. False after saying what is wrong.
bool read_seeds(const std::string& path, std::vector<std::uint64_t>& seeds);

}  // namespace skep::sim
