#pragma once

// Which services a loop has to look at: those that changed, and those whose time has come. Part of
// the shells of loops that decide service by service.

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "core/control/orchestrator/decision.h"

namespace skep::control {

class DirtyServices {
 public:
  void mark(std::string service_id) { dirty_.insert(std::move(service_id)); }
  [[nodiscard]] bool empty() const { return dirty_.empty(); }

  /// Everything to look at now, with what was due. It is remembered as the round under way.
  const std::set<std::string>& begin_round(WallTime now) {
    for (auto it = wake_at_.begin(); it != wake_at_.end();) {
      if (it->second <= now) {
        dirty_.insert(it->first);
        it = wake_at_.erase(it);
      } else {
        ++it;
      }
    }
    round_ = std::exchange(dirty_, {});
    for (const std::string& id : round_) {
      wake_at_.erase(id);
    }
    return round_;
  }
  /// Look at the service again at `at`.
  void wake(const std::string& service_id, WallTime at) { wake_at_[service_id] = at; }
  /// The round's changes did not all happen.
  void repeat_round() { dirty_.insert(round_.begin(), round_.end()); }

  [[nodiscard]] std::optional<WallTime> next_wake() const {
    std::optional<WallTime> next;
    for (const auto& [id, at] : wake_at_) {
      next = next ? std::min(*next, at) : at;
    }
    return next;
  }

 private:
  std::set<std::string> dirty_;
  std::set<std::string> round_;
  std::map<std::string, WallTime> wake_at_;
};

}  // namespace skep::control
