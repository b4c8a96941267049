#pragma once

// Calls over the bus, seen from a component: Caller makes them, MethodTable answers them. Both
// sides live on one Loop and know nothing of carriers. Methods are types generated from the
// `service` blocks of the .proto files (skep/volume.methods.h), so a name is never spelled twice:
//
//   rpc::call<volume::v1::methods::Mount>(caller, "volume/local", request, {.deadline = 10s},
//                                         [](Result<volume::v1::MountResponse> reply) { ... });
//   table.on<volume::v1::methods::Mount>([](const auto& request, const CallContext& context,
//                                           Reply<volume::v1::MountResponse> reply) { ... });

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "skep/bus.pb.h"
#include "skep/env.h"
#include "skep/result.h"

namespace skep::rpc {

/// Deadline of calls whose caller names none.
inline constexpr std::chrono::milliseconds kDefaultDeadline{60'000};

struct CallOptions {
  std::chrono::milliseconds deadline = kDefaultDeadline;  ///< zero: none (long waits, streams)
  std::string operation_id = {};                          ///< idempotency key, survives retries
  std::string trace_id = {};
};

/// Who asks, and how long they wait. The principal comes from the carrier, never from the wire.
struct CallContext {
  bus::v1::Principal principal;
  std::string source;  ///< participant that asked, as the router knows it
  std::chrono::milliseconds time_left{0};
  std::string operation_id;
  std::string trace_id;
};

using CallId = std::uint64_t;
using Body = std::string;  // one serialised message
using OnReply = std::function<void(Result<Body>)>;

/// The caller's end of an open stream. Callbacks stop after on_done or after cancel().
class ClientStream {
 public:
  virtual ~ClientStream() = default;
  /// kResourceExhausted: no credit; try again after on_writable.
  virtual Status send(Body chunk) = 0;
  virtual void end() = 0;
  virtual void cancel() = 0;
  /// While held, no new credit goes to the other side: at most one window of chunks still comes.
  virtual void hold_credit(bool hold) { (void)hold; }
};
struct StreamHandlers {
  std::function<void(Body)> on_chunk;
  std::function<void(Result<Body>)> on_done;  ///< exactly once
  std::function<void()> on_writable = {};
};

/// Makes calls. Loop thread only.
class Caller {
 public:
  virtual ~Caller() = default;
  /// `on_reply` is called exactly once, never from within call(), unless cancel() comes first.
  virtual CallId call(std::string target, std::string_view method, Body body, CallOptions options,
                      OnReply on_reply) = 0;
  virtual void cancel(CallId id) = 0;
  virtual std::shared_ptr<ClientStream> open(std::string target, std::string_view method, Body body,
                                             CallOptions options, StreamHandlers handlers) = 0;
};

/// The serving end of a call that streams. Loop thread only. Destroying it unfinished answers
/// kInternal, so that no caller waits for ever.
class ServerStream {
 public:
  virtual ~ServerStream() = default;
  [[nodiscard]] virtual const CallContext& context() const = 0;
  /// kResourceExhausted: the receiver gave no more credit; send again after on_writable.
  /// kCancelled: the caller is gone.
  virtual Status send(Body chunk) = 0;
  virtual void finish(Result<Body> last) = 0;
  /// Handlers may hold the stream itself; finish() and cancellation drop them.
  virtual void set_handlers(std::function<void(Body)> on_chunk, std::function<void()> on_end,
                            std::function<void()> on_cancel, std::function<void()> on_writable) = 0;
  /// As ClientStream's.
  virtual void hold_credit(bool hold) { (void)hold; }
};

/// Answers a unary call; call it exactly once, on the loop. A Reply that is destroyed uncalled
/// answers kInternal.
template <class Response>
using Reply = std::function<void(Result<Response>)>;

/// Parses `body` as Message; kInvalidArgument when it is not one.
template <class Message>
Result<Message> parse(const Body& body) {
  Message message;
  if (!message.ParseFromString(body)) {
    return Error{Code::kInvalidArgument, "malformed message of type '" + message.GetTypeName() + "'",
                 "MALFORMED_MESSAGE"};
  }
  return message;
}

/// Typed view of a ServerStream of method M.
template <class M>
class TypedServerStream {
 public:
  explicit TypedServerStream(std::shared_ptr<ServerStream> stream) : stream_(std::move(stream)) {}
  [[nodiscard]] const CallContext& context() const { return stream_->context(); }
  Status send(const typename M::Response& chunk) { return stream_->send(chunk.SerializeAsString()); }
  void finish(Status status) {
    if (status) {
      stream_->finish(Body{});
    } else {
      stream_->finish(std::move(status).error());
    }
  }
  [[nodiscard]] const std::shared_ptr<ServerStream>& raw() const { return stream_; }

 private:
  std::shared_ptr<ServerStream> stream_;
};

/// Which method is answered by what. Filled before the endpoint starts.
class MethodTable {
 public:
  using UnaryHandler = std::function<void(Body, const CallContext&, OnReply)>;
  using StreamHandler = std::function<void(Body first, std::shared_ptr<ServerStream>)>;
  struct Entry {
    UnaryHandler unary;
    StreamHandler stream;
  };

  /// Answers M with `handler(const Request&, const CallContext&, Reply<Response>)` on the loop.
  template <class M, class Handler>
  void on(Handler handler) {
    static_assert(!M::kStreams, "a streaming method is served with on_stream");
    entries_[std::string(M::kName)].unary = [handler = std::move(handler)](
                                                Body body, const CallContext& context,
                                                OnReply reply) mutable {
      auto request = parse<typename M::Request>(body);
      if (!request) {
        return reply(std::move(request).error());
      }
      handler(*request, context, Reply<typename M::Response>(
          [reply = std::move(reply)](Result<typename M::Response> response) {
            if (response) {
              reply(response->SerializeAsString());
            } else {
              reply(std::move(response).error());
            }
          }));
    };
  }

  /// Answers M with `handler(const Request&) -> Result<Response>` at once, on the loop.
  template <class M, class Handler>
  void on_sync(Handler handler) {
    on<M>([handler = std::move(handler)](const typename M::Request& request, const CallContext&,
                                         Reply<typename M::Response> reply) mutable {
      reply(handler(request));
    });
  }

  /// Answers M with `handler(const Request&) -> Result<Response>` on a worker thread.
  template <class M, class Handler>
  void on_worker(Workers& workers, Handler handler) {
    on<M>([handler = std::move(handler), &workers](const typename M::Request& request,
                                                   const CallContext&,
                                                   Reply<typename M::Response> reply) {
      auto result = std::make_shared<Result<typename M::Response>>(
          Error{Code::kInternal, "the worker ended without an answer"});
      auto status = workers.run([handler, request, result] { *result = handler(request); },
                                [result, reply] { reply(std::move(*result)); });
      if (!status) {
        reply(std::move(status).error());
      }
    });
  }

  /// Serves streaming M with `handler(const Request& first, TypedServerStream<M>)`.
  template <class M, class Handler>
  void on_stream(Handler handler) {
    static_assert(M::kStreams, "a unary method is served with on");
    entries_[std::string(M::kName)].stream = [handler = std::move(handler)](
                                                 Body body, std::shared_ptr<ServerStream> stream) {
      auto request = parse<typename M::Request>(body);
      if (!request) {
        return stream->finish(std::move(request).error());
      }
      handler(*request, TypedServerStream<M>(std::move(stream)));
    };
  }

  /// Answers `method` with an untyped entry (relays, wrappers).
  void set(std::string method, Entry entry) { entries_[std::move(method)] = std::move(entry); }
  /// nullptr when nobody answers `method`.
  [[nodiscard]] const Entry* find(std::string_view method) const {
    const auto it = entries_.find(method);
    return it == entries_.end() ? nullptr : &it->second;
  }
  [[nodiscard]] const std::map<std::string, Entry, std::less<>>& entries() const { return entries_; }

 private:
  std::map<std::string, Entry, std::less<>> entries_;
};

/// Calls M at `target` ("core", "volume/local").
template <class M>
CallId call(Caller& caller, std::string target, const typename M::Request& request,
            CallOptions options, std::function<void(Result<typename M::Response>)> on_reply) {
  return caller.call(std::move(target), M::kName, request.SerializeAsString(), std::move(options),
                     [on_reply = std::move(on_reply)](Result<Body> reply) {
                       if (!reply) {
                         return on_reply(std::move(reply).error());
                       }
                       on_reply(parse<typename M::Response>(*reply));
                     });
}

/// Opens streaming M. `on_chunk` gets parsed chunks; a malformed one ends the stream.
template <class M>
std::shared_ptr<ClientStream> open(Caller& caller, std::string target,
                                   const typename M::Request& first, CallOptions options,
                                   std::function<void(const typename M::Response&)> on_chunk,
                                   std::function<void(Status)> on_done,
                                   std::function<void()> on_writable = {}) {
  return caller.open(
      std::move(target), M::kName, first.SerializeAsString(), std::move(options),
      {.on_chunk =
           [on_chunk = std::move(on_chunk)](Body body) {
             if (auto chunk = parse<typename M::Response>(body)) {
               on_chunk(*chunk);
             }
           },
       .on_done =
           [on_done = std::move(on_done)](Result<Body> last) {
             on_done(last ? ok() : Status(std::move(last).error()));
           },
       .on_writable = std::move(on_writable)});
}

}  // namespace skep::rpc
