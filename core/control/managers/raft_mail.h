#pragma once

// Carries consensus messages between the drivers of different managers: what the local driver sends
// goes to the core of the member's node, what other cores bring goes to the local driver. Bounded
// per member; what is too much is dropped, oldest first, as consensus can lose messages. Nobody
// speaks for another: a message counts only when its sender's certificate is the one of that
// member. Loop thread only.

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "core/bus/peers.h"
#include "skep/consensus.methods.h"
#include "skep/env.h"
#include "skep/rpc.h"

namespace skep::control {

class RaftMail {
 public:
  static constexpr std::size_t kInFlightMax = 64;  ///< messages per member
  static constexpr std::size_t kInFlightBytesMax = 8 << 20;
  static constexpr std::size_t kWaitingMax = 256;
  static constexpr std::size_t kWaitingBytesMax = 16 << 20;
  static constexpr std::size_t kBookMax = 64;  ///< addresses of managers that are no members

  struct Config {
    std::string consensus_target;
    std::uint64_t self = 0;    ///< member id
    std::string address = {};  ///< where other managers reach this one
    /// Another manager says that this member is none: to be made sure of.
    std::function<void()> on_stranger = {};
    /// A message of that member arrived here.
    std::function<void(std::uint64_t member)> on_heard = {};
    /// That member's manager took a message of ours, or why not.
    std::function<void(std::uint64_t member, const Status&)> on_sent = {};
  };

  /// `peers` nullptr: there are no other nodes.
  RaftMail(rpc::Caller& local, bus::Peers* peers, Config config);
  ~RaftMail();
  RaftMail(const RaftMail&) = delete;
  RaftMail& operator=(const RaftMail&) = delete;

  /// Who the members are. Others stay in the address book: a member that is behind must answer a
  /// leader that its own log does not know yet. An empty list is ignored.
  void set_members(const std::vector<consensus::v1::Member>& members);
  /// Only for the address book.
  void note_members(const std::vector<consensus::v1::Member>& members);
  /// Takes a message of the local driver. kNotFound: there is no such member (any more).
  Status send(const consensus::v1::SendRequest& request);
  /// The connection to a node is gone: the driver need not wait for its silence.
  void connection_gone(const std::string& node_id);
  /// A message that another core brought. `leading`: the members known here are the right ones.
  void deliver(const consensus::v1::DeliverRequest& request, const bus::v1::Principal& from,
               bool leading, rpc::Reply<consensus::v1::DeliverResponse> reply);

  [[nodiscard]] std::uint64_t self() const { return config_.self; }
  /// From the address book; nullptr when unknown.
  [[nodiscard]] const consensus::v1::Member* find(std::uint64_t id) const;
  /// Node ids of the members that vote, as the log says.
  [[nodiscard]] std::set<std::string> voters() const;
  /// Members, and managers that were or will be.
  [[nodiscard]] const std::map<std::uint64_t, consensus::v1::Member>& book() const { return book_; }
  /// Messages that were dropped because a member took them too slowly.
  [[nodiscard]] std::uint64_t dropped() const { return dropped_; }

 private:
  struct Box {
    std::deque<std::string> waiting;
    std::size_t waiting_bytes = 0;
    std::size_t in_flight = 0;
    std::size_t in_flight_bytes = 0;
    bool telling_loss = false;
  };
  void pump(std::uint64_t to);
  void answered(std::uint64_t to, std::size_t bytes, const Status& status);
  void tell_loss(std::uint64_t to);
  [[nodiscard]] Status check_sender(std::uint64_t from, const bus::v1::Principal& principal,
                                    bool leading) const;
  void note_sender(const consensus::v1::DeliverRequest& request,
                   const bus::v1::Principal& principal);

  rpc::Caller& local_;
  bus::Peers* const peers_;
  const Config config_;
  std::map<std::uint64_t, consensus::v1::Member> book_;
  std::set<std::uint64_t> current_;  // members by the log
  std::map<std::uint64_t, Box> boxes_;
  std::uint64_t dropped_ = 0;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace skep::control
