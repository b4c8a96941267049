// A leader that was overtaken and does not know it yet decides nothing on trust from its old state.

#include "cluster_rig.h"
#include "core/control/ca/ca.h"
#include "core/link/certificate.h"
#include "core/link/join_token.h"
#include "skep/ca.methods.h"

namespace skep::control {
namespace {

using model::v1::NODE_ROLE_MANAGER;
using model::v1::NODE_ROLE_WORKER;

class StaleLeader : public ::testing::Test {
 protected:
  StaleLeader() {
    cluster.init();
    model::v1::Cluster swarm = *cluster.view(cluster.leader()).cluster();
    *swarm.mutable_root_ca() = *new_root_ca(cluster.keys, cluster.loop.wall_now());
    cluster.put(std::move(swarm));
    cluster.put(Cluster::node_object("w1", NODE_ROLE_WORKER));
    cluster.put(Cluster::node_object("w2", NODE_ROLE_MANAGER));
    EXPECT_TRUE(cluster.agree());
    old = cluster.leader();
  }
  /// The leader hangs until another one leads; what follows it does not hear of, also when it goes on.
  void overtake() {
    cluster.nodes.at(old)->process.loop.pause();
    cluster.isolate(old);
    ASSERT_TRUE(cluster.loop.run_until([this] { return !another().empty(); }, 10s));
  }
  void go_on() {
    cluster.nodes.at(old)->process.loop.resume();
    cluster.loop.run_ready();
    ASSERT_TRUE(cluster.manager(old).leading()) << "as far as it knows";
  }
  std::string another() {
    for (const auto& [id, node] : cluster.nodes) {
      if (id != old && node->leads()) {
        return id;
      }
    }
    return "";
  }
  rpc::Caller& as(const bus::v1::Principal& principal) {
    const std::string& id = principal.id().empty() ? principal.kind() : principal.id();
    return cluster.bus.attach(id + "/asks", id, {}, none, principal);
  }
  template <class M>
  Result<typename M::Response> ask(rpc::Caller& from, const typename M::Request& request) {
    Result<typename M::Response> answer = Error{Code::kInternal, "no answer"};
    bool done = false;
    rpc::call<M>(from, old + "/core", request, {}, [&](Result<typename M::Response> reply) {
      answer = std::move(reply);
      done = true;
    });
    EXPECT_TRUE(cluster.loop.run_until([&] { return done; }, 60s)) << M::kName;
    return answer;
  }
  /// The role that a renewal at the old leader brings, or why there is none.
  std::string renew(const std::string& id, const std::string& role) {
    ca::v1::RenewRequest request;
    request.set_request(link::make_request()->request);
    const auto answer = ask<ca::v1::methods::Renew>(as(who("node", id, role)), request);
    return answer ? std::string(link::role_name(link::read_certificate(answer->certificate())->identity.role))
                  : answer.error().reason;
  }

  rpc::MethodTable none;  // outlives the bus
  Cluster cluster{3};
  std::string old;
};

TEST_F(StaleLeader, CertifiesNobodyWhoWasRemoved) {
  EXPECT_EQ(renew("w1", "worker"), "worker");
  overtake();
  ASSERT_TRUE(cluster.remove_node(another(), "w1", true));
  go_on();
  EXPECT_EQ(renew("w1", "worker"), "NOT_LEADER");
}

TEST_F(StaleLeader, CertifiesNobodyInARoleThatWasTaken) {
  EXPECT_EQ(renew("w2", "manager"), "manager");
  overtake();
  ASSERT_TRUE(cluster.set_role(another(), "w2", NODE_ROLE_WORKER));
  go_on();
  EXPECT_EQ(renew("w2", "manager"), "NOT_LEADER");
}

TEST_F(StaleLeader, TakesNobodyBackWhoWasRemoved) {
  const auto key = link::make_request();
  const auto& view = cluster.view(old);
  ca::v1::IssueRequest request;
  request.set_expired_certificate(*certify(view, "w1", key->request, cluster.loop.wall_now()));
  request.set_request(key->request);
  request.set_secret(view.cluster()->root_ca().worker_secret());
  auto& joiner = as(who("joiner", ""));
  const auto before = ask<ca::v1::methods::Issue>(joiner, request);
  ASSERT_TRUE(before) << before.error().message;
  EXPECT_EQ(before->node_id(), "w1");
  overtake();
  ASSERT_TRUE(cluster.remove_node(another(), "w1", true));
  go_on();
  const auto answer = ask<ca::v1::methods::Issue>(joiner, request);
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().reason, "NO_LEADER");
  EXPECT_TRUE(answer.error().retryable()) << "the node asks another manager";
}

TEST_F(StaleLeader, TellsNoJoinTokenThatWasRotated) {
  const auto before = ask<ca::v1::methods::JoinToken>(as(who("local", "0")), {});
  ASSERT_TRUE(before);
  overtake();
  ca::v1::JoinTokenRequest rotate;
  rotate.set_rotate(true);
  const auto rotated = cluster.ask<ca::v1::methods::JoinToken>(another(), rotate);
  ASSERT_TRUE(rotated) << rotated.error().message;
  EXPECT_NE(rotated->token(), before->token());
  go_on();
  const auto answer = ask<ca::v1::methods::JoinToken>(as(who("local", "0")), {});
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().reason, "NO_LEADER");
}

TEST_F(StaleLeader, OpensNoSessionForWhoWasRemoved) {
  dispatch::v1::SessionMessage told;
  std::string ended;
  dispatch::v1::SessionRequest request;
  request.set_node_id("w1");
  overtake();
  ASSERT_TRUE(cluster.remove_node(another(), "w1", true));
  go_on();
  const auto stream = rpc::open<dispatch::v1::methods::Session>(
      as(who("node", "w1", "worker")), old + "/core", request, {.deadline = 0ms},
      [&](const dispatch::v1::SessionMessage& message) { told = message; },
      [&](const Status& status) { ended = status ? "ok" : status.error().reason; });
  EXPECT_TRUE(cluster.loop.run_until([&] { return !ended.empty(); }, 60s));
  EXPECT_EQ(ended, "NOT_LEADER");
  EXPECT_EQ(told.session_id(), "") << "only where else to look";
  EXPECT_EQ(told.managers_size(), 3);
}

}  // namespace
}  // namespace skep::control
