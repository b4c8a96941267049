// Who may ask for which certificate, by the principal that the link set.
#include "core/control/ca/ca_api.h"

#include <optional>

#include "core/control/ca/ca.h"
#include "core/link/certificate.h"
#include "fake_authority.h"
#include "rig.h"
#include "skep/ca.methods.h"

namespace skep::control {
namespace {

using ca::v1::methods::Renew;

class NoPeers final : public bus::Peers {
 public:
  NoPeers(rpc::Caller& any, bus::HttpsClient& outside) : any_(any), outside_(outside) {}
  bus::HttpsClient* https() override { return &outside_; }
  rpc::Caller& to(const std::string& /*node_id*/, const std::string& /*address*/) override { return any_; }
  void refuse(const std::string& /*node_id*/, bool /*refused*/, std::uint64_t /*incarnation*/) override {}
  void set_on_gone(std::function<void(const std::string&)> /*on_gone*/) override {}

 private:
  rpc::Caller& any_;
  bus::HttpsClient& outside_;
};

class CaApiTest : public ::testing::Test, protected Rig {
 protected:
  CaApiTest() {
    register_ca_methods(core_table, world.env, peers, [this] { return manager.get(); });
    init();
    EXPECT_TRUE(lead());
    model::v1::Cluster cluster = *manager->store().view().cluster();
    *cluster.mutable_root_ca() = *new_root_ca(world.random, world.loop.wall_now());
    cluster.set_unlock_key("SWMKEY-1-x");
    commit(std::move(cluster));
    for (const auto& [id, role] : {std::pair{"m2", model::v1::NODE_ROLE_MANAGER}, {"w1", model::v1::NODE_ROLE_WORKER}}) {
      model::v1::Node node;
      node.set_id(id);
      node.mutable_spec()->set_role(role);
      commit(std::move(node));
    }
  }
  template <class T>
  void commit(T object) {
    store::Transaction transaction;
    transaction.put(std::move(object));
    std::optional<bool> done;
    manager->proposer().propose(std::move(transaction), [&](Result<std::uint64_t> at) { done = bool(at); });
    ASSERT_TRUE(world.loop.run_until([&] { return done.has_value(); }, 10s));
    ASSERT_TRUE(*done);
  }
  /// The role that a renewal brings, or why there is none.
  std::string renew(rpc::Caller& from, bool locked) {
    ca::v1::RenewRequest request;
    request.set_request(link::make_request()->request);
    request.set_locked(locked);
    const auto answer = ask<Renew>(request, {}, &from);
    if (!answer) {
      return answer.error().reason;
    }
    const auto facts = link::read_certificate(answer->certificate());
    return facts->identity.node_id + " " + std::string(link::role_name(facts->identity.role));
  }
  rpc::Caller& node(const std::string& id, const std::string& role) {
    return bus.attach(id + role, "n1", {}, no_methods, principal("node", id, role));
  }

  /// From now on `url` signs for the swarm's root, and nobody else.
  void sign_outside(const std::string& url) {
    model::v1::Cluster cluster = *manager->store().view().cluster();
    outside.add(url, {cluster.root_ca().certificate(), cluster.root_ca().key()});
    auto& authority = *cluster.mutable_spec()->add_external_cas();
    authority.set_protocol("cfssl");
    authority.set_url(url);
    commit(std::move(cluster));
  }
  Result<ca::v1::IssueResponse> join() {
    ca::v1::IssueRequest request;
    request.set_secret(manager->store().view().cluster()->root_ca().worker_secret());
    request.set_request(link::make_request()->request);
    return ask<ca::v1::methods::Issue>(request);
  }
  std::size_t nodes() { return manager->store().view().all<model::v1::Node>().size(); }

  FakeAuthorities outside{world.env};
  NoPeers peers{*user, outside};
};

TEST_F(CaApiTest, OnlyAManagerGetsACertificateForTheTimeItIsLocked) {
  auto& other = node("m2", "manager");
  EXPECT_EQ(renew(other, false), "m2 manager");
  EXPECT_EQ(renew(other, true), "m2 locked manager");
  EXPECT_EQ(renew(*caller, true), "n1 locked manager") << "the leader itself";
  auto& worker = node("w1", "worker");
  EXPECT_EQ(renew(worker, false), "w1 worker");
  EXPECT_EQ(renew(worker, true), "NOT_A_MANAGER");
}

TEST_F(CaApiTest, TheOpenKeyBringsNoCertificateAtAll) {
  auto& locked = node("m2", "locked manager");
  EXPECT_EQ(renew(locked, false), "NOT_ALLOWED");
  EXPECT_EQ(renew(locked, true), "NOT_ALLOWED");
}

TEST_F(CaApiTest, AnAuthorityOutsideSignsForJoinersAndNodes) {
  sign_outside("https://ca/sign");
  EXPECT_EQ(renew(node("m2", "manager"), true), "m2 locked manager");
  EXPECT_EQ(renew(*caller, false), "n1 manager");
  const auto joined = join();
  ASSERT_TRUE(joined) << joined.error().message;
  EXPECT_EQ(link::read_certificate(joined->certificate())->identity.node_id, joined->node_id());
  EXPECT_EQ(outside.asked.size(), 3U);
}

TEST_F(CaApiTest, AJoinerWithoutACertificateIsNoNode) {
  sign_outside("https://ca/sign");
  outside.silent = true;
  const std::size_t before = nodes();
  const auto refused = join();
  EXPECT_EQ(refused.error().reason, "EXTERNAL_CA");
  EXPECT_EQ(nodes(), before);
  EXPECT_EQ(renew(node("w1", "worker"), false), "EXTERNAL_CA");
}

TEST_F(CaApiTest, WhatChangedWhileTheAuthorityTookItsTimeCounts) {
  sign_outside("https://ca/sign");
  outside.delay = 4s;
  std::string renewed;
  ca::v1::RenewRequest renewal;
  renewal.set_request(link::make_request()->request);
  rpc::call<Renew>(node("m2", "manager"), "core", renewal, {.deadline = 15s},
                   [&](const Result<ca::v1::RenewResponse>& answer) { renewed = answer ? "certificate" : answer.error().reason; });
  std::string joined;
  ca::v1::IssueRequest request;
  request.set_secret(manager->store().view().cluster()->root_ca().worker_secret());
  request.set_request(link::make_request()->request);
  rpc::call<ca::v1::methods::Issue>(
      *user, "core", request, {.deadline = 15s},
      [&](const Result<ca::v1::IssueResponse>& answer) { joined = answer ? "certificate" : answer.error().reason; });
  const std::size_t before = nodes();
  model::v1::Node demoted = *manager->store().view().get<model::v1::Node>("m2");
  demoted.mutable_spec()->set_role(model::v1::NODE_ROLE_WORKER);
  commit(std::move(demoted));
  ca::v1::JoinTokenRequest rotate;
  rotate.set_rotate(true);
  ASSERT_TRUE(ask<ca::v1::methods::JoinToken>(rotate));
  ASSERT_EQ(outside.asked.size(), 2U);
  ASSERT_EQ(renewed + joined, "") << "both still wait";
  ASSERT_TRUE(world.loop.run_until([&] { return !renewed.empty() && !joined.empty(); }, 10s));
  EXPECT_EQ(renewed, "CHANGED") << "no manager's certificate for who was demoted meanwhile";
  EXPECT_EQ(joined, "INVALID_TOKEN");
  EXPECT_EQ(nodes(), before);
}

}  // namespace
}  // namespace skep::control
