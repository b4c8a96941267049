// The simulator: runs seeds until the time is over or all are done, stops at the first violation.
//
//   sim [--seeds N] [--first-seed K] [--seconds S] [--verbose]
//   sim_mutants --mutant M [...]     with one defect switched on: success means that it was caught
//
// A seed in which nothing fired is said to be empty and does not count. Exit 1: a violation, with the
// number to replay.

#include <charconv>
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include "skep/log.h"
#include "skep/mutant.h"
#include "world.h"

namespace {

struct Options {
  std::uint64_t seeds = 20;
  std::uint64_t first_seed = 1;
  double seconds = 0;  // 0: no limit
  bool verbose = false;
  int mutant = 0;
};

/// "--flag value" and "--flag=value".
std::vector<std::string> split_flags(int argc, char** argv) {
  std::vector<std::string> words;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const auto equals = word.find('=');
    words.push_back(word.substr(0, equals));
    if (equals != std::string::npos) {
      words.push_back(word.substr(equals + 1));
    }
  }
  return words;
}

bool take_number(const std::string& text, std::uint64_t& number) {
  const auto result = std::from_chars(text.data(), text.data() + text.size(), number);
  return result.ec == std::errc() && result.ptr == text.data() + text.size();
}

bool parse(int argc, char** argv, Options& options) {
  const std::vector<std::string> words = split_flags(argc, argv);
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& flag = words[i];
    if (flag == "--verbose") {
      options.verbose = true;
      continue;
    }
    std::uint64_t number = 0;
    const bool has_number = i + 1 < words.size() && take_number(words[i + 1], number);
    if (has_number && flag == "--seeds") {
      options.seeds = number;
    } else if (has_number && flag == "--first-seed") {
      options.first_seed = number;
    } else if (has_number && flag == "--seconds") {
      options.seconds = static_cast<double>(number);
#ifdef SKEP_MUTANTS
    } else if (has_number && flag == "--mutant") {
      options.mutant = static_cast<int>(number);
      skep::active_mutant = options.mutant;
#endif
    } else {
      std::fprintf(stderr,
                   "sim: '%s' is no argument or lacks a number; use --seeds N --first-seed K "
                   "--seconds S --verbose\n",
                   flag.c_str());
      return false;
    }
    ++i;
  }
  return true;
}

std::string list(const std::map<std::string, std::size_t>& counts) {
  std::string text;
  for (const auto& [name, count] : counts) {
    text += (text.empty() ? "" : ", ") + name + " " + std::to_string(count);
  }
  return text.empty() ? "none" : text;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  if (!parse(argc, argv, options)) {
    return 2;
  }
  skep::log::set_level(options.verbose ? skep::LogLevel::kDebug : skep::LogLevel::kError);
  const auto start = std::chrono::steady_clock::now();
  std::uint64_t green = 0;
  std::uint64_t empty = 0;
  for (std::uint64_t seed = options.first_seed; seed < options.first_seed + options.seeds; ++seed) {
    const double spent =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    if (options.seconds > 0 && spent > options.seconds) {
      break;
    }
    skep::sim::Outcome outcome;
    {
      skep::sim::World world(seed);
      outcome = world.run();
    }
    std::printf("seed %llu: %zu nodes, %zu tasks, %.1f virtual minutes, %zu commits, %llu frames; "
                "faults: %s\n",
                static_cast<unsigned long long>(seed), outcome.nodes, outcome.tasks,
                outcome.virtual_minutes, outcome.commits,
                static_cast<unsigned long long>(outcome.frames), list(outcome.faults).c_str());
    std::fflush(stdout);
    if (!outcome.violation.empty()) {
      std::printf("VIOLATION in seed %llu: %s\nreplay: sim --first-seed %llu --seeds 1\n",
                  static_cast<unsigned long long>(seed), outcome.violation.c_str(),
                  static_cast<unsigned long long>(seed));
      return options.mutant != 0 ? 0 : 1;
    }
    outcome.faults.empty() ? ++empty : ++green;
  }
  std::printf("%llu seeds green, %llu empty (nothing fired)\n",
              static_cast<unsigned long long>(green), static_cast<unsigned long long>(empty));
  if (options.mutant != 0) {
    std::printf("mutant %d was not caught\n", options.mutant);
    return 1;
  }
  return green == 0 ? 1 : 0;
}
