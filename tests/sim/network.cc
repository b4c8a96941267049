#include "network.h"

#include "tests/rig/local_peers.h"

namespace skep::sim {

namespace {
constexpr std::uint64_t kDelayLeastUs = 200;
constexpr std::uint64_t kDelayMoreUs = 2'800;

std::string_view realm(std::string_view name) { return name.substr(0, name.find('/')); }
}  // namespace

Network::Network(testing::ManualLoop& loop, testing::LocalBus& bus, testing::SeededRandom& random)
    : loop_(loop), bus_(bus), random_(random) {
  bus_.set_travel([this](const std::string& from, const std::string& to) { return travel(from, to); });
}

Duration Network::travel(const std::string& from, const std::string& to) {
  const std::string_view a = realm(from);
  const std::string_view b = realm(to);
  if (a == b) {
    return held_back ? held_back(from) : Duration{0};
  }
  if (!cut_.empty() && cut_.contains(std::pair(std::string(a), std::string(b)))) {
    ++lost_;
    return Duration{-1};
  }
  if (loss_percent_ > 0 && (from.ends_with("/link") || to.ends_with("/link")) &&
      a.starts_with('m') && b.starts_with('m') && random_.chance(loss_percent_)) {
    ++lost_;
    lost_between_.insert(std::minmax(std::string(a), std::string(b)));
    return Duration{-1};
  }
  const Duration base = std::chrono::microseconds(kDelayLeastUs + random_.below(kDelayMoreUs));
  return loop_.now() < slow_until_
             ? base + Duration(random_.below(static_cast<std::uint64_t>(slow_extra_.count())))
             : base;
}

std::size_t Network::break_connections(const std::string& a, const std::string& b) {
  const std::size_t broken = bus_.disconnect([&](const std::string& from, const std::string& to) {
    return realm(from) == a && realm(to) == b;
  });
  if (broken > 0 && on_broken) {
    on_broken(a, b);
  }
  return broken;
}

void Network::end_loss() {
  loss_percent_ = 0;
  for (const auto& [a, b] : std::exchange(lost_between_, {})) {
    break_connections(a, b);
  }
}

void Network::heal() {
  std::set<std::pair<std::string, std::string>> touched(refused_);
  for (const auto& [from, to] : cut_) {
    touched.insert(std::minmax(from, to));
  }
  cut_.clear();
  refused_.clear();
  for (const auto& [a, b] : touched) {
    break_connections(a, b);
  }
}

}  // namespace skep::sim
