#pragma once

// One connection between the cores of two nodes. It opens when both sides are proven: TLS shows the
// certificates, HELLO and WELCOME tell versions and clocks, REJECT tells why not. Both sides may then
// call: requests are checked (authorise.h) and answered from the method table with the other side's
// identity as principal; answers go to whoever made the call. Loop thread only; held by shared_ptr.

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "core/link/tls.h"
#include "skep/rpc_endpoint.h"

namespace skep::link {

class Connection final : public std::enable_shared_from_this<Connection> {
 public:
  struct Hooks {
    /// The other side is proven (or is a joiner: no peer()). An error refuses it: it is told, and
    /// on_closed follows.
    std::function<Status(const Connection&)> admit;
    /// Whether a node with a manager's certificate may still call that as one; empty: yes.
    std::function<bool(const std::string& node_id, std::string_view method)> still_manager = {};
    /// Of the swarm: what a node is told that was removed from it.
    std::function<std::uint64_t()> incarnation = {};
    /// Calls may be made.
    std::function<void()> on_open;
    /// A frame that answers one of our calls.
    std::function<void(const bus::v1::Header&, std::string body)> on_answer;
    /// Exactly once unless close() came first; never from within send() or close(). kUnauthenticated
    /// and kPermissionDenied: one side does not accept the other; kUnavailable: it broke.
    std::function<void(const Error&)> on_closed;
  };
  struct Options {
    bool accepted = false;      ///< else we connected
    std::string expected_node;  ///< who must answer when we connected; empty: any manager
    std::string version;        ///< of this program
    Duration open_limit = std::chrono::seconds(5);
    Duration joiner_limit = std::chrono::seconds(30);  ///< life of a connection without certificate
    Duration beat = std::chrono::seconds(2);  ///< silence after which a PING is sent; four make it dead
  };

  /// `table` outlives the connection.
  static Result<std::shared_ptr<Connection>> start(Env& env, bus::Fd fd,
                                                   std::shared_ptr<const TlsContext> context,
                                                   const rpc::MethodTable& table, Options options,
                                                   Hooks hooks);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  [[nodiscard]] bool open() const { return open_; }
  [[nodiscard]] bool accepted() const { return options_.accepted; }
  /// nullopt: a joiner, or not open yet, or nobody is trusted yet.
  [[nodiscard]] const std::optional<Identity>& peer() const { return peer_; }
  /// PEM, as TLS showed it.
  [[nodiscard]] std::string peer_certificate() const { return tls_->peer_certificate(); }
  /// Set when the other side, proven to be a manager, refused this node as removed: from that incarnation of the swarm.
  [[nodiscard]] const std::optional<std::uint64_t>& removed_from() const { return removed_from_; }
  /// The other side's clock minus ours when it opened.
  [[nodiscard]] Duration skew() const { return skew_; }

  Status send(const std::string& header, const std::string& body);
  /// Ends it; nothing more is served from it, and no hook is called.
  void close(std::string_view why);
  /// close(), and the other side is told why it is no longer accepted.
  void refuse(const Error& error);

 private:
  Connection(Env& env, std::shared_ptr<const TlsContext> context, const rpc::MethodTable& table,
             Options options, Hooks hooks);
  void on_frame(const std::string& header, std::string body);
  Status greet(const bus::v1::Header& header, const std::string& body);
  Status check_peer(WallTime other_clock);
  void note_removal(const bus::v1::Header& header, const std::string& body);
  void become_open();
  void serve(bus::v1::Header header, std::string body);
  void answer_error(const bus::v1::Header& request, const Error& error);
  void reject(const Error& error, const Hooks& hooks);
  void send_plain(bus::v1::MessageType type, const std::string& body = {});
  void on_beat();
  /// The connection ended or must: hooks hear of it through the loop.
  void fail(Error error);
  void release(std::string_view why);

  Env& env_;
  std::shared_ptr<const TlsContext> context_;
  const rpc::MethodTable& table_;
  const Options options_;
  Hooks hooks_;
  TlsSession* tls_ = nullptr;  // owned by stream_
  std::shared_ptr<bus::StreamConnection> stream_;
  std::unique_ptr<rpc::RpcEndpoint> endpoint_;  // serves
  std::optional<Identity> peer_;
  std::optional<std::uint64_t> removed_from_;
  Duration skew_{0};
  bool open_ = false;
  bool closed_ = false;
  TimerId limit_timer_ = 0;
  TimerId beat_timer_ = 0;
  std::uint64_t bytes_seen_ = 0;
  int silent_beats_ = 0;
};

}  // namespace skep::link
