// Managers that come and go. See world.h.

#include <algorithm>

#include "skep/control.methods.h"
#include "skep/manager.methods.h"
#include "world.h"

namespace skep::sim {

namespace {
constexpr std::size_t kManagersMax = 9;
constexpr int kJoinTries = 8;
constexpr Duration kJoinPause = 1s;

/// A node that was away while every manager it knew became a worker needs its operator: such are not made here.
template <class Nodes, class Managers>
bool all_find_managers_without(const std::string& id, const Nodes& nodes, const Managers& managers) {
  return std::all_of(nodes.begin(), nodes.end(), [&](const auto& node) {
    const auto known = node->known_managers();
    return std::any_of(known.begin(), known.end(), [&](const auto& other) {
      const auto found = managers.find(other);
      return other != id && found != managers.end() && !found->second->removed;
    });
  });
}
}  // namespace

void World::change_members() {
  Manager* manager = victim();
  if (manager == nullptr || !joining_.empty()) {
    return;
  }
  // A worker's machine that was a manager before, or one that never was.
  for (const auto& [id, retired] : managers_) {
    if (retired->removed && !retired->runs()) {
      fire("manager promoted again");
      joining_.insert(id);
      return set_role(id, pb::NODE_ROLE_MANAGER, [this, id = id] { join(id, kJoinTries); });
    }
  }
  if (managers_.size() < kManagersMax && rng_.chance(50)) {
    const std::string id = "m" + std::to_string(managers_.size() + 1);
    Manager* lead = leader();
    if (lead == nullptr) {
      return;
    }
    fire("manager joins");
    make_manager(id, 0).removed = true;  // until it joined
    joining_.insert(id);
    pb::Node node;
    node.set_id(id);
    node.mutable_spec()->set_role(pb::NODE_ROLE_MANAGER);
    node.mutable_spec()->set_availability(pb::AVAILABILITY_DRAIN);
    store::Transaction transaction;
    transaction.put(std::move(node));
    lead->manager->proposer().propose(std::move(transaction),
                                      [this, id](const auto&) {
                                        if (certified_ != nullptr) {
                                          certified_->demoted(*managers_.at(id));
                                        }
                                        join(id, kJoinTries);
                                      });
    return;
  }
  if (!all_find_managers_without(manager->id, nodes_, managers_)) {
    return;
  }
  fire("manager demoted");
  set_role(manager->id, pb::NODE_ROLE_WORKER, [] {});
}

void World::set_role(const std::string& id, pb::NodeRole role, std::function<void()> then) {
  other_reason_[id] = loop_.now();
  rpc::Caller* user = any_user();
  if (user == nullptr) {
    return then();
  }
  control::v1::GetNodeRequest get;
  get.set_ref(id);
  rpc::call<control::v1::methods::GetNode>(
      *user, "core", get, {.deadline = 10s},
      [this, role, then](const Result<control::v1::GetNodeResponse>& node) {
        rpc::Caller* again = any_user();
        if (!node || again == nullptr) {
          return then();
        }
        control::v1::UpdateNodeRequest update;
        update.set_ref(node->node().id());
        update.set_version(node->node().meta().version());
        *update.mutable_spec() = node->node().spec();
        update.mutable_spec()->set_role(role);
        rpc::call<control::v1::methods::UpdateNode>(
            *again, "core", update, {.deadline = 10s}, [this, then](const auto& answer) {
              if (answer) {
                note_answer(answer->node());
              }
              then();
            });
      });
}

/// Asks until it is taken in, as its agent would.
void World::join(const std::string& id, int tries) {
  Manager* via = any_manager(/*running=*/true);
  if (tries == 0 || healed_ || via == nullptr) {
    joining_.erase(id);
    bus_.detach(id + "/core");
    return;
  }
  bus_.attach(id + "/core", id, {"core"}, no_methods_, rig::who("core", id));  // it listens before it asks
  auto& caller = bus_.attach(id + "/join", id, {}, no_methods_, rig::who("node", id, "manager"));
  manager::v1::JoinRequest request;
  request.set_node_id(id);
  request.set_address(id + ":2377");
  rpc::call<manager::v1::methods::Join>(
      caller, via->id + "/core", request, {.deadline = 15s},
      [this, id, tries](const Result<manager::v1::JoinResponse>& answer) {
        if (!answer) {
          loop_.run_after(kJoinPause, [this, id, tries] { join(id, tries - 1); });
          return;
        }
        Manager& manager = *managers_.at(id);
        if (certified_ != nullptr) {
          certified_->ended(id);
        }
        manager.wipe(answer->member_id());
        manager.join_members.assign(answer->members().begin(), answer->members().end());
        joining_.erase(id);
        ++outcome_.joined;
        trace_.note(loop_.now(), "joined", answer->member_id());
        manager.start();
      });
}

void World::transfer_leadership() {
  Manager* lead = leader();
  Manager* to = any_manager(/*running=*/true);
  if (lead == nullptr || to == nullptr || lead == to || lead->raft == nullptr) {
    return;
  }
  fire("leader moved");
  other_reason_[lead->id] = loop_.now();
  consensus::v1::TransferLeadershipRequest request;
  request.set_to(to->member_id);
  lead->raft->transfer_leadership(request, [](const auto&) {});
}

/// A manager that found itself removed ends.
void World::retire_removed() {
  for (const auto& [id, manager] : managers_) {
    if (manager->removed && manager->runs()) {
      retire(*manager);
    }
  }
}

/// Its machine is a worker's from now on.
void World::retire(Manager& manager) {
  trace_.note(loop_.now(), "retired", manager.member_id);
  manager.removed = true;
  if (manager.runs()) {
    manager.kill();
    tell_gone(manager.id);
  }
  if (certified_ != nullptr) {
    certified_->demoted(manager);
  }
}

}  // namespace skep::sim
