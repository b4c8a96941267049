// sim_mutants: the simulator with one deliberate defect switched on (skep/mutant.h). Each defect
// must be seen: by an invariant, by a goal that is not reached, or by a process that ends itself.
//
//   sim_mutants [--mutant NAME] [--seeds N] [--first-seed K] [--seconds S] [--also PROGRAM]...
//
// What no seed shows, a test program with the defects in may: it is run with SKEP_MUTANT=NAME and
// must fail (and pass without). --seeds 0: only those; GTEST_FILTER names one test. Without a name
// it takes all of them. Every mutant has a process of its own, N seeds and S seconds of CPU. Prints
// how many seeds each took. Exit 1: one was not seen; 2: bad arguments.

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <set>
#include <string>
#include <vector>

#include "options.h"
#include "skep/log.h"
#include "skep/mutant.h"
#include "world.h"

namespace skep::sim {
namespace {

constexpr int kSeen = 10;
constexpr int kNotSeen = 11;

/// In the child: seeds until something is seen. Every seed is told before it runs.
[[noreturn]] void run_seeds(const Options& options, int tell) {
  for (std::uint64_t i = 0; i < options.seeds; ++i) {
    const auto written = ::write(tell, ".", 1);
    if (written != 1) {
      break;
    }
    const Outcome outcome = World(options.first_seed + i).run();
    if (!outcome.violation.empty()) {
      const std::string first_line = outcome.violation.substr(0, outcome.violation.find('\n'));
      static_cast<void>(::write(tell, first_line.data(), std::min<std::size_t>(first_line.size(), 200)));
      ::_exit(kSeen);
    }
  }
  ::_exit(kNotSeen);
}

struct Verdict {
  std::size_t seeds = 0;
  bool seen = false;
  bool by_test = false;
  std::string how;
};

Verdict try_mutant(const MutantInfo& info, const Options& options) {
  int ends[2];
  if (::pipe(ends) != 0) {
    return {.how = "no pipe"};
  }
  const pid_t child = ::fork();
  if (child == 0) {
    ::close(ends[0]);
    active_mutant = info.mutant;
    if (options.seconds > 0) {
      const auto seconds = static_cast<rlim_t>(options.seconds);
      const rlimit limit{seconds, seconds + 1};
      ::setrlimit(RLIMIT_CPU, &limit);
    }
    const rlimit no_core{0, 0};
    ::setrlimit(RLIMIT_CORE, &no_core);
    run_seeds(options, ends[1]);
  }
  ::close(ends[1]);
  std::string told;
  char buffer[512];
  for (ssize_t size = 0; (size = ::read(ends[0], buffer, sizeof(buffer))) > 0;) {
    told.append(buffer, static_cast<std::size_t>(size));
  }
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  Verdict verdict;
  const auto dots = told.find_first_not_of('.');
  verdict.seeds = dots == std::string::npos ? told.size() : dots;
  if (WIFSIGNALED(status)) {
    const int signal = WTERMSIG(status);
    verdict.seen = signal == SIGABRT || signal == SIGSEGV;
    verdict.how = verdict.seen ? "the process ended itself" : "out of time";
  } else {
    verdict.seen = WEXITSTATUS(status) == kSeen;
    verdict.how = verdict.seen ? told.substr(verdict.seeds) : "not seen";
  }
  return verdict;
}

/// Whether the program ends well with that defect on ("": with none).
bool passes(const std::string& program, const char* mutant) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::setenv("SKEP_MUTANT", mutant, 1);
    if (*mutant == '\0') {
      ::unsetenv("SKEP_MUTANT");
    }
    const rlimit limit{120, 121};
    ::setrlimit(RLIMIT_CPU, &limit);
    if (std::freopen("/dev/null", "w", stdout) == nullptr ||
        std::freopen("/dev/null", "w", stderr) == nullptr) {
      ::_exit(127);
    }
    ::execl(program.c_str(), program.c_str(), "--gtest_fail_fast", static_cast<char*>(nullptr));
    ::_exit(127);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/// Whether the program fails with the defect on. One that fails without any ends this process with
/// 1; those known to pass are remembered in `sound`.
bool shows(const std::string& program, const char* mutant, std::set<std::string>& sound) {
  if (passes(program, mutant)) {
    return false;
  }
  if (!sound.contains(program) && !passes(program, "")) {
    std::fprintf(stderr, "sim_mutants: '%s' fails without any defect\n", program.c_str());
    std::exit(1);
  }
  sound.insert(program);
  return true;
}

Verdict try_everything(const MutantInfo& info, const Options& options,
                       std::set<std::string>& sound) {
  Verdict verdict = try_mutant(info, options);
  for (std::size_t i = 0; i < options.also.size() && !verdict.seen; ++i) {
    const std::string& program = options.also[i];
    verdict.seen = shows(program, info.name, sound);
    if (verdict.seen) {
      verdict.how = "no seed, but " + program.substr(program.rfind('/') + 1) + " fails";
      verdict.by_test = true;
    }
  }
  return verdict;
}

int run(const Options& options) {
  std::set<std::string> sound;
  std::vector<std::size_t> seeds;
  std::size_t missed = 0;
  std::size_t by_tests = 0;
  for (const MutantInfo& info : kMutants) {
    if (!options.mutant.empty() && options.mutant != info.name) {
      continue;
    }
    const Verdict verdict = try_everything(info, options, sound);
    std::printf("%-24s %-8s %3zu seeds: %s\n", info.name, verdict.seen ? "killed" : "SURVIVED",
                verdict.seeds, verdict.how.c_str());
    std::fflush(stdout);
    by_tests += verdict.by_test ? 1 : 0;
    missed += verdict.seen ? 0 : 1;
    if (verdict.seen && !verdict.by_test) {
      seeds.push_back(verdict.seeds);
    }
  }
  if (seeds.empty() && missed + by_tests == 0) {
    std::fprintf(stderr, "sim_mutants: there is no mutant '%s'; see sdk/include/skep/mutant.h\n",
                 options.mutant.c_str());
    return 2;
  }
  std::sort(seeds.begin(), seeds.end());
  std::printf("%zu of %zu mutants killed, %zu of them by tests; seeds to kill: median %zu, most %zu\n",
              seeds.size() + by_tests, seeds.size() + by_tests + missed, by_tests,
              seeds.empty() ? 0 : seeds[seeds.size() / 2], seeds.empty() ? 0 : seeds.back());
  return missed == 0 ? 0 : 1;
}

}  // namespace
}  // namespace skep::sim

int main(int argc, char** argv) {
  skep::sim::Options options;
  options.seeds = 100;
  if (!skep::sim::parse_options(argc, argv, options)) {
    return 2;
  }
  skep::log::set_sink([](skep::LogLevel, std::string_view) {});
  return skep::sim::run(options);
}
