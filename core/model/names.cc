#include "core/model/names.h"

#include <algorithm>
#include <array>

namespace skep::model {

namespace {

constexpr std::size_t kServiceNameMax = 63;
constexpr std::size_t kConfigNameMax = 64;
constexpr std::size_t kVolumeNameMax = 255;

bool is_alnum(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool consists_of(std::string_view name, std::string_view extra) {
  return std::all_of(name.begin(), name.end(), [&](char c) {
    return is_alnum(c) || extra.find(c) != std::string_view::npos;
  });
}

Error bad_name(std::string_view noun, std::string_view name, std::string_view rule) {
  return Error{Code::kInvalidArgument,
               std::string(noun) + " name '" + std::string(name) + "' is invalid: " +
                   std::string(rule),
               "INVALID_NAME"};
}

Status validate_label(std::string_view noun, std::string_view name) {
  if (name.empty()) {
    return bad_name(noun, name, "a name must not be empty");
  }
  if (name.size() > kServiceNameMax) {
    return bad_name(noun, name, "name must be 63 characters or fewer");
  }
  if (!is_alnum(name.front()) || !is_alnum(name.back()) || !consists_of(name, "-_")) {
    return bad_name(noun, name,
                    "name must be valid as a DNS name component (letters, digits, '-' and '_' "
                    "inside)");
  }
  return ok();
}

constexpr std::array<std::string_view, 48> kAdjectives = {
    "amber",   "able",    "brave",  "bright",  "busy",    "calm",    "clever", "cosy",
    "curious", "dapper",  "eager",  "early",   "fair",    "fancy",   "fond",   "gentle",
    "golden",  "glad",    "hardy",  "honest",  "humble",  "jolly",   "keen",   "kind",
    "lively",  "loyal",   "lucky",  "mellow",  "merry",   "modest",  "nimble", "noble",
    "patient", "placid",  "proud",  "quick",   "quiet",   "ready",   "sharp",  "silent",
    "sleek",   "steady",  "sunny",  "swift",   "tidy",    "vivid",   "warm",   "wise"};
constexpr std::array<std::string_view, 48> kNouns = {
    "acacia",  "alder",   "apiary",  "aster",   "basil",   "bee",     "blossom", "borage",
    "bramble", "brood",   "clover",  "colony",  "comb",    "crocus",  "dahlia",  "daisy",
    "drone",   "fennel",  "field",   "forager", "garden",  "hazel",   "heather", "hive",
    "honey",   "hyssop",  "keeper",  "larch",   "lavender", "linden", "maple",   "marigold",
    "meadow",  "nectar",  "orchard", "pollen",  "poppy",   "queen",   "rosemary", "sage",
    "scout",   "sorrel",  "swarm",   "thistle", "thyme",   "violet",  "wax",     "willow"};

}  // namespace

Status validate_service_name(std::string_view name) {
  return validate_label("service", name);
}

Status validate_node_name(std::string_view name) {
  return name.empty() ? ok() : validate_label("node", name);
}

Status validate_config_name(std::string_view name) {
  if (name.empty() || name.size() > kConfigNameMax || !consists_of(name, "-_.") ||
      !is_alnum(name.front()) || !is_alnum(name.back())) {
    return bad_name("config or secret", name,
                    "only 64 [a-zA-Z0-9-_.] characters allowed, and the start and end character "
                    "must be [a-zA-Z0-9]");
  }
  return ok();
}

Status validate_volume_name(std::string_view name) {
  if (name.size() < 2 || name.size() > kVolumeNameMax || !is_alnum(name.front()) ||
      !consists_of(name, "_.-")) {
    return bad_name("volume", name,
                    "two to 255 characters of [a-zA-Z0-9_.-], the first a letter or digit, are "
                    "allowed; to mount a path of the node, give an absolute path");
  }
  return ok();
}

Status validate_label_key(std::string_view key) {
  const bool printable = std::all_of(key.begin(), key.end(), [](char c) {
    return c > ' ' && c != '=' && c != '\x7f';
  });
  if (key.empty() || !printable) {
    return Error{Code::kInvalidArgument,
                 "label '" + std::string(key) +
                     "' is invalid: a key must not be empty and has no spaces or '='",
                 "INVALID_LABEL"};
  }
  return ok();
}

std::string random_name(Random& random) {
  std::string name(kAdjectives[random.below(kAdjectives.size())]);
  return name.append("_").append(kNouns[random.below(kNouns.size())]);
}

Result<std::size_t> resolve_reference(std::string_view ref, const std::vector<Named>& candidates,
                                      std::string_view noun) {
  std::size_t by_name = candidates.size();
  std::size_t by_prefix = candidates.size();
  std::size_t prefix_matches = 0;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    if (candidates[i].id == ref) {
      return i;
    }
    if (candidates[i].name == ref) {
      by_name = i;
    }
    if (!ref.empty() && candidates[i].id.starts_with(ref)) {
      by_prefix = i;
      ++prefix_matches;
    }
  }
  if (by_name != candidates.size()) {
    return by_name;
  }
  if (prefix_matches == 1) {
    return by_prefix;
  }
  if (prefix_matches > 1) {
    return Error{Code::kInvalidArgument,
                 std::string(noun) + " '" + std::string(ref) + "' is ambiguous (" +
                     std::to_string(prefix_matches) + " matches found): give more of the id",
                 "AMBIGUOUS_REFERENCE"};
  }
  return Error{Code::kNotFound, std::string(noun) + " '" + std::string(ref) + "' not found",
               "NOT_FOUND"};
}

bool natural_less(std::string_view left, std::string_view right) {
  std::size_t i = 0;
  std::size_t j = 0;
  while (i < left.size() && j < right.size()) {
    if (!is_digit(left[i]) || !is_digit(right[j])) {
      if (left[i] != right[j]) {
        return left[i] < right[j];
      }
      ++i;
      ++j;
      continue;
    }
    const auto number = [](std::string_view text, std::size_t& at) {
      while (at < text.size() && text[at] == '0') {
        ++at;
      }
      const std::size_t start = at;
      while (at < text.size() && is_digit(text[at])) {
        ++at;
      }
      return text.substr(start, at - start);
    };
    const std::string_view a = number(left, i);
    const std::string_view b = number(right, j);
    if (a != b) {
      return a.size() != b.size() ? a.size() < b.size() : a < b;
    }
  }
  return left.size() - i != right.size() - j ? left.size() - i < right.size() - j : left < right;
}

}  // namespace skep::model
