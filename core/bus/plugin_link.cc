#include "core/bus/plugin_link.h"

#include "skep/envelope.h"
#include "skep/log.h"

namespace skep::bus {
namespace {

constexpr std::size_t kWaitingMax = std::size_t{32} << 20;
constexpr int kMessagesPerTurn = 256;
constexpr std::chrono::seconds kTick{1};
constexpr std::chrono::milliseconds kRetryFlush{2};

std::string control_header(v1::MessageType type, std::uint64_t correlation = 0) {
  v1::Header header;
  header.set_protocol(rpc::kProtocol);
  header.set_type(type);
  header.set_correlation(correlation);
  return header.SerializeAsString();
}

}  // namespace

PluginLink::PluginLink(Loop& loop, std::shared_ptr<ZmqContext> context, Options options,
                       Callbacks callbacks)
    : loop_(loop),
      context_(std::move(context)),
      options_(std::move(options)),
      callbacks_(std::move(callbacks)) {
  options_.hello.set_protocol(rpc::kProtocol);
}

PluginLink::~PluginLink() {
  stop();
}

Status PluginLink::start() {
  loop_thread_ = std::this_thread::get_id();
  SKEP_TRY_ASSIGN(socket_, ZmqSocket::make(context_, ZmqType::kDealer));
  const bool inproc = options_.endpoint.starts_with("inproc://");
  std::string endpoint = options_.endpoint;
  if (!inproc) {
    constexpr std::string_view kIpc = "ipc://";
    if (!endpoint.starts_with(kIpc)) {
      return Error{Code::kInvalidArgument, "bus endpoint '" + endpoint + "' is neither inproc nor ipc"};
    }
    SKEP_TRY_ASSIGN(socket_path_, shorten_socket_path(endpoint.substr(kIpc.size())));
    endpoint = std::string(kIpc) + socket_path_.text;
    // The monitor tells when the agent came or went, much earlier than silence does.
    const std::string name = "inproc://monitor-" + std::to_string(reinterpret_cast<std::uintptr_t>(this));
    SKEP_TRY(socket_->monitor(name));
    SKEP_TRY_ASSIGN(monitor_, ZmqSocket::make(context_, ZmqType::kPair));
    SKEP_TRY(monitor_->connect(name));
    monitor_watch_ = loop_.watch_readable(monitor_->fd(), [this] { pump_monitor(); });
  }
  SKEP_TRY(socket_->connect(endpoint));
  watch_ = loop_.watch_readable(socket_->fd(), [this] { pump(); });
  heard_ = last_tick_ = loop_.now();
  tick_timer_ = loop_.run_after(kTick, [this] { on_tick(); });
  if (inproc) {
    connected_ = true;
    say_hello();
  } else {
    pump_monitor();
  }
  return ok();
}

void PluginLink::stop() {
  if (!socket_) {
    return;
  }
  if (welcome_.exchange(false)) {
    (void)socket_->send({control_header(v1::BYE), ""});
  }
  loop_.unwatch(watch_);
  loop_.unwatch(monitor_watch_);
  loop_.cancel_timer(tick_timer_);
  loop_.cancel_timer(flush_timer_);
  alive_->link = nullptr;
  monitor_.reset();
  socket_.reset();
}

void PluginLink::say_hello() {
  heard_ = loop_.now();
  // The number of the attempt lets the agent tell a HELLO repeated because its WELCOME was late from
  // a new start of ours.
  (void)socket_->send({control_header(v1::HELLO, connection_ + 1), options_.hello.SerializeAsString()});
  pump_soon();
}

void PluginLink::on_tick() {
  tick_timer_ = loop_.run_after(kTick, [this] { on_tick(); });
  // When our own loop stood still (a busy machine), what the agent sent waits unread.
  const auto since_last = loop_.now() - last_tick_;
  last_tick_ = loop_.now();
  if (since_last > 2 * kTick) {
    heard_ += since_last - kTick;
  }
  if (rejected_ || !connected_) {
    return;
  }
  if (!welcome_) {
    return say_hello();
  }
  if (loop_.now() - heard_ > silence_max_) {
    lose("no sign of the agent");
  }
}

void PluginLink::pump_soon() {
  if (std::exchange(pump_posted_, true)) {
    return;
  }
  loop_.post([alive = alive_] {
    if (alive->link != nullptr) {
      alive->link->pump_posted_ = false;
      alive->link->pump();
    }
  });
}

void PluginLink::pump() {
  const auto alive = alive_;
  for (int i = 0; i < kMessagesPerTurn; ++i) {
    auto message = socket_->receive();
    if (!message) {
      return;  // an empty receive has taken every command there was: the fd tells of the next
    }
    pumping_ = true;  // what handlers send needs no look at the events: the next receive has it
    on_message(*std::move(message));
    if (alive->link == nullptr) {
      return;  // a callback ended the link
    }
    pumping_ = false;
  }
  pump_soon();
}

void PluginLink::pump_monitor() {
  const auto alive = alive_;
  do {
    while (const auto message = monitor_->receive()) {
      const auto connected = monitor_event(*message);
      if (!connected) {
        continue;
      }
      connected_ = *connected;
      lose("the agent went away");
      if (alive->link == nullptr) {
        return;
      }
      if (connected_ && !rejected_) {
        say_hello();
      }
    }
  } while (monitor_->readable());
}

void PluginLink::on_message(ZmqMessage message) {
  if (message.parts.size() != 2 || message.cut) {
    return;
  }
  const auto header = rpc::parse_header(message.parts[0]);
  if (!header) {
    SKEP_DEBUG("malformed bus frame dropped", {"cause", header.error().message});
    return;
  }
  heard_ = loop_.now();
  if (header->type() == v1::PING) {
    Frame pong{control_header(v1::PONG, header->correlation()), {}, connection_};
    output_bytes_ += pong.size();
    send_now(std::move(pong));
  } else if (header->type() == v1::REJECT) {
    on_reject(*header);
  } else if (header->type() == v1::BYE) {
    lose("the agent stops");
  } else if (header->type() == v1::WELCOME) {
    v1::Welcome welcome;
    if (!welcome_ && header->correlation() == connection_ + 1 &&
        welcome.ParseFromString(message.parts[1])) {
      silence_max_ = 5 * std::chrono::milliseconds(std::max<std::uint32_t>(100, welcome.heartbeat_ms()));
      welcome_ = true;
      callbacks_.on_welcome(welcome);
    }
  } else if (welcome_) {
    callbacks_.on_frame(std::move(message.parts[0]), std::move(message.parts[1]));
  }
}

void PluginLink::on_reject(const v1::Header& header) {
  const Error error = rpc::status_error(header.status());
  const auto alive = alive_;
  lose("the agent refused the connection: " + error.message);
  if (alive->link == nullptr) {
    return;
  }
  if (error.reason == "HELLO_REQUIRED") {
    return say_hello();
  }
  if (error.retryable() || rejected_) {
    return;  // the tick says HELLO again
  }
  rejected_ = true;
  SKEP_ERROR("the agent refused this participant", {"cause", error.message});
  if (callbacks_.on_rejected) {
    callbacks_.on_rejected(error);
  }
}

void PluginLink::lose(const std::string& why) {
  if (!welcome_.exchange(false)) {
    return;
  }
  const auto alive = alive_;
  ++connection_;
  for (const Frame& frame : output_) {
    output_bytes_ -= frame.size();
  }
  output_.clear();
  callbacks_.on_frame(control_header(v1::BYE), {});
  if (alive->link != nullptr && callbacks_.on_lost) {
    callbacks_.on_lost(why);
  }
}

Status PluginLink::send(std::string header, std::string body) {
  if (!welcome_) {
    return Error{Code::kUnavailable, "not connected to the agent", "NOT_CONNECTED"};
  }
  if (output_bytes_ + header.size() + body.size() > kWaitingMax) {
    return Error{Code::kResourceExhausted, "too much waits to be sent to the agent", "OUTPUT_FULL"};
  }
  Frame now{std::move(header), std::move(body), connection_};
  output_bytes_ += now.size();
  if (std::this_thread::get_id() == loop_thread_) {
    send_now(std::move(now));  // the usual case, and one turn of the loop less
    return ok();
  }
  auto frame = std::make_shared<Frame>(std::move(now));
  loop_.post([alive = alive_, frame = std::move(frame)] {
    if (alive->link != nullptr) {
      alive->link->send_now(std::move(*frame));
    }
  });
  return ok();
}

void PluginLink::send_now(Frame frame) {
  if (frame.connection != connection_) {
    output_bytes_ -= frame.size();
    return;
  }
  output_.push_back(std::move(frame));
  if (flush_timer_ == 0) {
    flush();
  }
}

void PluginLink::flush() {
  flush_timer_ = 0;
  while (!output_.empty()) {
    const Frame& frame = output_.front();
    if (socket_->send({frame.header, frame.body}) != ZmqSocket::Sent::kYes) {
      flush_timer_ = loop_.run_after(kRetryFlush, [this] { flush(); });
      break;
    }
    output_bytes_ -= frame.size();
    output_.pop_front();
  }
  if (!pumping_ && socket_->readable()) {
    pump_soon();  // the send may have taken the edge of an incoming message
  }
}

}  // namespace skep::bus
