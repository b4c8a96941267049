#include "tests/unit/node/frame_bus.h"

#include <algorithm>

#include "skep/envelope.h"

namespace skep::node::testing {

/// The two ends of the connection to one target.
struct FrameBus::Line {
  std::string target;
  std::unique_ptr<rpc::RpcEndpoint> caller;
  std::unique_ptr<rpc::RpcEndpoint> server;
  std::map<std::uint64_t, std::string> methods;  ///< of calls under way, by correlation
  TimePoint last_to_caller{};
  TimePoint last_to_server{};
};

namespace {

const rpc::MethodTable& no_methods() {
  static const rpc::MethodTable table;
  return table;
}

Error nobody(const std::string& target) {
  return Error{Code::kUnavailable, "no driver '" + target + "' answers", "UNKNOWN_TARGET"};
}

/// A stream nobody serves.
class DeadStream final : public rpc::ClientStream {
 public:
  explicit DeadStream(std::shared_ptr<bool> wanted) : wanted_(std::move(wanted)) {}
  Status send(rpc::Body) override {
    return Error{Code::kCancelled, "the stream is over", "STREAM_OVER"};
  }
  void end() override {}
  void cancel() override { *wanted_ = false; }

 private:
  std::shared_ptr<bool> wanted_;
};

}  // namespace

FrameBus::FrameBus(Loop& loop) : loop_(loop) {}

FrameBus::~FrameBus() { *alive_ = false; }

void FrameBus::serve(const std::string& target, const rpc::MethodTable& table) {
  take_down(target);
  auto made = std::make_shared<Line>();
  made->target = target;
  const std::weak_ptr<Line> weak = made;
  made->caller = std::make_unique<rpc::RpcEndpoint>(
      loop_, no_methods(),
      [this, weak](const std::string& header, std::string body) {
        return carry(weak, false, header, std::move(body));
      },
      rpc::EndpointOptions{.epoch = ++epoch_, .calls_max = 1 << 16, .name = "caller"});
  made->server = std::make_unique<rpc::RpcEndpoint>(
      loop_, table,
      [this, weak](const std::string& header, std::string body) {
        return carry(weak, true, header, std::move(body));
      },
      rpc::EndpointOptions{.epoch = epoch_, .served_max = 1 << 16, .name = target});
  lines_[target] = std::move(made);
}

void FrameBus::take_down(const std::string& target) {
  const auto it = lines_.find(target);
  if (it == lines_.end()) {
    return;
  }
  const auto line = std::move(it->second);
  lines_.erase(it);
  line->server->disconnect("taken down");
  line->caller->disconnect("driver '" + target + "' went away");
  // Kept until this turn of the loop is over: take_down may be called from within a handler.
  loop_.post([line] {});
}

Status FrameBus::carry(const std::weak_ptr<Line>& weak, bool to_caller, const std::string& header,
                       std::string body) {
  const auto line = weak.lock();
  auto parsed = rpc::parse_header(header);
  if (!line || !parsed) {
    return Error{Code::kUnavailable, "the connection is gone"};
  }
  if (parsed->type() == bus::v1::REQUEST) {
    line->methods[parsed->correlation()] = parsed->method();
    *parsed->mutable_principal() = principal;
  }
  const Frame frame{.target = line->target,
                    .method = line->methods[parsed->correlation()],
                    .type = parsed->type(),
                    .to_caller = to_caller};
  if (parsed->type() == bus::v1::RESPONSE) {
    line->methods.erase(parsed->correlation());
  }
  if (lose && lose(frame)) {
    return ok();
  }
  TimePoint& last = to_caller ? line->last_to_caller : line->last_to_server;
  last = std::max(last, loop_.now() + (latency ? latency(frame) : Duration(0)));
  loop_.run_after(last - loop_.now(), [this, alive = alive_, weak, frame, to_caller,
                                       head = *std::move(parsed), body = std::move(body)] {
    const auto there = weak.lock();
    if (!there || !*alive) {
      return;
    }
    (to_caller ? there->caller : there->server)->on_frame(head, body);
    if (*alive && delivered) {
      delivered(frame);
    }
  });
  return ok();
}

rpc::CallId FrameBus::call(std::string target, std::string_view method, rpc::Body body,
                           rpc::CallOptions options, rpc::OnReply on_reply) {
  const rpc::CallId id = next_call_++;
  const auto it = lines_.find(target);
  if (it == lines_.end()) {
    calls_[id];
    loop_.post([this, alive = alive_, id, target, on_reply = std::move(on_reply)] {
      if (*alive && calls_.erase(id) != 0) {
        on_reply(nobody(target));
      }
    });
    return id;
  }
  const auto line = it->second;
  const auto inner = line->caller->call(
      target, method, std::move(body), std::move(options),
      [this, alive = alive_, id, on_reply = std::move(on_reply)](Result<rpc::Body> reply) {
        if (*alive) {
          calls_.erase(id);
        }
        on_reply(std::move(reply));
      });
  calls_[id] = {line, inner};
  return id;
}

void FrameBus::cancel(rpc::CallId id) {
  const auto it = calls_.find(id);
  if (it == calls_.end()) {
    return;
  }
  const auto line = it->second.first.lock();
  const auto inner = it->second.second;
  calls_.erase(it);
  if (line) {
    line->caller->cancel(inner);
  }
}

std::shared_ptr<rpc::ClientStream> FrameBus::open(std::string target, std::string_view method,
                                                  rpc::Body body, rpc::CallOptions options,
                                                  rpc::StreamHandlers handlers) {
  const auto it = lines_.find(target);
  if (it != lines_.end()) {
    return it->second->caller->open(target, method, std::move(body), std::move(options),
                                    std::move(handlers));
  }
  const auto wanted = std::make_shared<bool>(true);
  loop_.post([wanted, target, on_done = std::move(handlers.on_done)] {
    if (*wanted) {
      on_done(nobody(target));
    }
  });
  return std::make_shared<DeadStream>(wanted);
}

}  // namespace skep::node::testing
