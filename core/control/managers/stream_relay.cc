#include "core/control/managers/stream_relay.h"

#include <deque>
#include <optional>
#include <utility>

namespace skep::control {
namespace {

class Relay : public std::enable_shared_from_this<Relay> {
 public:
  explicit Relay(std::shared_ptr<rpc::ServerStream> stream) : near_(std::move(stream)) {}

  void open(rpc::Caller& caller, const std::string& target, std::string_view method,
            rpc::Body first) {
    // The served stream's handlers keep this object until the stream ends.
    auto self = shared_from_this();
    near_->set_handlers([self](rpc::Body chunk) { self->up(std::move(chunk)); },
                        [self] {
                          self->up_ended_ = true;
                          self->pump_up();
                        },
                        [self] { self->cancelled(); }, [self] { self->pump_down(); });
    const auto& context = near_->context();
    far_ = caller.open(target, method, std::move(first),
                       {context.time_left, context.operation_id, context.trace_id},
                       {.on_chunk = [self](rpc::Body chunk) { self->down(std::move(chunk)); },
                        .on_done = [self](Result<rpc::Body> last) { self->done(std::move(last)); },
                        .on_writable = [self] { self->pump_up(); }});
  }

 private:
  void up(rpc::Body chunk) {
    to_far_.push_back(std::move(chunk));
    pump_up();
  }
  void down(rpc::Body chunk) {
    to_near_.push_back(std::move(chunk));
    pump_down();
  }
  void pump_up() {
    while (!to_far_.empty() && far_ != nullptr) {
      if (auto sent = far_->send(to_far_.front());
          !sent && sent.error().code == Code::kResourceExhausted) {
        break;
      }
      to_far_.pop_front();  // also when it broke: on_done tells
    }
    near_->hold_credit(!to_far_.empty());
    if (to_far_.empty() && far_ != nullptr && std::exchange(up_ended_, false)) {
      far_->end();
    }
  }
  void pump_down() {
    while (!to_near_.empty()) {
      if (auto sent = near_->send(to_near_.front());
          !sent && sent.error().code == Code::kResourceExhausted) {
        break;
      }
      to_near_.pop_front();
    }
    if (far_ != nullptr) {
      far_->hold_credit(!to_near_.empty());
    }
    if (to_near_.empty() && last_) {
      auto last = *std::exchange(last_, std::nullopt);
      near_->finish(std::move(last));
    }
  }
  void done(Result<rpc::Body> last) {
    far_.reset();
    if (!last && last.error().reason == "CONNECTION_LOST") {
      last = Error{Code::kUnavailable,
                   "the connection to the leading manager broke; open the stream again",
                   "LEADER_CHANGED"};
    }
    last_ = std::move(last);
    pump_down();
  }
  void cancelled() {
    if (auto far = std::exchange(far_, nullptr)) {
      far->cancel();
    }
  }

  const std::shared_ptr<rpc::ServerStream> near_;
  std::shared_ptr<rpc::ClientStream> far_;
  std::deque<rpc::Body> to_near_;
  std::deque<rpc::Body> to_far_;
  std::optional<Result<rpc::Body>> last_;
  bool up_ended_ = false;
};

}  // namespace

void relay_stream(rpc::Caller& caller, const std::string& target, std::string_view method,
                  rpc::Body first, std::shared_ptr<rpc::ServerStream> stream) {
  std::make_shared<Relay>(std::move(stream))->open(caller, target, method, std::move(first));
}

}  // namespace skep::control
