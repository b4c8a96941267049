#include "options.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <fstream>

#include "outcome.h"

namespace skep::sim {

namespace {

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

bool take_numbered(const std::string& flag, std::uint64_t number, Options& options) {
  if (flag == "--seeds") {
    options.seeds = number;
  } else if (flag == "--first-seed") {
    options.first_seed = number;
  } else if (flag == "--stride") {
    options.stride = number;
  } else if (flag == "--seconds") {
    options.seconds = static_cast<double>(number);
  } else {
    return false;
  }
  return true;
}

}  // namespace

bool parse_options(int argc, char** argv, Options& options) {
  const std::vector<std::string> words = split_flags(argc, argv);
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& flag = words[i];
    const bool has_value = i + 1 < words.size();
    std::uint64_t number = 0;
    if (flag == "--wide") {
      options.wide = true;
    } else if (flag == "--verbose") {
      options.verbose = true;
    } else if (flag == "--check-determinism") {
      options.check_determinism = true;
    } else if (flag == "--keep-going") {
      options.keep_going = true;
    } else if (flag == "--quiet") {
      options.quiet = true;
    } else if (flag == "--mutant" && has_value) {
      options.mutant = words[++i];
    } else if (flag == "--also" && has_value) {
      options.also.push_back(words[++i]);
    } else if (flag == "--regressions" && has_value) {
      options.regressions = words[++i];
    } else if (has_value && take_number(words[i + 1], number) &&
               take_numbered(flag, number, options)) {
      ++i;
    } else {
      std::fprintf(stderr,
                   "sim: '%s' is no argument or lacks a value; use --seeds N --first-seed K --stride D "
                   "--wide --seconds S --regressions FILE --mutant NAME --also PROGRAM --check-determinism --keep-going "
                   "--quiet --verbose\n",
                   flag.c_str());
      return false;
    }
  }
  if (options.wide) {
    options.first_seed = (options.first_seed + kWideEvery - 1) / kWideEvery * kWideEvery;
    options.stride *= kWideEvery;
  }
  return true;
}

bool read_seeds(const std::string& path, std::vector<std::uint64_t>& seeds) {
  std::ifstream file(path);
  if (!file) {
    std::fprintf(stderr, "sim: cannot read the seeds in '%s'\n", path.c_str());
    return false;
  }
  for (std::string line; std::getline(file, line);) {
    line.erase(std::min(line.find('#'), line.size()));
    line.erase(line.find_last_not_of(" \t") + 1);
    std::uint64_t seed = 0;
    if (line.empty()) {
      continue;
    }
    if (!take_number(line, seed)) {
      std::fprintf(stderr, "sim: '%s' in '%s' is no seed: write one number per line\n",
                   line.c_str(), path.c_str());
      return false;
    }
    seeds.push_back(seed);
  }
  return true;
}

}  // namespace skep::sim
