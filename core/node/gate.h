#pragma once

// Lets at most `limit` tasks do something at once; the others wait in order of arrival. Pure.

#include <deque>
#include <set>
#include <string>

namespace skep::node {

class Gate {
 public:
  explicit Gate(std::size_t limit) : limit_(limit) {}

  /// True: `id` holds a place, from now or before. False: it waits.
  bool enter(const std::string& id) {
    if (holders_.contains(id)) {
      return true;
    }
    if (holders_.size() < limit_) {
      holders_.insert(id);
      return true;
    }
    if (waiting_.insert(id).second) {
      queue_.push_back(id);
    }
    return false;
  }
  /// Gives the place back, or leaves the queue. Answers who may enter now; empty: nobody. That one
  /// holds the place already.
  std::string leave(const std::string& id) {
    waiting_.erase(id);
    if (holders_.erase(id) == 0) {
      return {};
    }
    while (!queue_.empty()) {
      std::string next = std::move(queue_.front());
      queue_.pop_front();
      if (waiting_.erase(next) != 0) {
        holders_.insert(next);
        return next;
      }
    }
    return {};
  }

 private:
  std::size_t limit_;
  std::set<std::string> holders_;
  std::set<std::string> waiting_;
  std::deque<std::string> queue_;  ///< may name some that left; they are not in waiting_
};

}  // namespace skep::node
