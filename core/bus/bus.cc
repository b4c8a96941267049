#include "core/bus/bus.h"

#include "core/bus/carrier.h"
#include "core/bus/control_server.h"
#include "core/bus/zmq_router.h"
#include "skep/envelope.h"
#include "skep/log.h"

namespace skep::bus {
namespace {
constexpr std::size_t kCoreCallsMax = 65'536;
}

Bus::Bus(Loop& loop, Random& random, BusOptions options, BusEvents events)
    : loop_(loop), options_(std::move(options)), events_(std::move(events)) {
  // 40 bits, never zero: call ids start at epoch << 20 and must not meet those of an earlier start.
  options_.router.epoch = (random.next() >> 24U) | 1U;
  context_ = std::make_shared<ZmqContext>();
  inproc_endpoint_ = "inproc://skep-" + std::to_string(options_.router.epoch);
  router_ = std::make_unique<Router>(options_.router);
  core_ = std::make_unique<rpc::RpcEndpoint>(
      loop_, table_,
      [this](const std::string& header, std::string body) { return from_core(header, std::move(body)); },
      rpc::EndpointOptions{.epoch = options_.router.epoch,
                           .calls_max = kCoreCallsMax,
                           .served_max = kCoreCallsMax,
                           .name = "core"});
}

Bus::~Bus() {
  close();
}

Status Bus::start() {
  const auto add = [this](auto carrier) -> Status {
    if (!carrier) {
      return std::move(carrier).error();
    }
    carriers_.push_back(*std::move(carrier));
    return ok();
  };
  SKEP_TRY(add(ZmqRouter::bind(loop_, context_, inproc_endpoint_, carrier_events(carriers_.size()))));
  if (!options_.bus_socket.empty()) {
    SKEP_TRY(add(ZmqRouter::bind(loop_, context_, ipc_endpoint(), carrier_events(carriers_.size()))));
  }
  if (!options_.control_socket.empty()) {
    SKEP_TRY(add(ControlServer::listen(loop_, options_.control_socket, options_.control_mode,
                                       carrier_events(carriers_.size()))));
  }
  tick_timer_ = loop_.run_after(options_.router.heartbeat, [this] { on_tick(); });
  return ok();
}

void Bus::stop() {
  if (close()) {
    core_->disconnect("the bus stops");
  }
}

bool Bus::close() {
  if (!self_) {
    return false;
  }
  v1::Header bye;
  bye.set_protocol(rpc::kProtocol);
  bye.set_type(v1::BYE);
  for (const auto& [peer, index] : carrier_of_) {
    carriers_[index]->send(peer, bye.SerializeAsString(), {});
  }
  self_.reset();
  loop_.cancel_timer(tick_timer_);
  carriers_.clear();
  carrier_of_.clear();
  core_inbox_.clear();
  return true;
}

CarrierEvents Bus::carrier_events(std::size_t index) {
  return {.next_id = [this] { return ++last_peer_; },
          .on_opened =
              [this, index](PeerId peer, PeerFacts facts) {
                carrier_of_[peer] = index;
                Effects effects;
                router_->on_opened(peer, std::move(facts), loop_.now(), effects);
                perform(std::move(effects));
              },
          .on_frame = [this](PeerId peer, const std::string& header,
                             std::string body) { on_frame(peer, header, std::move(body)); },
          .on_closed =
              [this](PeerId peer, const std::string& why) {
                carrier_of_.erase(peer);
                Effects effects;
                router_->on_closed(peer, why, effects);
                perform(std::move(effects));
              }};
}

void Bus::on_frame(PeerId from, const std::string& header, std::string body) {
  auto parsed = rpc::parse_header(header);
  Effects effects;
  if (!parsed || body.size() > rpc::kBodyMax) {
    SKEP_WARN("malformed bus frame, connection closed",
              {"cause", parsed ? "body too big" : parsed.error().message});
    router_->on_closed(from, "it sent a malformed frame", effects);
  } else {
    router_->on_frame(from, *std::move(parsed), std::move(body), loop_.now(), effects);
  }
  perform(std::move(effects));
}

Status Bus::from_core(const std::string& header, std::string body) {
  if (!self_) {
    return Error{Code::kUnavailable, "the bus is stopped", "BUS_STOPPED"};
  }
  auto parsed = rpc::parse_header(header);
  if (!parsed) {
    return std::move(parsed).error();
  }
  Effects effects;
  router_->on_frame(kCorePeer, *std::move(parsed), std::move(body), loop_.now(), effects);
  ++core_sends_;
  perform(std::move(effects));
  --core_sends_;
  return ok();
}

void Bus::perform(Effects effects) {
  const std::weak_ptr alive(self_);
  for (auto& effect : effects) {
    if (alive.expired()) {
      return;  // a handler stopped the bus
    }
    if (auto* const send = std::get_if<Send>(&effect)) {
      perform_send(std::move(*send));
    } else if (const auto* const close = std::get_if<Close>(&effect)) {
      const auto it = carrier_of_.find(close->peer);
      if (it != carrier_of_.end()) {
        carriers_[it->second]->close(close->peer);
        carrier_of_.erase(it);
      }
    } else {
      // The owner may call back into the bus, also from within a call of the core: later.
      loop_.post([weak = std::weak_ptr(self_), effect] {
        const auto self = weak.lock();
        if (!self) {
          return;
        }
        const BusEvents& events = (*self)->events_;
        if (const auto* const joined = std::get_if<Joined>(&effect); joined && events.on_joined) {
          events.on_joined(joined->name);
        } else if (const auto* const suspect = std::get_if<Suspected>(&effect);
                   suspect && events.on_suspected) {
          events.on_suspected(suspect->name);
        } else if (const auto* const gone = std::get_if<Gone>(&effect); gone && events.on_gone) {
          events.on_gone(gone->name, gone->why);
        }
      });
    }
  }
}

void Bus::perform_send(Send send) {
  if (send.to == kCorePeer) {
    return deliver_to_core(std::move(send));
  }
  const auto it = carrier_of_.find(send.to);
  if (it != carrier_of_.end()) {
    carriers_[it->second]->send(send.to, send.header.SerializeAsString(), send.body);
  }
}

void Bus::deliver_to_core(Send send) {
  // At once when nothing of the core is on the stack: a post would cost the latency budget.
  if (core_sends_ == 0 && core_inbox_.empty()) {
    return core_->on_frame(send.header, std::move(send.body));
  }
  core_inbox_.push_back(std::move(send));
  if (core_inbox_.size() == 1) {
    loop_.post([weak = std::weak_ptr(self_)] {
      if (const auto self = weak.lock()) {
        (*self)->drain_core_inbox();
      }
    });
  }
}

void Bus::drain_core_inbox() {
  const std::weak_ptr alive(self_);
  // What these frames cause goes behind them; the first stays until the end, so that deliver_to_core
  // keeps the order.
  for (std::size_t left = core_inbox_.size(); left > 0; --left) {
    Send send = std::move(core_inbox_.front());
    core_->on_frame(send.header, std::move(send.body));
    if (alive.expired()) {
      return;
    }
    core_inbox_.pop_front();
  }
  if (!core_inbox_.empty()) {
    loop_.post([weak = std::weak_ptr(self_)] {
      if (const auto self = weak.lock()) {
        (*self)->drain_core_inbox();
      }
    });
  }
}

void Bus::on_tick() {
  tick_timer_ = loop_.run_after(options_.router.heartbeat, [this] { on_tick(); });
  Effects effects;
  router_->on_tick(loop_.now(), effects);
  perform(std::move(effects));
}

bool Bus::drop(const std::string& name, const std::string& why) {
  Effects effects;
  const bool found = router_->drop(name, why, effects);
  ++core_sends_;  // callers of drop() hear of their failed calls later, not from within it
  perform(std::move(effects));
  --core_sends_;
  return found;
}

std::uint64_t Bus::add_tap(std::function<void(const TraceFrame&)> tap) {
  taps_.emplace(++last_tap_, std::move(tap));
  tap_changed();
  return last_tap_;
}

void Bus::remove_tap(std::uint64_t id) {
  taps_.erase(id);
  tap_changed();
}

void Bus::tap_changed() {
  if (taps_.empty()) {
    return router_->set_tap({});
  }
  router_->set_tap([this](const TraceFrame& frame) {
    for (const auto& [id, tap] : taps_) {
      tap(frame);
    }
  });
}

}  // namespace skep::bus
