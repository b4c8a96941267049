#include "core/bus/router.h"

#include <algorithm>

#include "core/bus/router_state.h"
#include "skep/envelope.h"

namespace skep::bus {
namespace {

constexpr std::size_t kDriversMax = 64;
constexpr std::chrono::seconds kHelloWithin{10};

bool valid_name(std::string_view name) {
  const auto ok_char = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.' || c == '-';
  };
  return !name.empty() && name.size() <= 128 && std::all_of(name.begin(), name.end(), ok_char);
}

std::string driver_target(const v1::DriverName& driver) {
  return driver.kind() + "/" + driver.name();
}

v1::Header plain(v1::MessageType type) {
  v1::Header header;
  header.set_type(type);
  return header;
}

v1::Header welcome_header(std::uint64_t attempt) {
  v1::Header header = plain(v1::WELCOME);
  header.set_correlation(attempt);
  return header;
}

}  // namespace

Router::Router(RouterOptions options)
    : options_(std::move(options)), last_key_(options_.epoch << 20U) {
  Peer core;
  core.facts.carrier = CarrierKind::kCore;
  core.facts.principal.set_kind("core");
  core.facts.principal.set_id("core");
  core.name = "core";
  core.joined = true;
  peers_.emplace(kCorePeer, std::move(core));
  targets_.emplace("core", kCorePeer);
}

Router::~Router() = default;

void Router::on_opened(PeerId id, PeerFacts facts, TimePoint now, Effects& effects) {
  if (peers_.size() > options_.peers_max) {
    reject(id,
           Error{Code::kResourceExhausted,
                 std::to_string(options_.peers_max) + " connections are open already", "TOO_MANY_PEERS"},
           effects);
    return;
  }
  Peer peer;
  peer.facts = std::move(facts);
  peer.name = "connection-" + std::to_string(id);
  peer.opened = peer.heard = now;
  peers_.emplace(id, std::move(peer));
}

void Router::on_frame(PeerId from, v1::Header header, std::string body, TimePoint now,
                      Effects& effects) {
  const auto it = peers_.find(from);
  if (it == peers_.end()) {
    ++dropped_frames_;  // of a connection that was closed meanwhile
    return;
  }
  Peer& peer = it->second;
  peer.heard = now;
  peer.suspect = false;
  if (tap_) {
    v1::Header shown = header;
    if (shown.method().empty()) {
      shown.set_method(method_of(peer, header));
    }
    tap_({.incoming = true, .participant = peer.name, .header = shown, .body = body});
  }
  if (header.type() == v1::HELLO) {
    return on_hello(from, peer, header.correlation(), body, now, effects);
  }
  if (!peer.joined) {
    reject(from, Error{Code::kFailedPrecondition, "say HELLO first", "HELLO_REQUIRED"}, effects);
    peers_.erase(it);
    return;
  }
  switch (header.type()) {
    case v1::REQUEST:
    case v1::EVENT:
      return on_request(from, std::move(header), std::move(body), now, effects);
    case v1::RESPONSE:
    case v1::ACK:
      return on_answer(from, std::move(header), std::move(body), now, effects);
    case v1::STREAM:
    case v1::CREDIT:
    case v1::END:
      return header.to_caller() ? on_callee_frame(from, std::move(header), std::move(body), effects)
                                : on_caller_frame(from, std::move(header), std::move(body), effects);
    case v1::CANCEL:
      return on_cancel(from, header, effects);
    case v1::PING:
      return emit(from, plain(v1::PONG), {}, effects);
    case v1::PONG:
      return;
    case v1::BYE:
      return remove(from, "it left", effects);
    case v1::HELLO:
    case v1::WELCOME:
    case v1::REJECT:
    case v1::MESSAGE_TYPE_UNSPECIFIED:
    case v1::MessageType_INT_MIN_SENTINEL_DO_NOT_USE_:
    case v1::MessageType_INT_MAX_SENTINEL_DO_NOT_USE_:
      ++dropped_frames_;
  }
}

Result<v1::Welcome> Router::admit(const Peer& peer, const v1::Hello& hello) const {
  if (hello.protocol() != rpc::kProtocol) {
    return Error{Code::kFailedPrecondition,
                 "protocol " + std::to_string(hello.protocol()) + " is not spoken here; this agent speaks " +
                     std::to_string(rpc::kProtocol),
                 "PROTOCOL"};
  }
  const bool client = hello.id().empty();
  if ((!client && !valid_name(hello.id())) || hello.id() == "core" ||
      hello.id().starts_with("client-") || (client && hello.drivers_size() > 0) ||
      hello.drivers_size() > static_cast<int>(kDriversMax)) {
    return Error{Code::kInvalidArgument,
                 "participant id '" + hello.id() +
                     "' with its drivers is not valid: letters, digits, '_', '.', '-', not 'core' "
                     "or 'client-...', and no drivers without an id",
                 "BAD_ID"};
  }
  for (const auto& driver : hello.drivers()) {
    if (!valid_name(driver.kind()) || !valid_name(driver.name())) {
      return Error{Code::kInvalidArgument, "driver '" + driver_target(driver) + "' has no valid name",
                   "BAD_DRIVER"};
    }
    const auto taken = targets_.find(driver_target(driver));
    if (taken != targets_.end() && name_of(taken->second) != hello.id()) {
      return Error{Code::kAlreadyExists,
                   "driver '" + driver_target(driver) + "' is served by '" + name_of(taken->second) +
                       "' already",
                   "DRIVER_TAKEN"};
    }
  }
  if (options_.admit) {
    return options_.admit(peer.facts, hello);
  }
  if (!client) {
    return Error{Code::kPermissionDenied, "no plugin is expected here", "NOT_EXPECTED"};
  }
  return v1::Welcome();
}

void Router::on_hello(PeerId from, Peer& peer, std::uint64_t attempt, const std::string& body,
                      TimePoint now, Effects& effects) {
  if (peer.joined && attempt != 0 && attempt == peer.attempt) {
    return emit(from, welcome_header(attempt), peer.welcome, effects);  // ours was late: nothing changed
  }
  if (peer.joined && from != kCorePeer) {
    restart(from, peer, effects);
  }
  v1::Hello hello;
  auto admitted = hello.ParseFromString(body) && from != kCorePeer
                      ? admit(peer, hello)
                      : Result<v1::Welcome>(Error{Code::kInvalidArgument, "malformed HELLO", "BAD_HELLO"});
  if (!admitted) {
    reject(from, admitted.error(), effects);
    remove(from, "its HELLO was refused: " + admitted.error().message, effects);
    return;
  }
  if (!hello.id().empty()) {
    drop(hello.id(), "a new connection replaced it", effects);
  }
  peer.name = hello.id().empty() ? "client-" + std::to_string(++clients_) : hello.id();
  peer.joined = true;
  peer.hello = std::move(hello);
  peer.heard = now;
  if (!peer.hello.id().empty()) {
    targets_[peer.name] = from;
    peer.facts.principal.set_kind("plugin");
    peer.facts.principal.set_id(peer.name);
  }
  for (const auto& driver : peer.hello.drivers()) {
    targets_[driver_target(driver)] = from;
  }
  v1::Welcome& welcome = *admitted;
  welcome.set_protocol(rpc::kProtocol);
  welcome.set_core_epoch(options_.epoch);
  welcome.set_inflight_max(static_cast<std::uint32_t>(options_.inflight_max));
  welcome.set_heartbeat_ms(static_cast<std::uint32_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(options_.heartbeat).count()));
  peer.attempt = attempt;
  peer.welcome = welcome.SerializeAsString();
  emit(from, welcome_header(attempt), peer.welcome, effects);
  effects.emplace_back(Joined{peer.name});
}

void Router::restart(PeerId id, Peer& peer, Effects& effects) {
  std::erase_if(targets_, [id](const auto& entry) { return entry.second == id; });
  abandon_calls(id, peer, "it said HELLO again", effects);
  effects.emplace_back(Gone{peer.name, "it said HELLO again"});
  Peer fresh;
  fresh.facts = peer.facts;
  fresh.name = "connection-" + std::to_string(id);
  fresh.opened = fresh.heard = peer.heard;
  peer = std::move(fresh);
}

void Router::reject(PeerId to, const Error& error, Effects& effects) {
  v1::Header header = plain(v1::REJECT);
  rpc::set_status(header, error);
  emit(to, std::move(header), {}, effects);
  effects.emplace_back(Close{to, error.message});
}

void Router::on_closed(PeerId peer, std::string_view why, Effects& effects) {
  if (peer != kCorePeer) {
    remove(peer, why, effects);
  }
}

void Router::remove(PeerId id, std::string_view why, Effects& effects) {
  const auto node = peers_.extract(id);
  if (node.empty()) {
    return;
  }
  Peer& peer = node.mapped();
  std::erase_if(targets_, [id](const auto& entry) { return entry.second == id; });
  abandon_calls(id, peer, why, effects);
  effects.emplace_back(Close{id, std::string(why)});
  if (peer.joined) {
    effects.emplace_back(Gone{peer.name, std::string(why)});
  }
}

bool Router::drop(const std::string& name, std::string_view why, Effects& effects) {
  for (const auto& [id, peer] : peers_) {
    if (id != kCorePeer && peer.joined && peer.name == name) {
      remove(id, why, effects);
      return true;
    }
  }
  return false;
}

void Router::on_tick(TimePoint now, Effects& effects) {
  // When our own loop stood still, the answers of the peers wait unread: that is not their silence.
  const auto since_last = now - last_tick_.value_or(now);
  const auto stood_still = since_last > 2 * options_.heartbeat ? since_last - options_.heartbeat : Duration{0};
  last_tick_ = now;
  std::vector<std::pair<PeerId, std::string>> gone;
  for (auto& [id, peer] : peers_) {
    peer.heard += stood_still;
    peer.opened += stood_still;
    if (!peer.joined && now - peer.opened >= kHelloWithin) {
      gone.emplace_back(id, "it did not say HELLO");
      continue;
    }
    // The kernel tells when a control connection ends; the core cannot be away.
    if (!peer.joined || peer.facts.carrier == CarrierKind::kControl || id == kCorePeer) {
      continue;
    }
    const auto silent = now - peer.heard;
    if (silent >= options_.heartbeat * options_.gone_after) {
      gone.emplace_back(id, "no heartbeat for " +
                                std::to_string(std::chrono::duration_cast<std::chrono::seconds>(silent).count()) +
                                " s");
      continue;
    }
    if (silent >= options_.heartbeat * options_.suspect_after && !peer.suspect) {
      peer.suspect = true;
      effects.emplace_back(Suspected{peer.name});
    }
    emit(id, plain(v1::PING), {}, effects);
  }
  for (const auto& [id, why] : gone) {
    remove(id, why, effects);
  }
}

const std::string& Router::name_of(PeerId peer) const {
  static const std::string nobody = "nobody";
  const auto it = peers_.find(peer);
  return it == peers_.end() ? nobody : it->second.name;
}

std::vector<Participant> Router::participants() const {
  std::vector<Participant> result;
  for (const auto& [id, peer] : peers_) {
    if (peer.joined) {
      result.push_back({peer.name, peer.facts, peer.hello, peer.suspect, peer.made.size(),
                        peer.serving.size(), peer.waiting.size()});
    }
  }
  return result;
}

std::vector<std::string> Router::targets() const {
  std::vector<std::string> result;
  for (const auto& [name, peer] : targets_) {
    result.push_back(name);
  }
  return result;
}

std::string Router::method_of(const Peer& from, const v1::Header& header) const {
  auto key = header.correlation();
  if (!header.to_caller() && !rpc::ends_call(header.type())) {
    const auto made = from.made.find(key);
    key = made == from.made.end() ? 0 : made->second;
  }
  const auto call = calls_.find(key);
  return call == calls_.end() ? std::string() : call->second.method;
}

void Router::emit(PeerId to, v1::Header header, std::string body, Effects& effects,
                  const std::string& method) {
  header.set_protocol(rpc::kProtocol);
  if (header.epoch() == 0) {
    header.set_epoch(options_.epoch);
  }
  if (tap_) {
    v1::Header shown = header;
    if (shown.method().empty()) {
      shown.set_method(method);
    }
    tap_({.incoming = false, .participant = name_of(to), .header = shown, .body = body});
  }
  effects.emplace_back(Send{to, std::move(header), std::move(body)});
}

}  // namespace skep::bus
