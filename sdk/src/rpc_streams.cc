// Both ends of a stream: chunks against credit, end, cancellation.

#include "rpc_core.h"

namespace skep::rpc {
namespace {

Error stream_over() {
  return Error{Code::kCancelled, "the stream is over", "STREAM_OVER"};
}

Error credit_ignored() {
  return Error{Code::kResourceExhausted, "the other side sent more than its credit",
               "CREDIT_IGNORED"};
}

}  // namespace

// ---- caller's side ----

Status ClientStreamImpl::send(Body chunk) {
  const auto core = core_.lock();
  if (!core || closed_ || ended_) {
    return stream_over();
  }
  const std::size_t size = chunk.size();
  SKEP_TRY(out_.take(size));
  auto sent = core->send_stream(bus::v1::STREAM, id_, false, std::move(chunk));
  if (!sent) {
    out_.refund(size);
  }
  return sent;
}

void ClientStreamImpl::end() {
  const auto core = core_.lock();
  if (core && !closed_ && !std::exchange(ended_, true)) {
    (void)core->send_stream(bus::v1::END, id_, false, {});
  }
}

void ClientStreamImpl::cancel() {
  const auto core = core_.lock();
  if (core && !std::exchange(closed_, true)) {
    core->cancel_call(id_);
  }
}

void ClientStreamImpl::hold_credit(bool hold) {
  in_.hold(hold);
  if (const auto core = core_.lock(); core && !hold) {
    grant(*core);
  }
}

void ClientStreamImpl::grant(EndpointCore& core) {
  if (const auto bytes = closed_ ? 0 : in_.release(); bytes > 0) {
    (void)core.send_stream(bus::v1::CREDIT, id_, false, {}, bytes);
  }
}

void ClientStreamImpl::on_chunk(EndpointCore& core, Body chunk) {
  if (closed_) {
    return;
  }
  if (!in_.receive(chunk.size())) {
    return core.fail_call(id_, credit_ignored());
  }
  if (handlers_.on_chunk) {
    handlers_.on_chunk(std::move(chunk));
  }
  grant(core);
}

void ClientStreamImpl::on_credit(std::uint64_t bytes) {
  if (out_.grant(bytes) && !closed_ && handlers_.on_writable) {
    handlers_.on_writable();
  }
}

void ClientStreamImpl::on_done(Result<Body> last) {
  if (std::exchange(closed_, true)) {
    return;
  }
  if (handlers_.on_done) {
    handlers_.on_done(std::move(last));
  }
}

// ---- serving side ----

ServerStreamImpl::~ServerStreamImpl() {
  finish(Error{Code::kInternal, "the handler dropped the stream without finishing it", "NO_ANSWER"});
}

Status ServerStreamImpl::send(Body chunk) {
  const auto core = core_.lock();
  if (!core || done_) {
    return stream_over();
  }
  const std::size_t size = chunk.size();
  SKEP_TRY(out_.take(size));
  auto sent = core->send_stream(bus::v1::STREAM, id_, true, std::move(chunk));
  if (!sent) {
    out_.refund(size);
  }
  return sent;
}

void ServerStreamImpl::finish(Result<Body> last) {
  if (std::exchange(done_, true)) {
    return;
  }
  const auto handlers = std::exchange(handlers_, std::make_shared<Handlers>());
  if (const auto core = core_.lock()) {
    core->answer(id_, connection_, std::move(last));
  }
}

void ServerStreamImpl::set_handlers(std::function<void(Body)> on_chunk,
                                    std::function<void()> on_end, std::function<void()> on_cancel,
                                    std::function<void()> on_writable) {
  handlers_ = std::make_shared<Handlers>();
  if (!done_) {
    *handlers_ = {std::move(on_chunk), std::move(on_end), std::move(on_cancel),
                  std::move(on_writable)};
  }
}

void ServerStreamImpl::hold_credit(bool hold) {
  in_.hold(hold);
  if (const auto core = core_.lock(); core && !hold) {
    grant(*core);
  }
}

void ServerStreamImpl::grant(EndpointCore& core) {
  if (const auto bytes = done_ ? 0 : in_.release(); bytes > 0) {
    (void)core.send_stream(bus::v1::CREDIT, id_, true, {}, bytes);
  }
}

void ServerStreamImpl::on_chunk(EndpointCore& core, Body chunk) {
  if (done_) {
    return;
  }
  if (!in_.receive(chunk.size())) {
    const auto handlers = handlers_;
    finish(credit_ignored());
    if (handlers->on_cancel) {
      handlers->on_cancel();
    }
    return;
  }
  const auto handlers = handlers_;
  if (handlers->on_chunk) {
    handlers->on_chunk(std::move(chunk));
  }
  grant(core);
}

void ServerStreamImpl::on_end() {
  const auto handlers = handlers_;
  if (!done_ && handlers->on_end) {
    handlers->on_end();
  }
}

void ServerStreamImpl::on_credit(std::uint64_t bytes) {
  const auto handlers = handlers_;
  if (out_.grant(bytes) && !done_ && handlers->on_writable) {
    handlers->on_writable();
  }
}

void ServerStreamImpl::on_cancel() {
  done_ = true;
  const auto handlers = std::exchange(handlers_, std::make_shared<Handlers>());
  if (handlers->on_cancel) {
    handlers->on_cancel();
  }
}

}  // namespace skep::rpc
