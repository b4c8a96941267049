#pragma once

// The inside of RpcEndpoint. Held by a shared_ptr only so that streams and replies, which users
// keep, can find out that the endpoint is gone. Loop thread, except ReplyGuard's destructor.

#include <memory>
#include <optional>
#include <unordered_map>
#include <utility>

#include "rpc_flow.h"
#include "skep/rpc_endpoint.h"

namespace skep::rpc {

class EndpointCore;

/// Caller's side of an open stream.
class ClientStreamImpl final : public ClientStream {
 public:
  ClientStreamImpl(std::weak_ptr<EndpointCore> core, CallId id, StreamHandlers handlers)
      : core_(std::move(core)), id_(id), handlers_(std::move(handlers)) {}
  Status send(Body chunk) override;
  void end() override;
  void cancel() override;
  void hold_credit(bool hold) override;

  void on_chunk(EndpointCore& core, Body chunk);
  void on_credit(std::uint64_t bytes);
  void on_done(Result<Body> last);
  void close() { closed_ = true; }

 private:
  void grant(EndpointCore& core);
  std::weak_ptr<EndpointCore> core_;
  CallId id_;
  StreamHandlers handlers_;
  SendCredit out_;
  ReceiveCredit in_;
  bool ended_ = false;
  bool closed_ = false;
};

/// Serving side of an open stream.
class ServerStreamImpl final : public ServerStream {
 public:
  ServerStreamImpl(std::weak_ptr<EndpointCore> core, std::uint64_t id, std::uint64_t connection,
                   CallContext context)
      : core_(std::move(core)), id_(id), connection_(connection), context_(std::move(context)) {}
  ~ServerStreamImpl() override;
  [[nodiscard]] const CallContext& context() const override { return context_; }
  Status send(Body chunk) override;
  void finish(Result<Body> last) override;
  void set_handlers(std::function<void(Body)> on_chunk, std::function<void()> on_end,
                    std::function<void()> on_cancel, std::function<void()> on_writable) override;
  void hold_credit(bool hold) override;

  void on_chunk(EndpointCore& core, Body chunk);
  void on_end();
  void on_credit(std::uint64_t bytes);
  void on_cancel();

 private:
  struct Handlers {
    std::function<void(Body)> on_chunk;
    std::function<void()> on_end, on_cancel, on_writable;
  };
  void grant(EndpointCore& core);
  std::weak_ptr<EndpointCore> core_;
  std::uint64_t id_;
  std::uint64_t connection_;
  CallContext context_;
  // Shared so that a handler that drops the handlers (by finish()) is not destroyed while it runs.
  std::shared_ptr<Handlers> handlers_ = std::make_shared<Handlers>();
  SendCredit out_;
  ReceiveCredit in_;
  bool done_ = false;
};

class EndpointCore : public std::enable_shared_from_this<EndpointCore> {
 public:
  EndpointCore(Loop& loop, const MethodTable& table, RpcEndpoint::Sender send,
               EndpointOptions options)
      : loop_(loop), table_(table), send_(std::move(send)), options_(std::move(options)) {}

  // Calls we make (rpc_endpoint.cc).
  CallId begin_call(std::string target, std::string_view method, Body body, CallOptions options,
                    OnReply on_reply, StreamHandlers* handlers,
                    std::shared_ptr<ClientStreamImpl>* stream);
  void cancel_call(CallId id);
  void fail_call(CallId id, Error error);
  void on_answer(const bus::v1::Header& header, Body body);
  void disconnect(std::string_view why, std::string_view reason = "DISCONNECTED");
  void clear();

  // Calls we answer (rpc_serve.cc).
  void on_request(const bus::v1::Header& header, Body body);
  void on_cancel_request(std::uint64_t id);
  void answer(std::uint64_t id, std::uint64_t connection, Result<Body> result);

  void on_frame(const bus::v1::Header& header, Body body);
  void count_malformed() { ++stats_.malformed_frames; }
  Status send_frame(bus::v1::Header& header, Body body);
  Status send_stream(bus::v1::MessageType type, std::uint64_t id, bool to_caller, Body body,
                     std::uint64_t credit = 0);
  [[nodiscard]] EndpointStats stats() const;
  Loop& loop() { return loop_; }

 private:
  struct Outgoing {
    OnReply on_reply;
    std::shared_ptr<ClientStreamImpl> stream;  // of a stream: kept until it is done
    TimerId timer = 0;
    std::string what;  // "'volume/1/mount' of 'volume/local'"
    void done(Result<Body> result) const;
  };
  struct Served {
    std::weak_ptr<ServerStreamImpl> stream;
    bus::v1::MessageType answer_type = bus::v1::RESPONSE;
  };
  void fail_later(OnReply on_reply, std::shared_ptr<ClientStreamImpl> stream, Error error);
  std::optional<Outgoing> take_call(CallId id);
  void on_deadline(CallId id, std::chrono::milliseconds deadline);
  void on_stream_frame(const bus::v1::Header& header, Body body);
  void refuse(const bus::v1::Header& header, Error error);
  [[nodiscard]] Error unknown_method(const std::string& method) const;

  Loop& loop_;
  const MethodTable& table_;
  RpcEndpoint::Sender send_;
  EndpointOptions options_;
  CallId last_call_ = 0;
  std::unordered_map<CallId, Outgoing> outgoing_;
  std::unordered_map<std::uint64_t, Served> served_;
  // Grows with every disconnect: an answer to a call of an earlier connection is dropped, because
  // the correlation may mean another call by now.
  std::uint64_t connection_ = 0;
  EndpointStats stats_;
};

}  // namespace skep::rpc
