#include "core/agentd/manager_caller.h"

#include <utility>

namespace skep::agentd {
namespace {

/// Another manager may serve what this one did not.
bool ask_another(const Error& error) {
  return error.code == Code::kUnavailable || error.reason == "NOT_A_MANAGER" || error.reason == "LOCKED" ||
         error.reason == "MANAGER_DOWN" || error.reason == "DEADLINE_EXCEEDED";
}

}  // namespace

ManagerCaller::ManagerCaller(rpc::Caller& bus, bus::Peers& peers, ManagerBook& book,
                             std::function<Local()> local, std::function<std::string()> self)
    : bus_(bus), peers_(peers), book_(book), local_(std::move(local)), self_(std::move(self)) {}

ManagerCaller::~ManagerCaller() = default;

ManagerCaller::Route ManagerCaller::route() {
  const Local local = local_();
  if (local.leads) {
    return {&bus_, {}};
  }
  const auto choice = local.leader ? local.leader : book_.choice();
  if (!choice || choice->node_id == self_()) {
    return {&bus_, choice ? choice->node_id : std::string()};
  }
  return {&peers_.to(choice->node_id, choice->address), choice->node_id};
}

void ManagerCaller::note(const std::string& node_id, const Error& error) {
  if (!node_id.empty() && ask_another(error)) {
    book_.failed(node_id);
  }
}

rpc::CallId ManagerCaller::call(std::string target, std::string_view method, rpc::Body body,
                                rpc::CallOptions options, rpc::OnReply on_reply) {
  Route to{&bus_, {}};
  if (target == kManagerTarget) {
    to = route();
    target = "core";
  }
  const rpc::CallId id = ++last_id_;
  open_[id].caller = to.caller;
  const rpc::CallId inner = to.caller->call(
      std::move(target), method, std::move(body), std::move(options),
      [this, alive = std::weak_ptr<char>(alive_), id, node_id = std::move(to.node_id),
       on_reply = std::move(on_reply)](Result<rpc::Body> reply) {
        if (!alive.expired()) {
          open_.erase(id);
          if (!reply) {
            note(node_id, reply.error());
          }
        }
        on_reply(std::move(reply));
      });
  open_[id].id = inner;  // never answered from within call()
  return id;
}

void ManagerCaller::cancel(rpc::CallId id) {
  const auto node = open_.extract(id);
  if (!node.empty()) {
    node.mapped().caller->cancel(node.mapped().id);
  }
}

std::shared_ptr<rpc::ClientStream> ManagerCaller::open(std::string target, std::string_view method,
                                                       rpc::Body body, rpc::CallOptions options,
                                                       rpc::StreamHandlers handlers) {
  if (target != kManagerTarget) {
    return bus_.open(std::move(target), method, std::move(body), std::move(options), std::move(handlers));
  }
  Route to = route();
  streams_to_ = to.node_id;
  handlers.on_done = [this, alive = std::weak_ptr<char>(alive_), node_id = std::move(to.node_id),
                      on_done = std::move(handlers.on_done)](Result<rpc::Body> last) {
    if (!alive.expired() && !last) {
      note(node_id, last.error());
    }
    on_done(std::move(last));
  };
  return to.caller->open("core", method, std::move(body), std::move(options), std::move(handlers));
}

}  // namespace skep::agentd
