// The simulator: runs seeds until the time is over or all are done, stops at the first violation.
//
//   sim [--seeds N] [--first-seed K] [--stride D] [--seconds S] [--regressions FILE] [--keep-going]
//       [--quiet] [--verbose]
//   sim --check-determinism [--first-seed K]   runs one seed twice and compares all that happened
//
// A seed with too few nodes, tasks, minutes, operations or faults does not count; more than a few of
// those fail the run. Exit 1: a violation, with the number to replay, or too little was tested; 2: bad
// arguments. sim_mutants (mutants_main.cc) runs the same worlds with defects switched on.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <string>
#include <vector>

#include "options.h"
#include "report.h"
#include "skep/log.h"
#include "world.h"

namespace skep::sim {
namespace {

int check_determinism(std::uint64_t seed) {
  World first(seed, Trace::Keep::kLines);
  (void)first.run();
  World second(seed, Trace::Keep::kLines);
  (void)second.run();
  const auto& a = first.trace().lines();
  const auto& b = second.trace().lines();
  if (first.trace().hash() == second.trace().hash() && a == b) {
    std::printf("seed %llu: two runs of %zu events are equal, trace %016llx\n",
                static_cast<unsigned long long>(seed), a.size(),
                static_cast<unsigned long long>(first.trace().hash()));
    return a.empty() ? 1 : 0;
  }
  const auto [left, right] = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  const auto at = left - a.begin();
  std::printf("seed %llu is not deterministic: its two runs differ at event %td of %zu and %zu\n",
              static_cast<unsigned long long>(seed), at, a.size(), b.size());
  for (auto line = std::max<std::ptrdiff_t>(0, at - 5); line < at; ++line) {
    std::printf("  both:   %s\n", a[static_cast<std::size_t>(line)].c_str());
  }
  std::printf("  first:  %s\n  second: %s\n", left == a.end() ? "(ends)" : left->c_str(),
              right == b.end() ? "(ends)" : right->c_str());
  return 1;
}

int run_seeds(const Options& options, const std::vector<std::uint64_t>& regressions) {
  const auto start = std::chrono::steady_clock::now();
  const auto spent = [start] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  Totals totals;
  int red = 0;
  for (std::uint64_t i = 0; i < regressions.size() + options.seeds; ++i) {
    const bool old = i < regressions.size();
    if (!old && options.seconds > 0 && spent() > options.seconds) {
      break;
    }
    const std::uint64_t seed = old ? regressions[i] : options.first_seed + (i - regressions.size()) * options.stride;
    const Outcome outcome = World(seed).run();
    if (!options.quiet || !outcome.violation.empty()) {
      print(outcome);
    }
    if (outcome.violation.empty()) {
      totals.add(outcome);
      continue;
    }
    ++red;
    if (!options.keep_going) {
      return 1;
    }
  }
  totals.print(spent(), static_cast<double>(std::clock()) / CLOCKS_PER_SEC);
  if (!totals.enough()) {
    std::printf("too little was tested: too many seeds did not count\n");
  }
  if (red > 0) {
    std::printf("%d seeds were red\n", red);
  }
  return red == 0 && totals.enough() ? 0 : 1;
}

}  // namespace
}  // namespace skep::sim

int main(int argc, char** argv) {
  skep::sim::Options options;
  std::vector<std::uint64_t> regressions;
  if (!skep::sim::parse_options(argc, argv, options) ||
      (!options.regressions.empty() && !skep::sim::read_seeds(options.regressions, regressions))) {
    return 2;
  }
  if (options.verbose) {
    skep::log::set_level(skep::LogLevel::kDebug);
  } else {
    skep::log::set_sink([](skep::LogLevel, std::string_view) {});  // disks fail all the time here
  }
  return options.check_determinism ? skep::sim::check_determinism(options.first_seed)
                                   : skep::sim::run_seeds(options, regressions);
}
