#pragma once

// The network between the machines of the simulated cluster: delay, loss, cuts of every shape.

#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "skep/testing/local_bus.h"
#include "skep/testing/manual_env.h"

namespace skep::sim {

class Network {
 public:
  Network(testing::ManualLoop& loop, testing::LocalBus& bus, testing::SeededRandom& random);

  /// Frames from `from` to `to` vanish; the connection stays.
  void cut(const std::string& from, const std::string& to) { cut_.emplace(from, to); }
  /// New connections are refused in both directions.
  void refuse(const std::string& a, const std::string& b) { refused_.insert(std::minmax(a, b)); }
  /// Everything passes again. What was sent meanwhile is gone, so those connections are too.
  void heal();
  [[nodiscard]] bool is_cut() const { return !cut_.empty() || !refused_.empty(); }
  [[nodiscard]] bool connects(const std::string& from, const std::string& to) const {
    return refused_.empty() || !refused_.contains(std::minmax(from, to));
  }
  /// Breaks the connections between two machines, with what is under way. How many there were.
  std::size_t break_connections(const std::string& a, const std::string& b);

  void slow_until(TimePoint until, Duration extra) {
    slow_until_ = until;
    slow_extra_ = extra;
  }
  /// Frames between managers get lost now and then: raft has to live with it. Until end_loss(), which
  /// breaks the connections that lost something, as TCP would.
  void begin_loss(std::uint64_t percent) { loss_percent_ = percent; }
  void end_loss();
  /// Told of two machines whose connections broke.
  std::function<void(const std::string& a, const std::string& b)> on_broken;
  /// How long a participant keeps what it sends, as it is not done yet with what comes before. Set by the world.
  std::function<Duration(const std::string& from)> held_back;
  [[nodiscard]] std::size_t lost() const { return lost_; }

 private:
  [[nodiscard]] Duration travel(const std::string& from, const std::string& to);

  testing::ManualLoop& loop_;
  testing::LocalBus& bus_;
  testing::SeededRandom& random_;
  std::set<std::pair<std::string, std::string>, std::less<>> cut_;
  std::set<std::pair<std::string, std::string>> refused_;
  TimePoint slow_until_{};
  Duration slow_extra_{};
  std::uint64_t loss_percent_ = 0;
  std::set<std::pair<std::string, std::string>> lost_between_;
  std::size_t lost_ = 0;
};


}  // namespace skep::sim
