#pragma once

// One end of a bus connection: makes calls (Caller) and answers those in a MethodTable, streams
// included. It knows no carrier: frames leave through a Sender and come in through on_frame().
// Everything belongs to one Loop thread. In-flight work is bounded; streams move at most the
// receiver's credit (envelope.h), so a slow reader cannot make the sender's memory grow.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "skep/envelope.h"
#include "skep/rpc.h"

namespace skep::rpc {

class EndpointCore;

struct EndpointOptions {
  std::uint64_t epoch = 1;           ///< this process's incarnation, goes into every header
  std::size_t calls_max = 1024;      ///< made and unanswered; above: kResourceExhausted
  std::size_t served_max = 1024;     ///< being answered; above: answers kResourceExhausted
  std::string name = "participant";  ///< of this end, for messages
};

struct EndpointStats {
  std::size_t calls = 0;               ///< made and unanswered
  std::size_t served = 0;              ///< being answered
  std::uint64_t late_responses = 0;    ///< answers that came after deadline or cancel
  std::uint64_t late_replies = 0;      ///< handlers that answered after cancel or disconnect
  std::uint64_t malformed_frames = 0;  ///< dropped
};

class RpcEndpoint final : public Caller {
 public:
  /// Hands one frame to the carrier; must not call back into the endpoint. An error means the frame
  /// was not taken: a call fails with it at once.
  using Sender = std::function<Status(std::string header, std::string body)>;

  /// `loop` and `table` outlive the endpoint; methods may be added to the table later.
  RpcEndpoint(Loop& loop, const MethodTable& table, Sender send, EndpointOptions options = {});
  /// Drops everything in flight without calling anybody: disconnect() first to tell them.
  ~RpcEndpoint() override;
  RpcEndpoint(const RpcEndpoint&) = delete;
  RpcEndpoint& operator=(const RpcEndpoint&) = delete;

  CallId call(std::string target, std::string_view method, Body body, CallOptions options,
              OnReply on_reply) override;
  void cancel(CallId id) override;
  std::shared_ptr<ClientStream> open(std::string target, std::string_view method, Body body,
                                     CallOptions options, StreamHandlers handlers) override;

  /// A frame from the peer. Malformed ones are counted and dropped.
  void on_frame(std::string_view header, std::string_view body);
  /// The same for a header that parse_header() made.
  void on_frame(const bus::v1::Header& header, std::string body);

  /// The connection is gone: fails every call with kUnavailable and `why`, cancels every stream being
  /// served and forgets what is being answered. The endpoint can be used again afterwards.
  void disconnect(std::string_view why, std::string_view reason = "DISCONNECTED");

  [[nodiscard]] EndpointStats stats() const;

 private:
  std::shared_ptr<EndpointCore> core_;  // streams and replies outlive the endpoint weakly
};

}  // namespace skep::rpc
