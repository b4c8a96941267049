// Who may ask for which certificate, by the principal that the link set.
#include "core/control/ca/ca_api.h"

#include <optional>

#include "core/control/ca/ca.h"
#include "core/link/certificate.h"
#include "rig.h"
#include "skep/ca.methods.h"

namespace skep::control {
namespace {

using ca::v1::methods::Renew;

class NoPeers final : public bus::Peers {
 public:
  explicit NoPeers(rpc::Caller& any) : any_(any) {}
  rpc::Caller& to(const std::string& /*node_id*/, const std::string& /*address*/) override { return any_; }
  void refuse(const std::string& /*node_id*/, bool /*refused*/, std::uint64_t /*incarnation*/) override {}
  void set_on_gone(std::function<void(const std::string&)> /*on_gone*/) override {}

 private:
  rpc::Caller& any_;
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

  NoPeers peers{*user};
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

}  // namespace
}  // namespace skep::control
