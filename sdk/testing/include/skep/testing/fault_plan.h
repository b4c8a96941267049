#pragma once

// Errors a fake driver gives on purpose, by method name ("mount", "start").

#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "skep/result.h"

namespace skep::testing {

class FaultPlan {
 public:
  /// The next `times` calls of `method` fail.
  void fail(const std::string& method, Error error, int times = 1) {
    for (int i = 0; i < times; ++i) {
      planned_[method].push_back(error);
    }
  }
  /// Every call of `method` fails until clear().
  void fail_always(const std::string& method, Error error) { always_.insert_or_assign(method, std::move(error)); }
  void clear() {
    planned_.clear();
    always_.clear();
  }
  /// Counts the call; the error it must answer, if any.
  std::optional<Error> take(std::string_view method) {
    ++calls_[std::string(method)];
    if (const auto it = always_.find(method); it != always_.end()) {
      ++fired_;
      return it->second;
    }
    const auto it = planned_.find(method);
    if (it == planned_.end() || it->second.empty()) {
      return std::nullopt;
    }
    Error error = std::move(it->second.front());
    it->second.pop_front();
    ++fired_;
    return error;
  }
  /// Calls that were made to fail.
  [[nodiscard]] std::size_t fired() const { return fired_; }
  [[nodiscard]] int calls(std::string_view method) const {
    const auto it = calls_.find(method);
    return it == calls_.end() ? 0 : it->second;
  }

 private:
  std::map<std::string, std::deque<Error>, std::less<>> planned_;
  std::map<std::string, Error, std::less<>> always_;
  std::map<std::string, int, std::less<>> calls_;
  std::size_t fired_ = 0;
};

}  // namespace skep::testing
