#include "core/link/peer.h"

#include <algorithm>
#include <utility>

#include "skep/log.h"

namespace skep::link {
namespace {

constexpr Duration kDelayStep = std::chrono::milliseconds(50);

const rpc::MethodTable& nothing_served() {
  static const rpc::MethodTable table;
  return table;
}

}  // namespace

Link::Peer::Peer(Link& link, std::string node_id)
    : link_(link),
      node_id_(std::move(node_id)),
      endpoint_(link.env_.loop, nothing_served(),
                [this](std::string header, std::string body) {
                  return send(std::move(header), std::move(body));
                },
                rpc::EndpointOptions{.name = "node/" + node_id_}) {}

Link::Peer::~Peer() {
  link_.env_.loop.cancel_timer(retry_timer_);
  if (connection_) {
    connection_->close("the agent stops");
  }
}

Status Link::Peer::send(std::string header, std::string body) {
  if (connected()) {
    return connection_->send(header, body);
  }
  if (const auto accepted = address_.empty() ? link_.accepted_from(node_id_) : nullptr) {
    over_ = accepted.get();
    return accepted->send(header, body);
  }
  const auto unreachable = [this](const std::string& why) {
    return Error{Code::kUnavailable, "node '" + node_id_ + "' cannot be reached" + why, "NODE_UNREACHABLE"};
  };
  if (!link_.context_ || link_.refused_.contains(node_id_) || address_.empty()) {
    return unreachable(address_.empty() ? ": it has no connection to this node" : "");
  }
  if (waiting_.size() >= kWaitingFramesMax || waiting_bytes_ + header.size() + body.size() > kWaitingBytesMax) {
    return unreachable(": too much waits for a connection already");
  }
  waiting_bytes_ += header.size() + body.size();
  waiting_.push_back({std::move(header), std::move(body)});
  if (retry_timer_ == 0 && !attempt_ && !connection_) {
    connect();
  }
  return ok();
}

void Link::Peer::connect() {
  const auto address = parse_host_port(address_, kManagementPort);
  if (!address) {
    // Through the loop: a call may not hear of itself from within call().
    retry_timer_ = link_.env_.loop.run_after(Duration(0), [this, error = address.error()] {
      retry_timer_ = 0;
      fail_waiting(error);
    });
    return;
  }
  attempt_ = std::make_unique<TcpConnect>(link_.env_, *address, link_.options_.connect_limit,
                                          [this](Result<bus::Fd> fd) { on_tcp(std::move(fd)); });
}

void Link::Peer::on_tcp(Result<bus::Fd> fd) {
  attempt_.reset();
  if (!fd) {
    return on_closed(fd.error());
  }
  Connection::Hooks hooks;
  hooks.on_open = [this] { on_open(); };
  hooks.on_answer = [this](const bus::v1::Header& header, std::string body) {
    on_answer(header, std::move(body));
  };
  hooks.on_closed = [this](const Error& error) { on_closed(error); };
  auto made = link_.connected(node_id_, *std::move(fd), std::move(hooks));
  if (!made) {
    return on_closed(made.error());
  }
  connection_ = *std::move(made);
}

void Link::Peer::on_open() {
  opened_ = true;
  longest_delay_ = Duration(0);
  over_ = nullptr;
  waiting_bytes_ = 0;
  for (auto& frame : std::exchange(waiting_, {})) {
    if (!connection_->send(frame.header, frame.body)) {
      return;  // it broke: on_closed tells everybody
    }
  }
}

void Link::Peer::on_closed(const Error& error) {
  const bool was_open = std::exchange(opened_, false);
  const auto closed = std::exchange(connection_, nullptr);
  if (error.code != Code::kUnavailable) {
    SKEP_WARN("no link to a node", {"node", node_id_}, {"address", address_}, {"cause", error.message});
    if (link_.on_rejected_) {
      link_.on_rejected_(node_id_, error);
    }
  }
  if (closed && closed->removed_from() && link_.on_removed_) {
    link_.on_removed_(node_id_, *closed->removed_from());
  }
  // The next attempt waits, and what is called meanwhile waits with it.
  const Duration delay = next_delay();
  retry_timer_ = link_.env_.loop.run_after(delay, [this] {
    retry_timer_ = 0;
    if (!waiting_.empty() && !connection_ && !attempt_) {
      connect();
    }
  });
  waiting_.clear();
  waiting_bytes_ = 0;
  const std::weak_ptr<char> alive = link_.alive_;
  const std::string node_id = node_id_;
  Link& link = link_;
  if (was_open) {
    endpoint_.disconnect("node '" + node_id + "': " + error.message, "CONNECTION_LOST");
  } else {
    endpoint_.disconnect("node '" + node_id + "' at " + address_ + " cannot be reached: " + error.message,
                         "NODE_UNREACHABLE");
  }
  if (!alive.expired()) {
    link.tell_if_gone(node_id);
  }
}

void Link::Peer::fail_waiting(const Error& error) {
  waiting_.clear();
  waiting_bytes_ = 0;
  endpoint_.disconnect("node '" + node_id_ + "' cannot be reached: " + error.message, "NODE_UNREACHABLE");
}

Duration Link::Peer::next_delay() {
  longest_delay_ = std::min(link_.options_.back_off_max, kDelayStep + 2 * longest_delay_);
  return Duration(static_cast<std::int64_t>(
      link_.env_.random.below(static_cast<std::uint64_t>(longest_delay_.count()) + 1)));
}

void Link::Peer::on_accepted_lost(const Connection* connection, const std::string& why) {
  if (over_ == connection && !connected()) {
    over_ = nullptr;
    endpoint_.disconnect("node '" + node_id_ + "': " + why, "CONNECTION_LOST");
  }
}

void Link::Peer::close(const std::string& why) {
  attempt_.reset();
  link_.env_.loop.cancel_timer(std::exchange(retry_timer_, 0));
  if (const auto connection = std::exchange(connection_, nullptr)) {
    connection->close(why);
  }
  opened_ = false;
  over_ = nullptr;
  waiting_.clear();
  waiting_bytes_ = 0;
  endpoint_.disconnect("node '" + node_id_ + "': " + why, "CONNECTION_LOST");
}

}  // namespace skep::link
