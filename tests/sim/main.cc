// The simulator: runs seeds until the time is over or all are done, stops at the first violation.
//
//   sim [--seeds N] [--first-seed K] [--seconds S] [--regressions FILE] [--verbose]
//   sim --check-determinism [--first-seed K]   runs one seed twice and compares all that happened
//   sim_mutants --mutant M [...]               with one defect switched on: success means it was caught
//
// A seed with too few nodes, tasks, minutes or faults does not count; more than a few of those fail the
// run. Exit 1: a violation, with the number to replay, or too little was tested; 2: bad arguments.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "options.h"
#include "skep/log.h"
#include "world.h"

namespace skep::sim {
namespace {

constexpr double kUselessMax = 0.03;  // share of seeds that may not count

std::string list(const std::map<std::string, std::size_t>& counts) {
  std::string text;
  for (const auto& [name, count] : counts) {
    text += (text.empty() ? "" : ", ") + name + " " + std::to_string(count);
  }
  return text.empty() ? "none" : text;
}

struct Totals {
  std::uint64_t green = 0;
  std::uint64_t useless = 0;  // did not count
  std::uint64_t tasks = 0;
  double minutes = 0;
  std::map<std::string, std::size_t> faults;

  void add(const Outcome& outcome) {
    outcome.why_it_does_not_count().empty() ? ++green : ++useless;
    tasks += outcome.tasks;
    minutes += outcome.virtual_minutes;
    for (const auto& [name, count] : outcome.faults) {
      faults[name] += count;
    }
  }
  void print(double seconds) const {
    const double seeds = static_cast<double>(std::max<std::uint64_t>(green + useless, 1));
    std::printf("%llu seeds green, %llu did not count; %llu tasks, %.1f virtual hours, %.2f s per seed\n"
                "faults that fired: %s\n",
                static_cast<unsigned long long>(green), static_cast<unsigned long long>(useless),
                static_cast<unsigned long long>(tasks), minutes / 60, seconds / seeds,
                list(faults).c_str());
  }
  [[nodiscard]] bool enough() const {
    return green > 0 && static_cast<double>(useless) <=
                            std::max(1.0, kUselessMax * static_cast<double>(green + useless));
  }
};

void print(const Outcome& outcome) {
  const std::string useless = outcome.why_it_does_not_count();
  std::printf("seed %llu: %zu nodes, %zu tasks, %.1f virtual minutes, %zu commits, %llu frames, trace "
              "%016llx; faults: %s%s%s\n",
              static_cast<unsigned long long>(outcome.seed), outcome.nodes, outcome.tasks,
              outcome.virtual_minutes, outcome.commits,
              static_cast<unsigned long long>(outcome.frames),
              static_cast<unsigned long long>(outcome.trace_hash), list(outcome.faults).c_str(),
              useless.empty() ? "" : "; DOES NOT COUNT: ", useless.c_str());
  if (!outcome.violation.empty()) {
    std::printf("VIOLATION in seed %llu: %s\nreplay: sim --first-seed %llu --seeds 1\n",
                static_cast<unsigned long long>(outcome.seed), outcome.violation.c_str(),
                static_cast<unsigned long long>(outcome.seed));
  }
  std::fflush(stdout);
}

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
  for (std::uint64_t i = 0; i < regressions.size() + options.seeds; ++i) {
    const bool old = i < regressions.size();
    if (!old && options.seconds > 0 && spent() > options.seconds) {
      break;
    }
    const std::uint64_t seed = old ? regressions[i] : options.first_seed + i - regressions.size();
    const Outcome outcome = World(seed).run();
    print(outcome);
    if (!outcome.violation.empty()) {
      if (options.mutant == 0) {
        return 1;
      }
      std::printf("mutant %d was caught after %llu seeds\n", options.mutant,
                  static_cast<unsigned long long>(i + 1));
      return 0;
    }
    totals.add(outcome);
  }
  totals.print(spent());
  if (options.mutant != 0) {
    std::printf("mutant %d was not caught\n", options.mutant);
    return 1;
  }
  if (!totals.enough()) {
    std::printf("too little was tested: too many seeds did not count\n");
    return 1;
  }
  return 0;
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
  skep::log::set_level(options.verbose ? skep::LogLevel::kDebug : skep::LogLevel::kError);
  return options.check_determinism ? skep::sim::check_determinism(options.first_seed)
                                   : skep::sim::run_seeds(options, regressions);
}
