#pragma once

// Finds out that this manager was removed from the log while nobody could tell it: when it hears of
// no leader for a while, or another manager calls it a stranger, it asks the managers it knows.
// Only what a leader confirms counts, with a majority behind it. A node that was removed from the swarm
// may ask nobody any more: then it counts when a majority of the voters that its own log knows refuse it
// as removed, each of which proved who it is. Never one alone: it may have been restored from an old state.
// Loop thread only.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "core/bus/peers.h"
#include "core/control/managers/raft_mail.h"
#include "skep/env.h"

namespace skep::control {

class RemovalWatch {
 public:
  /// `self` is the member of that incarnation of the swarm. `peers` nullptr: nobody can be asked.
  /// `on_removed` is called once, from the loop, with the incarnation that does not know it.
  RemovalWatch(Loop& loop, bus::Peers* peers, const RaftMail& mail, std::uint64_t self,
               std::uint64_t incarnation, std::function<void(std::uint64_t)> on_removed);
  ~RemovalWatch();
  RemovalWatch(const RemovalWatch&) = delete;
  RemovalWatch& operator=(const RemovalWatch&) = delete;

  /// 0: nobody leads as far as known here.
  void leader_changed(std::uint64_t leader);
  /// Asks now.
  void suspect();
  /// That manager, which proved to be it, refuses this node as removed from that incarnation of the swarm.
  void refused_by(const std::string& node_id, std::uint64_t incarnation);
  void stop();

 private:
  struct Refusal {
    TimePoint at;
    std::uint64_t incarnation = 0;
  };
  void arm();
  void ask();

  Loop& loop_;
  bus::Peers* const peers_;
  const RaftMail& mail_;
  const std::uint64_t self_;
  const std::uint64_t incarnation_;
  const std::function<void(std::uint64_t)> on_removed_;
  std::uint64_t last_asked_ = 0;  // member id
  std::map<std::string, Refusal> refusals_;  // the latest, by node id; of voters only
  bool asking_ = false;
  TimerId timer_ = 0;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace skep::control
