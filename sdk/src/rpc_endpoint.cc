#include "skep/rpc_endpoint.h"

#include <google/protobuf/stubs/logging.h>

#include "rpc_core.h"
#include "skep/log.h"

namespace skep::rpc {
namespace {

std::string seconds_text(std::chrono::milliseconds time) {
  return time.count() % 1000 == 0 ? std::to_string(time.count() / 1000) + " s"
                                  : std::to_string(time.count()) + " ms";
}

}  // namespace

CallId EndpointCore::begin_call(std::string target, std::string_view method, Body body,
                                CallOptions options, OnReply on_reply, StreamHandlers* handlers,
                                std::shared_ptr<ClientStreamImpl>* stream) {
  const CallId id = ++last_call_;
  Outgoing call;
  call.what = "'" + std::string(method) + "' of '" + target + "'";
  call.on_reply = std::move(on_reply);
  if (handlers != nullptr) {
    call.stream =
        std::make_shared<ClientStreamImpl>(weak_from_this(), id, std::move(*handlers));
    *stream = call.stream;
  }
  if (outgoing_.size() >= options_.calls_max) {
    fail_later(std::move(call.on_reply), std::move(call.stream),
               Error{Code::kResourceExhausted,
                     "call " + call.what + ": " + std::to_string(options_.calls_max) +
                         " calls of '" + options_.name + "' are unanswered already",
                     "TOO_MANY_CALLS"});
    return id;
  }
  bus::v1::Header header;
  header.set_type(bus::v1::REQUEST);
  header.set_correlation(id);
  header.set_target(std::move(target));
  header.set_method(std::string(method));
  header.set_deadline_ms(static_cast<std::uint64_t>(std::max<std::int64_t>(0, options.deadline.count())));
  header.set_operation_id(to_utf8(options.operation_id));
  header.set_trace_id(to_utf8(options.trace_id));
  auto sent = check_names(header);
  if (sent) {
    sent = send_frame(header, std::move(body));
  }
  if (!sent) {
    fail_later(std::move(call.on_reply), std::move(call.stream),
               std::move(sent).error().with_context("call " + call.what));
    return id;
  }
  if (options.deadline.count() > 0) {
    call.timer = loop_.run_after(options.deadline,
                                 [weak = weak_from_this(), id, deadline = options.deadline] {
                                   if (const auto core = weak.lock()) {
                                     core->on_deadline(id, deadline);
                                   }
                                 });
  }
  outgoing_.emplace(id, std::move(call));
  return id;
}

void EndpointCore::fail_later(OnReply on_reply, std::shared_ptr<ClientStreamImpl> stream,
                              Error error) {
  // Through the loop, because a caller may not hear of its call from within call(). The entry lets
  // cancel() still find it.
  const CallId id = last_call_;
  Outgoing call;
  call.on_reply = std::move(on_reply);
  call.stream = std::move(stream);
  outgoing_.emplace(id, std::move(call));
  loop_.post([weak = weak_from_this(), id, error = std::move(error)] {
    const auto core = weak.lock();
    if (const auto failed = core ? core->take_call(id) : std::nullopt) {
      failed->done(error);
    }
  });
}

std::optional<EndpointCore::Outgoing> EndpointCore::take_call(CallId id) {
  const auto it = outgoing_.find(id);
  if (it == outgoing_.end()) {
    return std::nullopt;
  }
  std::optional<Outgoing> call = std::move(it->second);
  outgoing_.erase(it);
  if (call->timer != 0) {
    loop_.cancel_timer(call->timer);
  }
  return call;
}

void EndpointCore::Outgoing::done(Result<Body> result) const {
  if (stream) {
    stream->on_done(std::move(result));
  } else if (on_reply) {
    on_reply(std::move(result));
  }
}

void EndpointCore::on_deadline(CallId id, std::chrono::milliseconds deadline) {
  const auto it = outgoing_.find(id);
  if (it != outgoing_.end()) {
    it->second.timer = 0;
    fail_call(id, Error{Code::kTimeout,
                        "no answer to " + it->second.what + " within " + seconds_text(deadline),
                        "DEADLINE_EXCEEDED"});
  }
}

void EndpointCore::cancel_call(CallId id) {
  if (const auto call = take_call(id)) {
    if (call->stream) {
      call->stream->close();
    }
    (void)send_stream(bus::v1::CANCEL, id, false, {});
  }
}

void EndpointCore::fail_call(CallId id, Error error) {
  if (const auto call = take_call(id)) {
    (void)send_stream(bus::v1::CANCEL, id, false, {});
    call->done(std::move(error));
  }
}

void EndpointCore::on_answer(const bus::v1::Header& header, Body body) {
  const auto call = take_call(header.correlation());
  if (!call) {
    ++stats_.late_responses;
    return;
  }
  if (header.status().code() == 0) {
    call->done(std::move(body));
  } else {
    call->done(status_error(header.status()));
  }
}

void EndpointCore::on_frame(const bus::v1::Header& header, Body body) {
  const auto keep = shared_from_this();  // a handler may destroy the endpoint
  switch (header.type()) {
    case bus::v1::REQUEST:
    case bus::v1::EVENT:
      return on_request(header, std::move(body));
    case bus::v1::RESPONSE:
    case bus::v1::ACK:
      return on_answer(header, std::move(body));
    case bus::v1::STREAM:
    case bus::v1::CREDIT:
    case bus::v1::END:
      return on_stream_frame(header, std::move(body));
    case bus::v1::CANCEL:
      return on_cancel_request(header.correlation());
    case bus::v1::PING: {
      bus::v1::Header pong;
      pong.set_type(bus::v1::PONG);
      pong.set_correlation(header.correlation());
      (void)send_frame(pong, {});
      return;
    }
    case bus::v1::HELLO:
    case bus::v1::WELCOME:
    case bus::v1::REJECT:
    case bus::v1::PONG:
      return;  // between carrier and router; harmless here
    case bus::v1::BYE:
      return disconnect("the other side of the bus went away");
    case bus::v1::MESSAGE_TYPE_UNSPECIFIED:
    case bus::v1::MessageType_INT_MIN_SENTINEL_DO_NOT_USE_:
    case bus::v1::MessageType_INT_MAX_SENTINEL_DO_NOT_USE_:
      ++stats_.malformed_frames;
  }
}

void EndpointCore::on_stream_frame(const bus::v1::Header& header, Body body) {
  const auto id = header.correlation();
  if (header.to_caller()) {
    const auto it = outgoing_.find(id);
    if (it == outgoing_.end() || !it->second.stream) {
      return;  // cancelled or timed out meanwhile
    }
    const auto stream = it->second.stream;
    if (header.type() == bus::v1::CREDIT) {
      stream->on_credit(header.credit_bytes());
    } else if (header.type() == bus::v1::STREAM) {
      stream->on_chunk(*this, std::move(body));
    }
    return;
  }
  const auto it = served_.find(id);
  const auto stream = it == served_.end() ? nullptr : it->second.stream.lock();
  if (!stream) {
    return;
  }
  if (header.type() == bus::v1::CREDIT) {
    stream->on_credit(header.credit_bytes());
  } else if (header.type() == bus::v1::STREAM) {
    stream->on_chunk(*this, std::move(body));
  } else {
    stream->on_end();
  }
}

Status EndpointCore::send_frame(bus::v1::Header& header, Body body) {
  if (body.size() > kBodyMax) {
    return Error{Code::kInvalidArgument,
                 "message of " + std::to_string(body.size()) + " bytes is above the limit of " +
                     std::to_string(kBodyMax),
                 "MESSAGE_TOO_BIG"};
  }
  header.set_protocol(kProtocol);
  header.set_epoch(options_.epoch);
  return send_(header.SerializeAsString(), std::move(body));
}

Status EndpointCore::send_stream(bus::v1::MessageType type, std::uint64_t id, bool to_caller,
                                 Body body, std::uint64_t credit) {
  bus::v1::Header header;
  header.set_type(type);
  header.set_correlation(id);
  header.set_to_caller(to_caller);
  header.set_credit_bytes(credit);
  return send_frame(header, std::move(body));
}

void EndpointCore::disconnect(std::string_view why, std::string_view reason) {
  const auto keep = shared_from_this();
  ++connection_;
  auto calls = std::exchange(outgoing_, {});
  auto served = std::exchange(served_, {});
  for (auto& [id, call] : calls) {
    loop_.cancel_timer(call.timer);
  }
  for (auto& [id, entry] : served) {
    if (const auto stream = entry.stream.lock()) {
      stream->on_cancel();
    }
  }
  for (const auto& [id, call] : calls) {
    call.done(Error{Code::kUnavailable,
                    call.what.empty() ? std::string(why)
                                      : "call " + call.what + ": " + std::string(why),
                    std::string(reason)});
  }
}

void EndpointCore::clear() {
  auto calls = std::exchange(outgoing_, {});
  auto served = std::exchange(served_, {});
  for (auto& [id, call] : calls) {
    loop_.cancel_timer(call.timer);
    if (call.stream) {
      call.stream->close();
    }
  }
  for (auto& [id, entry] : served) {
    if (const auto stream = entry.stream.lock()) {
      stream->set_handlers({}, {}, {}, {});
    }
  }
}

EndpointStats EndpointCore::stats() const {
  EndpointStats stats = stats_;
  stats.calls = outgoing_.size();
  stats.served = served_.size();
  return stats;
}

RpcEndpoint::RpcEndpoint(Loop& loop, const MethodTable& table, Sender send, EndpointOptions options)
    : core_(std::make_shared<EndpointCore>(loop, table, std::move(send), std::move(options))) {
  // Malformed messages are reported by us, with who sent them; protobuf would let any peer fill
  // stderr with a line per field.
  static const bool silenced = (google::protobuf::SetLogHandler(nullptr), true);
  (void)silenced;
}

RpcEndpoint::~RpcEndpoint() {
  core_->clear();
}

CallId RpcEndpoint::call(std::string target, std::string_view method, Body body,
                         CallOptions options, OnReply on_reply) {
  return core_->begin_call(std::move(target), method, std::move(body), std::move(options),
                           std::move(on_reply), nullptr, nullptr);
}

void RpcEndpoint::cancel(CallId id) {
  core_->cancel_call(id);
}

std::shared_ptr<ClientStream> RpcEndpoint::open(std::string target, std::string_view method,
                                                Body body, CallOptions options,
                                                StreamHandlers handlers) {
  std::shared_ptr<ClientStreamImpl> stream;
  core_->begin_call(std::move(target), method, std::move(body), std::move(options), {}, &handlers,
                    &stream);
  return stream;
}

void RpcEndpoint::on_frame(std::string_view header, std::string_view body) {
  auto parsed = parse_header(header);
  if (!parsed || body.size() > kBodyMax) {
    core_->count_malformed();
    SKEP_DEBUG("malformed bus frame dropped", {"cause", parsed ? "body too big" : parsed.error().message});
    return;
  }
  core_->on_frame(*parsed, std::string(body));
}

void RpcEndpoint::on_frame(const bus::v1::Header& header, std::string body) {
  core_->on_frame(header, std::move(body));
}

void RpcEndpoint::disconnect(std::string_view why, std::string_view reason) {
  core_->disconnect(why, reason);
}

EndpointStats RpcEndpoint::stats() const {
  return core_->stats();
}

}  // namespace skep::rpc
