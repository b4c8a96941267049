#pragma once

// Several managers in one virtual world, each over the real raft driver with a disk and random
// numbers of its own, joined by peers that can be cut, delayed and killed.

#include <gtest/gtest.h>

#include <set>

#include "skep/control.methods.h"
#include "skep/dispatch.methods.h"
#include "skep/manager.methods.h"
#include "tests/rig/manager_process.h"

namespace skep::control {

using namespace std::chrono_literals;

using rig::LocalPeers;
using rig::who;

/// Managers n1, n2, ... with member ids 1, 2, ... unless they joined.
class Cluster {
 public:
  using Node = rig::ManagerProcess;

  explicit Cluster(int managers, std::uint64_t seed = 1) : bus(loop), seed_(seed) {
    bus.set_travel([this](const std::string& from, const std::string& to) {
      const std::string a = node_of(from);
      const std::string b = node_of(to);
      return a == b ? Duration{0} : cut.contains({a, b}) ? Duration{-1} : delay;
    });
    start_members(managers);
  }
  /// n1 to nN: the members of a log that begins.
  void start_members(int managers) {
    std::vector<consensus::v1::Member> first;
    for (int i = 1; i <= managers; ++i) {
      auto& member = first.emplace_back();
      member.set_id(static_cast<std::uint64_t>(i));
      member.set_node_id("n" + std::to_string(i));
      member.set_address(member.node_id() + ":2377");
    }
    for (const auto& member : first) {
      add(member.node_id(), member.id());
      start(member.node_id(), first);
    }
  }
  ~Cluster() {
    for (auto& [id, node] : nodes) {
      kill(id);
    }
  }
  static std::string node_of(const std::string& participant) {
    return rig::node_of(participant);
  }

  /// Called before every start; for what is not as usual.
  std::function<void(const std::string& id, ManagerConfig& config, Manager::Handlers& handlers)>
      tune;
  /// Called for every start; for what a test watches.
  std::function<void(const std::string& id, Node& node)> on_start;

  Node& add(const std::string& id, std::uint64_t member_id) {
    auto& node = nodes[id] =
        std::make_unique<Node>(world_, id, seed_ * 1000 + nodes.size() + 1, member_id);
    return *node;
  }
  /// Starts the processes of a node; `bootstrap` only in the first start of a first member.
  void start(const std::string& id, std::vector<consensus::v1::Member> bootstrap = {}) {
    world_.raft_config = raft_config;
    world_.loops = loops;
    world_.sealer = sealer;
    world_.refuses = [this](const std::string& from, const std::string& to) -> std::optional<std::uint64_t> {
      const auto asked = nodes.find(to);
      const bool refuses = asked != nodes.end() && asked->second->runs() &&
                           asked->second->peers->refused().contains(from);
      return refuses ? std::optional(asked->second->peers->incarnation()) : std::nullopt;
    };
    world_.find = [this](const std::string& of) -> const Manager* {
      const auto found = nodes.find(of);
      return found == nodes.end() ? nullptr : found->second->manager.get();
    };
    nodes.at(id)->tune = [this, id](ManagerConfig& config, Manager::Handlers& handlers) {
      if (tune) {
        tune(id, config, handlers);
      }
    };
    nodes.at(id)->on_start = [this](Node& node) {
      if (on_start) {
        on_start(node.id, node);
      }
    };
    nodes.at(id)->start(std::move(bootstrap));
  }
  void start_raft(const std::string& id) { ASSERT_TRUE(nodes.at(id)->start_raft()); }
  /// kill -9: the others learn at once that its connections closed.
  void kill(const std::string& id) {
    if (nodes.at(id)->runs()) {
      nodes.at(id)->kill();
      tell_gone(id);
    }
  }
  /// Power loss: what was not synced may be gone.
  void crash(const std::string& id) {
    if (nodes.at(id)->runs()) {
      nodes.at(id)->lose_power();
      tell_gone(id);
    }
  }
  /// Frames between the two are lost (the connection stays); `broken` closes it as well.
  void set_cut(const std::string& a, const std::string& b, bool is_cut) {
    for (const auto& pair : {std::pair{a, b}, std::pair{b, a}}) {
      is_cut ? (void)cut.insert(pair) : (void)cut.erase(pair);
    }
  }
  void isolate(const std::string& id, bool is_cut = true) {
    for (auto& [other, node] : nodes) {
      if (other != id) {
        set_cut(id, other, is_cut);
      }
    }
  }

  /// What a node asks a manager to be taken in; the certificate says what `as` says.
  Result<manager::v1::JoinResponse> ask_to_join(const std::string& id, const std::string& via,
                                                const bus::v1::Principal& as) {
    auto& caller = bus.attach(id + "/join", id, {}, none_, as);
    if (!deaf.contains(id) && (!nodes.contains(id) || !nodes.at(id)->runs())) {
      bus.attach(id + "/core", id, {"core"}, none_, who("core", id));  // it listens before it asks
    }
    manager::v1::JoinRequest request;
    request.set_node_id(id);
    request.set_address(id + ":2377");
    Result<manager::v1::JoinResponse> answer = Error{Code::kInternal, "no answer"};
    bool done = false;
    rpc::call<manager::v1::methods::Join>(caller, via + "/core", request, {},
                                          [&](Result<manager::v1::JoinResponse> reply) {
                                            answer = std::move(reply);
                                            done = true;
                                          });
    EXPECT_TRUE(loop.run_until([&] { return done; }, 60s));
    return answer;
  }
  /// A node that is to be a manager joins and starts.
  void join(const std::string& id, const std::string& via) {
    put(node_object(id, model::v1::NODE_ROLE_MANAGER));
    const auto answer = ask_to_join(id, via, who("node", id, "manager"));
    ASSERT_TRUE(answer) << answer.error().message;
    EXPECT_EQ(answer->cluster_id(), "c1");
    auto& node = add(id, answer->member_id());
    node.join_members.assign(answer->members().begin(), answer->members().end());
    start(id);
  }
  std::size_t voters() {
    std::size_t count = 0;
    for (const auto& member : manager(wait_leader()).consensus().members()) {
      count += member.learner() ? 0 : 1;
    }
    return count;
  }
  Status set_role(const std::string& at, const std::string& id, model::v1::NodeRole role) {
    control::v1::GetNodeRequest get;
    get.set_ref(id);
    const auto node = ask<control::v1::methods::GetNode>(at, get);
    if (!node) {
      return node.error();
    }
    control::v1::UpdateNodeRequest update;
    update.set_ref(id);
    update.set_version(node->node().meta().version());
    *update.mutable_spec() = node->node().spec();
    update.mutable_spec()->set_role(role);
    const auto updated = ask<control::v1::methods::UpdateNode>(at, update);
    return updated ? ok() : Status(updated.error());
  }
  Status remove_node(const std::string& at, const std::string& id, bool force) {
    control::v1::RemoveNodeRequest request;
    request.set_ref(id);
    request.set_force(force);
    const auto removed = ask<control::v1::methods::RemoveNode>(at, request);
    return removed ? ok() : Status(removed.error());
  }

  std::string leader() {
    for (auto& [id, node] : nodes) {
      if (node->manager != nullptr && node->manager->leading()) {
        return id;
      }
    }
    return "";
  }
  std::string wait_leader(Duration limit = 10s) {
    loop.run_until([this] { return !leader().empty(); }, limit);
    EXPECT_NE(leader(), "") << "no leader";
    return leader();
  }
  std::string follower() {
    for (auto& [id, node] : nodes) {
      if (node->manager != nullptr && !node->manager->leading()) {
        return id;
      }
    }
    return "";
  }
  Manager& manager(const std::string& id) { return *nodes.at(id)->manager; }
  const store::View& view(const std::string& id) { return manager(id).store().view(); }

  /// First leader, Cluster and Node objects.
  void init() {
    const std::string first = wait_leader();
    model::v1::Cluster cluster;
    cluster.set_id("c1");
    cluster.mutable_spec()->set_name("default");
    bool done = false;
    manager(first).bootstrap(cluster, node_object(first, model::v1::NODE_ROLE_MANAGER),
                             [&](const Status& status) {
                               EXPECT_TRUE(status) << status.error().message;
                               done = true;
                             });
    ASSERT_TRUE(loop.run_until([&] { return done; }, 10s));
    for (auto& [id, node] : nodes) {
      if (id != first) {
        put(node_object(id, model::v1::NODE_ROLE_MANAGER));
      }
    }
  }
  static model::v1::Node node_object(const std::string& id, model::v1::NodeRole role) {
    model::v1::Node node;
    node.set_id(id);
    node.mutable_spec()->set_role(role);
    node.mutable_description()->set_hostname("host-" + id);
    node.mutable_status()->set_state(model::v1::NODE_STATE_READY);
    return node;
  }
  template <class T>
  void put(T object) {
    store::Transaction transaction;
    transaction.put(std::move(object));
    bool done = false;
    manager(wait_leader())
        .proposer()
        .propose(std::move(transaction), [&](const Result<std::uint64_t>& result) {
          EXPECT_TRUE(result) << result.error().message;
          done = true;
        });
    ASSERT_TRUE(loop.run_until([&] { return done; }, 10s));
  }

  /// Asks as a person on that node would.
  template <class M>
  Result<typename M::Response> ask(const std::string& at, const typename M::Request& request,
                                   rpc::CallOptions options = {}, rpc::Caller* from = nullptr) {
    Result<typename M::Response> answer = Error{Code::kInternal, "no answer"};
    bool done = false;
    rpc::call<M>(from != nullptr ? *from : *nodes.at(at)->user, "core", request, std::move(options),
                 [&](Result<typename M::Response> reply) {
                   answer = std::move(reply);
                   done = true;
                 });
    EXPECT_TRUE(loop.run_until([&] { return done; }, 90s)) << M::kName;
    return answer;
  }
  static control::v1::CreateServiceRequest service(const std::string& name) {
    control::v1::CreateServiceRequest request;
    auto& spec = *request.mutable_spec();
    spec.set_name(name);
    spec.mutable_replicated()->set_replicas(1);
    spec.mutable_task()->mutable_container()->set_image("web:1");
    return request;
  }
  /// All running managers come to hold the same state.
  bool agree(Duration limit = 10s) {
    return loop.run_until(
        [this] {
          const store::Store* first = nullptr;
          for (auto& [id, node] : nodes) {
            if (node->manager == nullptr || node->removed) {
              continue;
            }
            const store::Store& one = node->manager->store();
            first = first == nullptr ? &one : first;
            if (one.applied_index() != first->applied_index() ||
                one.state_hash() != first->state_hash()) {
              return false;
            }
          }
          return true;
        },
        limit);
  }

  testing::ManualLoop loop;
  testing::InlineWorkers workers{loop};
  testing::LocalBus bus;
  Duration delay = 1ms;
  testing::SeededRandom keys{77};
  std::shared_ptr<const base::Sealer> sealer = base::Sealer::make_new(keys);
  std::set<std::pair<std::string, std::string>> cut;     // frames from first to second are lost
  std::set<std::pair<std::string, std::string>> broken;  // no connection (names in order)
  std::set<std::string> deaf;  // who does not listen when it asks to join
  std::map<std::string, std::string> raft_config{{"segment_kib", "1024"}};
  std::vector<MakeLoop> loops;
  std::map<std::string, std::unique_ptr<Node>> nodes;

 private:
  void tell_gone(const std::string& id) {
    loop.run_ready();
    for (auto& [other, peer] : nodes) {
      if (other != id && peer->manager != nullptr) {
        peer->peers->on_gone(id);
      }
    }
  }
  const std::uint64_t seed_;
  rig::ManagerWorld world_{loop, bus, [this](const std::string& from, const std::string& to) {
                             // Who only asks to join has a core on the bus, or none answers there.
                             return (!nodes.contains(to) || nodes.at(to)->manager != nullptr) &&
                                    !broken.contains(std::minmax(from, to));
                           }};
  rpc::MethodTable none_;
};

}  // namespace skep::control
