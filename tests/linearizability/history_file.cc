#include "tests/linearizability/history_file.h"

#include <array>
#include <charconv>
#include <sstream>

namespace skep::lin {
namespace {

Error bad(std::size_t line, const std::string& what) {
  return Error{Code::kInvalidArgument, "line " + std::to_string(line) + ": " + what};
}

bool take_time(const std::string& text, std::int64_t& time) {
  if (text == "?") {
    time = kNever;
    return true;
  }
  const auto result = std::from_chars(text.data(), text.data() + text.size(), time);
  return result.ec == std::errc() && result.ptr == text.data() + text.size();
}

bool take_kind(const std::string& word, Kind& kind) {
  static constexpr std::array<const char*, 4> kNames{"read", "create", "update", "remove"};
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    if (word == kNames[i]) {
      kind = static_cast<Kind>(i);
      return true;
    }
  }
  return false;
}

std::string value_of(const std::string& word) { return word == "-" ? std::string() : word; }

}  // namespace

Result<std::vector<Operation>> parse_history(std::string_view text) {
  std::vector<Operation> history;
  std::istringstream lines{std::string(text)};
  std::size_t number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    std::istringstream words(line.substr(0, line.find('#')));
    std::vector<std::string> fields;
    for (std::string word; words >> word;) {
      fields.push_back(word);
    }
    if (fields.empty()) {
      continue;
    }
    Operation operation;
    std::int64_t client = 0;
    if (fields.size() != 7) {
      return bad(number, "seven words are needed: client kind key expected value called returned");
    }
    if (!take_time(fields[0], client) || !take_time(fields[5], operation.called) ||
        !take_time(fields[6], operation.returned) || operation.called == kNever) {
      return bad(number, "client and times are whole numbers, only the return may be '?'");
    }
    if (!take_kind(fields[1], operation.kind)) {
      return bad(number, "'" + fields[1] + "' is none of read, create, update and remove");
    }
    if (operation.returned < operation.called) {
      return bad(number, "it returned before it was called");
    }
    operation.client = static_cast<int>(client);
    operation.key = fields[2];
    operation.expected = value_of(fields[3]);
    operation.value = value_of(fields[4]);
    history.push_back(std::move(operation));
  }
  return history;
}

}  // namespace skep::lin
