#include "core/control/ca/ca.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/link/join_token.h"
#include "core/store/store.h"
#include "core/store/transaction.h"
#include "skep/testing/manual_env.h"

namespace skep::control {
namespace {

using ::testing::HasSubstr;
using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace)

class CaTest : public ::testing::Test {
 protected:
  static constexpr WallTime kNow = 1'800'000'000'000'000'000;

  CaTest() {
    model::v1::Cluster cluster;
    cluster.set_id("cluster1");
    cluster.mutable_spec()->set_certificate_expiry(Duration(2h).count());
    *cluster.mutable_root_ca() = root;
    put(cluster);
  }
  template <class T>
  void put(T object) {
    store::Transaction transaction;
    transaction.put(std::move(object));
    const auto applied = store.apply(store.applied_index() + 1, 1, *transaction.encode("test", kNow));
    ASSERT_TRUE(applied);
    ASSERT_EQ(applied->outcome, store::Outcome::kApplied) << applied->message;
  }
  ca::v1::IssueRequest joiner(const std::string& secret) {
    ca::v1::IssueRequest request;
    request.set_secret(secret);
    request.mutable_description()->set_hostname("box");
    request.set_availability(model::v1::AVAILABILITY_DRAIN);
    return request;
  }

  testing::SeededRandom random{1};
  store::Store store;
  const model::v1::RootCa root = *new_root_ca(random, kNow);
};

TEST_F(CaTest, TheTokenDecidesTheRole) {
  const auto worker = admit_joiner(store.view(), joiner(root.worker_secret()), "10.0.0.2", random);
  ASSERT_TRUE(worker) << worker.error().message;
  EXPECT_EQ(worker->spec().role(), model::v1::NODE_ROLE_WORKER);
  EXPECT_EQ(worker->spec().availability(), model::v1::AVAILABILITY_DRAIN);
  EXPECT_EQ(worker->status().address(), "10.0.0.2");
  EXPECT_EQ(worker->description().hostname(), "box");
  const auto manager = admit_joiner(store.view(), joiner(root.manager_secret()), "", random);
  EXPECT_EQ(manager->spec().role(), model::v1::NODE_ROLE_MANAGER);
  EXPECT_NE(manager->id(), worker->id());
  for (const std::string& wrong : {std::string(), std::string("x"), std::string(25, '0')}) {
    const auto refused = admit_joiner(store.view(), joiner(wrong), "", random);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().reason, "INVALID_TOKEN");
  }
}

TEST_F(CaTest, ARepeatedJoinIsTheSameNodeUntilItWasSeen) {
  auto request = joiner(root.worker_secret());
  auto node = *admit_joiner(store.view(), request, "", random);
  put(node);
  request.set_node_id(node.id());
  EXPECT_EQ(admit_joiner(store.view(), request, "", random)->id(), node.id());
  request.set_secret(root.manager_secret());
  EXPECT_NE(admit_joiner(store.view(), request, "", random)->id(), node.id()) << "another role is another node";
  request.set_secret(root.worker_secret());
  model::v1::Node seen = *store.view().get<model::v1::Node>(node.id());
  seen.mutable_status()->set_state(model::v1::NODE_STATE_READY);
  put(seen);
  EXPECT_NE(admit_joiner(store.view(), request, "", random)->id(), node.id());
}

TEST_F(CaTest, CertificatesSayWhatTheNodeIsNow) {
  auto node = *admit_joiner(store.view(), joiner(root.worker_secret()), "", random);
  put(node);
  const auto request = link::make_request();
  const auto certificate = certify(store.view(), node.id(), request->request, kNow);
  ASSERT_TRUE(certificate) << certificate.error().message;
  auto facts = link::verify_certificate(*certificate, root.certificate(), "cluster1", kNow);
  ASSERT_TRUE(facts);
  EXPECT_EQ(facts->identity.node_id, node.id());
  EXPECT_EQ(facts->identity.role, link::Role::kWorker);
  EXPECT_EQ(facts->not_after, kNow + Duration(2h).count());
  model::v1::Node promoted = *store.view().get<model::v1::Node>(node.id());
  promoted.mutable_spec()->set_role(model::v1::NODE_ROLE_MANAGER);
  put(promoted);
  facts = link::read_certificate(*certify(store.view(), node.id(), request->request, kNow));
  EXPECT_EQ(facts->identity.role, link::Role::kManager);
  const auto gone = certify(store.view(), "nobody", request->request, kNow);
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().reason, "NODE_REMOVED");
}

TEST_F(CaTest, AManagerGetsASecondOneForTheTimeItIsLocked) {
  auto node = *admit_joiner(store.view(), joiner(root.manager_secret()), "", random);
  put(node);
  const auto request = link::make_request();
  const auto unlocked = certify_locked(store.view(), node.id(), request->request, kNow);
  ASSERT_FALSE(unlocked);
  EXPECT_EQ(unlocked.error().reason, "NOT_AUTOLOCKED");
  model::v1::Cluster cluster = *store.view().cluster();
  cluster.set_unlock_key("SWMKEY-1-x");
  put(cluster);
  const auto certificate = certify_locked(store.view(), node.id(), request->request, kNow);
  ASSERT_TRUE(certificate) << certificate.error().message;
  const auto facts = link::verify_certificate(*certificate, root.certificate(), "cluster1", kNow);
  ASSERT_TRUE(facts);
  EXPECT_EQ(facts->identity, (link::Identity{node.id(), link::Role::kLockedManager, "cluster1"}));
  EXPECT_EQ(facts->not_after, kNow + Duration(2h).count()) << "as all certificates of the swarm";
  // The other one is a manager's still.
  EXPECT_EQ(link::read_certificate(*certify(store.view(), node.id(), request->request, kNow))->identity.role,
            link::Role::kManager);
  model::v1::Node demoted = *store.view().get<model::v1::Node>(node.id());
  demoted.mutable_spec()->set_role(model::v1::NODE_ROLE_WORKER);
  put(demoted);
  EXPECT_EQ(certify_locked(store.view(), node.id(), request->request, kNow).error().reason, "NOT_A_MANAGER");
  EXPECT_EQ(certify_locked(store.view(), "nobody", request->request, kNow).error().reason, "NODE_REMOVED");
}

TEST_F(CaTest, TheOpenKeyOfALockedManagerBringsNobodyBack) {
  auto node = *admit_joiner(store.view(), joiner(root.manager_secret()), "", random);
  put(node);
  const auto key = *link::make_request();
  auto request = joiner(root.manager_secret());
  request.set_request(key.request);
  for (const auto role : {link::Role::kManager, link::Role::kLockedManager}) {
    request.set_expired_certificate(*link::sign_request({root.certificate(), root.key()}, key.request,
                                                        {node.id(), role, "cluster1"}, kNow - Duration(9h).count(), 1h));
    const auto back = admit_returner(store.view(), request);
    EXPECT_EQ(bool(back), role == link::Role::kManager);
    EXPECT_EQ(back ? "" : back.error().reason, role == link::Role::kManager ? "" : "LOCKED_CERTIFICATE");
  }
}

TEST_F(CaTest, TokensNameTheRootAndTheRole) {
  const auto worker = link::parse_join_token(*join_token(root, false));
  ASSERT_TRUE(worker);
  EXPECT_EQ(worker->secret, root.worker_secret());
  EXPECT_TRUE(link::check_root(*worker, root.certificate()));
  EXPECT_EQ(link::parse_join_token(*join_token(root, true))->secret, root.manager_secret());
  EXPECT_EQ(certificate_life({}), Duration(link::kCertificateLife));
}

}  // namespace
}  // namespace skep::control
