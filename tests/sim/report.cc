#include "report.h"

#include <algorithm>
#include <cstdio>

namespace skep::sim {

namespace {

constexpr std::uint64_t kLong = 60;   // narrow seeds of a run that must have reached everything
constexpr double kUselessMax = 0.03;  // share of seeds that may not count

using Count = unsigned long long;

std::string list(const std::map<std::string, std::size_t>& counts) {
  std::string text;
  for (const auto& [name, count] : counts) {
    text += (text.empty() ? "" : ", ") + name + " " + std::to_string(count);
  }
  return text.empty() ? "none" : text;
}

}  // namespace

void Totals::add(const Outcome& outcome) {
  outcome.why_it_does_not_count().empty() ? ++green : ++useless;
  wide += outcome.wide ? 1 : 0;
  sealed += outcome.sealed ? 1 : 0;
  certified += outcome.certified ? 1 : 0;
  tasks += outcome.tasks;
  elections += outcome.elections;
  operations += outcome.operations;
  commits += outcome.commits;
  joined += outcome.joined;
  minutes += outcome.virtual_minutes;
  told += outcome.told;
  for (const auto& [name, count] : outcome.faults) {
    faults[name] += count;
  }
  for (const auto& [name, count] : outcome.reached) {
    reached[name] += count;
  }
}

void Totals::print(double seconds, double cpu) const {
  const double seeds = static_cast<double>(std::max<std::uint64_t>(green + useless, 1));
  std::printf("%llu seeds green (%llu wide, %llu sealed, %llu with certificates), %llu did not count; %.1f virtual hours, %llu elections, "
              "%llu managers joined, %llu tasks, %llu commits, %llu client operations linearizable, "
              "%llu events watched; %.2f s and %.2f s of CPU per seed\nfaults that fired: %s\nreached: %s\n",
              static_cast<Count>(green), static_cast<Count>(wide), static_cast<Count>(sealed), static_cast<Count>(certified),
              static_cast<Count>(useless), minutes / 60, static_cast<Count>(elections), static_cast<Count>(joined),
              static_cast<Count>(tasks), static_cast<Count>(commits), static_cast<Count>(operations),
              static_cast<Count>(told), seconds / seeds, cpu / seeds, list(faults).c_str(), list(reached).c_str());
}

bool Totals::enough() const {
  bool all_reached = true;
  for (const char* situation : kSituations) {
    const auto found = reached.find(situation);
    if (green >= wide + kLong && (found == reached.end() || found->second == 0)) {
      std::printf("never reached: %s\n", situation);
      all_reached = false;
    }
  }
  return all_reached && green > 0 && static_cast<double>(useless) <=
                          std::max(1.0, kUselessMax * static_cast<double>(green + useless));
}

void print(const Outcome& outcome) {
  const std::string useless = outcome.why_it_does_not_count();
  std::printf("seed %llu: %zu managers (%zu joined), %zu nodes, %zu tasks, %.1f virtual minutes, "
              "%zu elections, %zu commits, %zu operations, %llu frames (%llu lost), trace %016llx; faults: %s%s%s\n",
              static_cast<Count>(outcome.seed), outcome.managers, outcome.joined, outcome.nodes,
              outcome.tasks, outcome.virtual_minutes, outcome.elections, outcome.commits,
              outcome.operations, static_cast<Count>(outcome.frames),
              static_cast<Count>(outcome.frames_lost),
              static_cast<Count>(outcome.trace_hash), list(outcome.faults).c_str(),
              useless.empty() ? "" : "; DOES NOT COUNT: ", useless.c_str());
  if (!outcome.violation.empty()) {
    std::printf("VIOLATION in seed %llu: %s\nreplay: sim --first-seed %llu --seeds 1\n",
                static_cast<Count>(outcome.seed), outcome.violation.c_str(),
                static_cast<Count>(outcome.seed));
  }
  std::fflush(stdout);
}

}  // namespace skep::sim
