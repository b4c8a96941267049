#include "skep/testing/local_bus.h"

#include <algorithm>
#include <utility>

#include "skep/envelope.h"

namespace skep::testing {

/// Two endpoints and what is under way between them. Events hold it weakly: once broken, frames
/// that are still under way are lost.
struct LocalBus::Link {
  std::string names[2];
  std::unique_ptr<rpc::RpcEndpoint> ends[2];
  TimePoint arrives[2] = {};  // the last frame sent by each side
  bool broken = false;        // an end may stay until its process gets to know
};

class LocalBus::Participant final : public rpc::Caller {
 public:
  const std::string name;
  const std::string realm;
  const std::vector<std::string> targets;
  const rpc::MethodTable& table;
  const bus::v1::Principal principal;
  Loop& loop;

  Participant(LocalBus& bus, std::string its_name, std::string its_realm,
              std::vector<std::string> its_targets, const rpc::MethodTable& its_table,
              bus::v1::Principal its_principal, Loop& its_loop)
      : name(std::move(its_name)),
        realm(std::move(its_realm)),
        targets(std::move(its_targets)),
        table(its_table),
        principal(std::move(its_principal)),
        loop(its_loop),
        bus_(bus) {}

  rpc::CallId call(std::string target, std::string_view method, rpc::Body body,
                   rpc::CallOptions options, rpc::OnReply on_reply) override {
    Participant* to = bus_.find(realm, target);
    if (to == nullptr) {
      loop.post([target, on_reply = std::move(on_reply)] { on_reply(unknown(target)); });
      return ++last_id_;
    }
    rpc::RpcEndpoint* end = bus_.endpoint(*this, *to);
    const rpc::CallId id = ++last_id_;
    calls_[id] = {end, 0};
    const rpc::CallId inner =
        end->call(std::move(target), method, std::move(body), std::move(options),
                  [this, id, on_reply = std::move(on_reply)](Result<rpc::Body> reply) {
                    calls_.erase(id);
                    on_reply(std::move(reply));
                  });
    if (const auto it = calls_.find(id); it != calls_.end()) {
      it->second.second = inner;
    }
    return id;
  }
  void cancel(rpc::CallId id) override {
    if (const auto it = calls_.find(id); it != calls_.end()) {
      it->second.first->cancel(it->second.second);
      calls_.erase(it);
    }
  }
  std::shared_ptr<rpc::ClientStream> open(std::string target, std::string_view method,
                                          rpc::Body body, rpc::CallOptions options,
                                          rpc::StreamHandlers handlers) override {
    Participant* to = bus_.find(realm, target);
    if (to == nullptr) {
      loop.post([target, done = std::move(handlers.on_done)] { done(unknown(target)); });
      return std::make_shared<NoStream>();
    }
    return bus_.endpoint(*this, *to)
        ->open(std::move(target), method, std::move(body), std::move(options), std::move(handlers));
  }
  ~Participant() override {
    // Also of links that are being broken already: nothing may call into what is gone.
    for (const auto& [weak, side] : ends_) {
      if (const auto link = weak.lock()) {
        link->ends[side].reset();
      }
    }
  }
  void own(const std::shared_ptr<Link>& link, int side) {
    std::erase_if(ends_, [](const auto& end) { return end.first.expired(); });
    ends_.emplace_back(link, side);
  }
  void forget(const rpc::RpcEndpoint* end) {
    std::erase_if(calls_, [end](const auto& entry) { return entry.second.first == end; });
  }

 private:
  struct NoStream final : rpc::ClientStream {
    Status send(rpc::Body) override { return unknown(""); }
    void end() override {}
    void cancel() override {}
  };
  static Error unknown(const std::string& target) {
    return Error{Code::kNotFound, "nobody answers '" + target + "'", "UNKNOWN_TARGET"};
  }

  LocalBus& bus_;
  std::vector<std::pair<std::weak_ptr<Link>, int>> ends_;
  rpc::CallId last_id_ = 0;
  std::map<rpc::CallId, std::pair<rpc::RpcEndpoint*, rpc::CallId>> calls_;
};

LocalBus::LocalBus(Loop& loop) : loop_(loop) {}
LocalBus::~LocalBus() = default;

rpc::Caller& LocalBus::attach(const std::string& name, const std::string& realm,
                              std::vector<std::string> targets, const rpc::MethodTable& table,
                              bus::v1::Principal principal, Loop* loop) {
  detach(name);
  found_.clear();
  auto& slot = participants_[name];
  slot = std::make_unique<Participant>(*this, name, realm, std::move(targets), table,
                                       std::move(principal), loop == nullptr ? loop_ : *loop);
  return *slot;
}

void LocalBus::detach(const std::string& name) {
  const auto it = participants_.find(name);
  if (it == participants_.end()) {
    return;
  }
  found_.clear();
  const auto gone = std::move(it->second);
  participants_.erase(it);
  for (auto link = links_.begin(); link != links_.end();) {
    const auto broken = link->second;
    if (broken->names[0] != name && broken->names[1] != name) {
      ++link;
      continue;
    }
    // Its own side dies without a word; the other side learns that the connection closed.
    broken->ends[broken->names[0] == name ? 0 : 1].reset();
    break_link(broken);
    link = links_.erase(link);
  }
}

std::size_t LocalBus::disconnect(
    const std::function<bool(const std::string& from, const std::string& to)>& broken) {
  std::size_t count = 0;
  for (auto it = links_.begin(); it != links_.end();) {
    const auto link = it->second;
    if (broken(link->names[0], link->names[1]) || broken(link->names[1], link->names[0])) {
      break_link(link);
      it = links_.erase(it);
      ++count;
    } else {
      ++it;
    }
  }
  return count;
}

Loop& LocalBus::loop_of(const std::string& name) {
  const auto it = participants_.find(name);
  return it == participants_.end() ? loop_ : it->second->loop;
}

void LocalBus::break_link(const std::shared_ptr<Link>& link) {
  link->broken = true;
  for (int side = 0; side < 2; ++side) {
    // Posted: whoever breaks it may stand in a handler of one of the endpoints.
    loop_of(link->names[side]).post([this, link, side] {
      if (const auto end = std::move(link->ends[side])) {
        end->disconnect("the connection was closed");
        if (const auto it = participants_.find(link->names[side]); it != participants_.end()) {
          it->second->forget(end.get());
        }
      }
    });
  }
}

LocalBus::Participant* LocalBus::find(const std::string& realm, const std::string& target) {
  const std::string key = realm + '\n' + target;
  const auto known = found_.find(key);
  return known != found_.end() ? known->second
                               : found_.emplace(key, search(realm, target)).first->second;
}

LocalBus::Participant* LocalBus::search(const std::string& realm, const std::string& target) {
  for (const auto& [name, participant] : participants_) {
    for (const auto& answered : participant->targets) {
      if ((participant->realm == realm && answered == target) ||
          participant->realm + "/" + answered == target) {
        return participant.get();
      }
    }
  }
  return nullptr;
}

rpc::RpcEndpoint* LocalBus::endpoint(Participant& from, Participant& to) {
  const auto key = std::minmax(from.name, to.name);
  auto& link = links_[{key.first, key.second}];
  if (link == nullptr) {
    link = std::make_shared<Link>();
    Participant& first = from.name == key.first ? from : to;
    Participant& second = from.name == key.first ? to : from;
    link->names[0] = first.name;
    link->names[1] = second.name;
    make_endpoint(link, 0, first, second);
    make_endpoint(link, 1, second, first);
  }
  // A participant that calls itself uses side 0 and is served by side 1.
  return link->ends[link->names[0] == from.name ? 0 : 1].get();
}

void LocalBus::make_endpoint(const std::shared_ptr<Link>& link, int side, Participant& from,
                             Participant& /*to*/) {
  from.own(link, side);
  link->ends[side] = std::make_unique<rpc::RpcEndpoint>(
      from.loop, from.table,
      [this, weak = std::weak_ptr<Link>(link), side](std::string header,
                                                     std::string body) -> Status {
        const auto strong = weak.lock();
        if (strong == nullptr || strong->broken) {
          return Error{Code::kUnavailable, "the connection was closed", "DISCONNECTED"};
        }
        send(strong, side, std::move(header), std::move(body));
        return ok();
      },
      rpc::EndpointOptions{.name = from.name});
}

void LocalBus::send(const std::shared_ptr<Link>& link, int side, std::string header,
                    std::string body) {
  ++frames_;
  const auto sender = participants_.find(link->names[side]);
  if (sender == participants_.end()) {
    return;
  }
  const Duration travel = travel_ ? travel_(link->names[side], link->names[1 - side]) : Duration{0};
  if (travel < Duration{0}) {
    return;
  }
  auto& arrives = link->arrives[side];
  arrives = std::max(arrives, loop_.now() + travel);
  auto deliver = [this, weak = std::weak_ptr<Link>(link), side, header = std::move(header),
                  body = std::move(body), principal = sender->second->principal] {
    const auto strong = weak.lock();
    if (strong == nullptr || strong->broken || strong->ends[1 - side] == nullptr) {
      return;
    }
    if (tap_) {
      tap_(strong->names[side], strong->names[1 - side], header, body);
    }
    auto parsed = rpc::parse_header(header);
    SKEP_ASSERT(parsed.has_value(), "endpoints write valid headers");
    *parsed->mutable_principal() = principal;
    parsed->set_source(strong->names[side]);
    strong->ends[1 - side]->on_frame(*parsed, body);
  };
  Loop& receiver = loop_of(link->names[1 - side]);
  if (arrives <= loop_.now()) {
    receiver.post(std::move(deliver));
  } else {
    receiver.run_after(arrives - loop_.now(), std::move(deliver));
  }
}

}  // namespace skep::testing
