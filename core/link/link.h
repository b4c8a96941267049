#pragma once

// The links of one agent: listens for other nodes and joiners, connects to managers, and makes calls
// to them (bus::Peers). Without credentials nothing is served and nobody is called. Loop thread only.

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "core/bus/peers.h"
#include "core/link/connection.h"
#include "core/link/https.h"
#include "core/link/tcp_socket.h"

namespace skep::link {

struct LinkOptions {
  std::string version;
  std::size_t connections_max = 4'096;  ///< accepted ones, joiners included
  std::size_t joiners_max = 64;         ///< accepted ones without a certificate or not yet open
  Duration connect_limit = std::chrono::milliseconds(2'500);  ///< TCP
  Duration open_limit = std::chrono::milliseconds(2'500);     ///< TLS and greeting, when connecting
  Duration accept_limit = std::chrono::seconds(5);            ///< the same, when accepting
  Duration back_off_max = std::chrono::seconds(2);  ///< between attempts to reach one node
  Duration beat = std::chrono::seconds(2);          ///< Connection::Options::beat
};

class Link final : public bus::Peers {
 public:
  /// `env` and `table` outlive the link. Requests from other nodes are answered from `table`.
  Link(Env& env, const rpc::MethodTable& table, LinkOptions options);
  ~Link() override;
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  /// Who this node is. Again after a renewal: open connections stay, new ones use the new certificate;
  /// in another role all connections are made anew, in the next turn of the loop.
  Status set_credentials(Credentials credentials);
  /// This node belongs to no swarm any more: everything is closed, listening ends.
  void clear();
  /// Accepts connections at "IP:PORT", and no longer where it did; nothing when it does already.
  /// kFailedPrecondition without credentials.
  Status listen(const std::string& address);
  void stop_listening();
  /// The port listened on; 0 when not listening.
  [[nodiscard]] std::uint16_t port() const { return port_; }

  rpc::Caller& to(const std::string& node_id, const std::string& address) override;
  void refuse(const std::string& node_id, bool refused, std::uint64_t incarnation) override;
  void set_on_gone(std::function<void(const std::string& node_id)> on_gone) override;
  bus::HttpsClient* https() override { return &https_; }
  /// Asked for every call of a node with a manager's certificate: a demoted one acts as a worker, also
  /// on connections that are open. Without it the certificate alone counts.
  void set_still_manager(std::function<bool(const std::string& node_id, std::string_view method)> still_manager) {
    still_manager_ = std::move(still_manager);
  }
  /// Told when another node does not accept us (removed, expired, another swarm) or is not who it
  /// should be.
  void set_on_rejected(std::function<void(const std::string& node_id, const Error&)> on_rejected) {
    on_rejected_ = std::move(on_rejected);
  }
  /// Told when another manager, proven to be that one, refuses this node as removed from the swarm of that incarnation.
  /// After on_rejected.
  void set_on_removed(std::function<void(const std::string& node_id, std::uint64_t incarnation)> on_removed) {
    on_removed_ = std::move(on_removed);
  }
  /// Accepted connections, open or not.
  [[nodiscard]] std::size_t accepted() const { return accepted_.size(); }

 private:
  class Peer;
  using ConnectionPtr = std::shared_ptr<Connection>;

  void close_all(const std::string& why);
  void add_checks(Connection::Hooks& hooks);
  void accept_waiting();
  void accept_one(bus::Fd fd, const std::string& from);
  Status admit(const Connection& connection);
  void on_accepted_closed(const Connection* key, const Error& error);
  Result<ConnectionPtr> connected(const std::string& node_id, bus::Fd fd, Connection::Hooks hooks);
  /// The open accepted connection from that node, if there is one; not of a locked manager, whose key may
  /// be in other hands.
  ConnectionPtr accepted_from(const std::string& node_id) const;
  void tell_if_gone(const std::string& node_id);

  Env& env_;
  const rpc::MethodTable& table_;
  const LinkOptions options_;
  std::shared_ptr<const TlsContext> context_;
  std::optional<Role> role_;
  bus::Fd listener_;
  WatchId listen_watch_ = 0;
  TimerId listen_timer_ = 0;
  std::string listens_at_;  // as given
  std::uint16_t port_ = 0;
  std::map<const Connection*, ConnectionPtr> accepted_;
  std::map<std::string, std::unique_ptr<Peer>> peers_;
  std::set<std::string> refused_;
  std::uint64_t incarnation_ = 0;  // of the swarm, told to whom we refuse
  std::function<void(const std::string&)> on_gone_;
  std::function<bool(const std::string&, std::string_view)> still_manager_;
  std::function<void(const std::string&, const Error&)> on_rejected_;
  std::function<void(const std::string&, std::uint64_t)> on_removed_;
  HttpsSender https_;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace skep::link
