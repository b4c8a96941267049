#pragma once

// Tells the core the latest value of something (who leads, who the members are) until it answered.
// Values that were overtaken are never sent. Loop thread only.

#include <algorithm>
#include <memory>
#include <utility>

#include "skep/env.h"
#include "skep/rpc.h"

namespace skep::raft {

template <class Method>
class Announcer {
 public:
  using Request = typename Method::Request;

  Announcer(Loop& loop, rpc::Caller& core) : loop_(loop), core_(core) {}
  ~Announcer() { stop(); }
  Announcer(const Announcer&) = delete;
  Announcer& operator=(const Announcer&) = delete;

  void announce(Request value) {
    value_ = std::move(value);
    news_ = true;
    send();
  }
  /// The core starts afresh: it does not know what it was told.
  void repeat() {
    if (told_) {
      news_ = true;
      send();
    }
  }
  void stop() {
    alive_.reset();
    loop_.cancel_timer(std::exchange(timer_, 0));
  }

 private:
  static constexpr std::chrono::milliseconds kDeadline{10'000};
  static constexpr std::chrono::milliseconds kPauseMin{50};
  static constexpr std::chrono::milliseconds kPauseMax{2'000};

  void send() {
    if (in_flight_ || !news_ || timer_ != 0 || alive_ == nullptr) {
      return;
    }
    news_ = false;
    told_ = true;
    in_flight_ = true;
    rpc::call<Method>(core_, "core", value_, {.deadline = kDeadline},
                      [this, alive = std::weak_ptr<char>(alive_)](const auto& reply) {
                        if (!alive.expired()) {
                          on_reply(reply.has_value());
                        }
                      });
  }
  void on_reply(bool answered) {
    in_flight_ = false;
    if (answered) {
      pause_ = kPauseMin;
      send();
      return;
    }
    news_ = true;
    timer_ = loop_.run_after(pause_, [this] {
      timer_ = 0;
      send();
    });
    pause_ = std::min(pause_ * 2, kPauseMax);
  }

  Loop& loop_;
  rpc::Caller& core_;
  Request value_;
  bool news_ = false;
  bool told_ = false;
  bool in_flight_ = false;
  TimerId timer_ = 0;
  std::chrono::milliseconds pause_ = kPauseMin;
  std::shared_ptr<char> alive_ = std::make_shared<char>();  // callbacks of the caller hold it weakly
};

}  // namespace skep::raft
