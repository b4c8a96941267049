#include "core/control/ca/root_rotation.h"

#include <gtest/gtest.h>

#include "core/control/api/cluster_edit.h"
#include "core/control/ca/ca.h"
#include "core/control/ca/root_rotation_service.h"
#include "core/control/snapshot_marks.h"
#include "core/link/join_token.h"
#include "core/store/store.h"
#include "core/store/transaction.h"
#include "skep/testing/manual_env.h"

namespace skep::control {
namespace {

using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace)
using model::v1::Cluster;
using model::v1::Node;

constexpr WallTime kNow = 1'800'000'000'000'000'000;

class Swarm : public ::testing::Test {
 protected:
  Swarm() {
    Cluster cluster;
    cluster.set_id("c1");
    *cluster.mutable_root_ca() = *new_root_ca(random, kNow);
    put(cluster);
    for (const char* id : {"n1", "n2"}) {
      keys[id] = *link::make_request();
      Node node;
      node.set_id(id);
      node.mutable_description()->set_hostname(std::string("host-") + id);
      node.mutable_status()->set_state(model::v1::NODE_STATE_READY);
      put(node);
      renew(id);
    }
  }
  template <class T>
  void put(T object) {
    store::Transaction transaction;
    transaction.put(std::move(object));
    commit(std::move(transaction));
  }
  void commit(store::Transaction transaction) {
    const auto applied =
        store.apply(store.applied_index() + 1, 1, *transaction.encode("test", kNow));
    ASSERT_TRUE(applied && applied->outcome == store::Outcome::kApplied) << applied->message;
  }
  Cluster cluster() { return *store.view().cluster(); }
  /// What a node does when it is told to: a new certificate, and the roots with it.
  void renew(const std::string& id) {
    certificates[id] = *certify(store.view(), id, keys[id].request, kNow);
    trusts[id] = trusted_roots(cluster().root_ca());
    told[id] = cluster().root_ca().version();
    describe(id);
  }
  void describe(const std::string& id) {
    Node node = *store.view().get<Node>(id);
    const auto issuer = link::issuer_of(certificates[id], trusts[id]);
    ASSERT_TRUE(issuer);
    node.mutable_description()->mutable_tls()->set_trust_root(trusts[id]);
    node.mutable_description()->mutable_tls()->set_issuer_public_key(issuer->public_key);
    node.mutable_description()->mutable_tls()->set_root_version(told[id]);
    put(node);
  }
  bool speaks(const std::string& from, const std::string& to) {
    return bool(link::verify_certificate(certificates[from], trusts[to], "c1", kNow));
  }
  bool all_speak() { return speaks("n1", "n2") && speaks("n2", "n1"); }
  void rotate(const link::CertifiedKey& given = {}) {
    control::v1::RotateRootRequest request;
    request.set_certificate(given.certificate);
    request.set_key(given.key);
    auto edit = rotate_root(store.view(), request, "", kNow);
    ASSERT_TRUE(edit) << edit.error().message;
    commit(std::move(edit->transaction));
  }
  void finish() {
    Cluster changed = cluster();
    *changed.mutable_root_ca() = finish_rotation(changed.root_ca(), random);
    put(changed);
  }

  testing::SeededRandom random{1};
  store::Store store;
  std::map<std::string, link::KeyedRequest> keys;
  std::map<std::string, std::string> certificates;
  std::map<std::string, std::string> trusts;
  std::map<std::string, std::uint64_t> told;  // which version of the roots
};

TEST_F(Swarm, ARootIsReplacedNodeByNodeAndNobodyIsCutOff) {
  const std::string before = cluster().root_ca().certificate();
  const std::string old_token = *join_token(cluster().root_ca(), false);
  rotate();
  const std::string wanted = wanted_root(cluster().root_ca());
  EXPECT_NE(wanted, before);
  EXPECT_EQ(*join_token(cluster().root_ca(), false), old_token) << "tokens hold until it is over";
  EXPECT_FALSE(rotation_complete(store.view()));
  auto status = *rotation_status(store.view());
  EXPECT_TRUE(status.rotating());
  EXPECT_EQ(status.nodes(), 2U);
  EXPECT_EQ(status.certificates(), 0U);
  EXPECT_EQ(status.waiting_size(), 2);

  renew("n1");
  EXPECT_TRUE(all_speak()) << "n2 was away and trusts the old root only";
  EXPECT_EQ(rotation_status(store.view())->certificates(), 1U);
  EXPECT_FALSE(rotation_complete(store.view()));
  renew("n2");
  EXPECT_TRUE(all_speak());
  ASSERT_TRUE(rotation_complete(store.view()));
  finish();
  EXPECT_EQ(cluster().root_ca().certificate(), wanted);
  EXPECT_FALSE(cluster().root_ca().has_rotation());
  EXPECT_NE(*join_token(cluster().root_ca(), false), old_token);
  EXPECT_TRUE(
      link::check_root(*link::parse_join_token(*join_token(cluster().root_ca(), true)), wanted));
  // Told of the end, the nodes drop the old root.
  for (const char* id : {"n1", "n2"}) {
    trusts[id] = trusted_roots(cluster().root_ca());
    describe(id);
  }
  EXPECT_TRUE(all_speak());
  status = *rotation_status(store.view());
  EXPECT_FALSE(status.rotating());
  EXPECT_EQ(status.roots(), 2U);
  EXPECT_EQ(status.waiting_size(), 0);
}

TEST_F(Swarm, ANodeThatIsAwayIsWaitedForByName) {
  rotate();
  renew("n1");
  Node away = *store.view().get<Node>("n2");
  away.mutable_status()->set_state(model::v1::NODE_STATE_DOWN);
  put(away);
  const auto status = *rotation_status(store.view());
  ASSERT_EQ(status.waiting_size(), 1);
  EXPECT_EQ(status.waiting(0), "host-n2 (down)");
  store::Transaction remove;
  remove.remove(*store.view().get<Node>("n2"));
  commit(std::move(remove));
  EXPECT_TRUE(rotation_complete(store.view()));
}

TEST_F(Swarm, ARotationIsReplacedByAnotherAndTakenBack) {
  const Cluster first = cluster();
  rotate();
  renew("n1");
  rotate(*link::make_root(kNow));
  EXPECT_TRUE(all_speak()) << "n1 has a certificate of a root that never came to be";
  renew("n2");
  EXPECT_TRUE(all_speak());
  rotate({first.root_ca().certificate(), first.root_ca().key()});
  EXPECT_FALSE(cluster().root_ca().has_rotation());
  EXPECT_TRUE(all_speak());
  renew("n1");
  renew("n2");
  EXPECT_TRUE(all_speak());
  EXPECT_FALSE(rotation_complete(store.view()));
}

TEST_F(Swarm, ARotationThatIsTakenUpAgainCountsNothingThatWasSaidBefore) {
  const auto first = *link::make_root(kNow);
  rotate(first);
  renew("n1");
  renew("n2");
  rotate();  // another one in its place
  // n2 gets a certificate of that, and nobody hears of it.
  certificates["n2"] = *certify(store.view(), "n2", keys["n2"].request, kNow);
  rotate(first);
  EXPECT_FALSE(rotation_complete(store.view())) << "n2 would be left with a root that nobody trusts";
  EXPECT_EQ(rotation_status(store.view())->certificates(), 0U);
  renew("n1");
  EXPECT_FALSE(rotation_complete(store.view()));
  renew("n2");
  ASSERT_TRUE(rotation_complete(store.view()));
  finish();
  EXPECT_TRUE(all_speak());
  // The same with a rotation that was taken back meanwhile.
  const auto second = *link::make_root(kNow);
  rotate(second);
  const auto version = cluster().root_ca().version();
  renew("n1");
  renew("n2");
  rotate({cluster().root_ca().certificate(), cluster().root_ca().key()});
  rotate(second);
  EXPECT_GT(cluster().root_ca().version(), version);
  EXPECT_FALSE(rotation_complete(store.view()));
}

TEST_F(Swarm, ARotationBringsTheLifeOfCertificatesOrNothing) {
  control::v1::RotateRootRequest request;
  request.set_certificate_lifetime(Duration(59min).count());
  EXPECT_EQ(rotate_root(store.view(), request, "", kNow).error().message,
            "cert-expiry is too short: the minimum is 1h");
  request.set_certificate_lifetime(-1);
  EXPECT_FALSE(rotate_root(store.view(), request, "", kNow));
  request.set_certificate_lifetime(Duration(30h).count());
  auto edit = rotate_root(store.view(), request, "", kNow);
  ASSERT_TRUE(edit) << edit.error().message;
  EXPECT_EQ(edit->object.spec().certificate_expiry(), Duration(30h).count());
  EXPECT_TRUE(edit->object.root_ca().has_rotation());
  commit(std::move(edit->transaction));
  rotate();
  EXPECT_EQ(cluster().spec().certificate_expiry(), Duration(30h).count()) << "stays where nobody says otherwise";
}

TEST_F(Swarm, ARootThatCannotBeOneIsRefused) {
  control::v1::RotateRootRequest request;
  request.set_certificate(certificates["n1"]);
  EXPECT_EQ(rotate_root(store.view(), request, "", kNow).error().reason, "BAD_ROOT");
  request.set_key(keys["n1"].key);
  EXPECT_EQ(rotate_root(store.view(), request, "", kNow).error().reason, "BAD_ROOT");
}

TEST_F(Swarm, ANodeWhoseCertificateExpiredComesBackAsItself) {
  ca::v1::IssueRequest request;
  request.set_secret(cluster().root_ca().worker_secret());
  request.set_request(*link::request_for(keys["n1"].key));
  request.set_expired_certificate(certificates["n1"]);
  const auto back = admit_returner(store.view(), request);
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(*back, "n1");
  auto wrong = request;
  wrong.set_secret("x");
  EXPECT_EQ(admit_returner(store.view(), wrong).error().reason, "INVALID_TOKEN");
  wrong = request;
  wrong.set_request(keys["n2"].request);
  EXPECT_EQ(admit_returner(store.view(), wrong).error().reason, "ANOTHER_KEY");
  wrong = request;
  wrong.set_expired_certificate(*link::sign_request(*link::make_root(kNow), keys["n1"].request,
                                                    {"n1", link::Role::kWorker, "c1"}, kNow, 1h));
  EXPECT_EQ(admit_returner(store.view(), wrong).error().reason, "FOREIGN_CERTIFICATE");
  Node manager = *store.view().get<Node>("n1");
  manager.mutable_spec()->set_role(model::v1::NODE_ROLE_MANAGER);
  put(manager);
  EXPECT_EQ(admit_returner(store.view(), request).error().reason, "INVALID_TOKEN");
  request.set_secret(cluster().root_ca().manager_secret());
  EXPECT_TRUE(admit_returner(store.view(), request));
  store::Transaction remove;
  remove.remove(*store.view().get<Node>("n1"));
  commit(std::move(remove));
  EXPECT_EQ(admit_returner(store.view(), request).error().reason, "NODE_REMOVED");
}

TEST_F(Swarm, SettingsAreCheckedAndAutolockMakesAKey) {
  control::v1::UpdateClusterRequest request;
  request.set_version(cluster().meta().version() + 1);
  EXPECT_EQ(update_cluster(store.view(), request, "", random).error().code, Code::kConflict);
  request.set_version(cluster().meta().version());
  request.mutable_spec()->set_certificate_expiry(Duration(59min).count());
  EXPECT_EQ(update_cluster(store.view(), request, "", random).error().code, Code::kInvalidArgument);
  request.mutable_spec()->set_certificate_expiry(Duration(1h).count());
  EXPECT_EQ(rotate_unlock_key(store.view(), "", random).error().reason, "AUTOLOCK_OFF");
  request.mutable_spec()->set_autolock(true);
  auto edit = update_cluster(store.view(), request, "op1", random);
  ASSERT_TRUE(edit) << edit.error().message;
  const std::string key = edit->object.unlock_key();
  EXPECT_TRUE(key.starts_with("SWMKEY-1-"));
  commit(std::move(edit->transaction));
  // A repeat tells the same key and changes nothing.
  edit = update_cluster(store.view(), request, "op1", random);
  ASSERT_TRUE(edit && edit->transaction.empty());
  EXPECT_EQ(edit->object.unlock_key(), key);
  edit = rotate_unlock_key(store.view(), "op2", random);
  ASSERT_TRUE(edit);
  EXPECT_NE(edit->object.unlock_key(), key);
  commit(std::move(edit->transaction));
  request.set_version(cluster().meta().version());
  request.mutable_spec()->set_autolock(false);
  edit = update_cluster(store.view(), request, "op3", random);
  ASSERT_TRUE(edit);
  EXPECT_EQ(edit->object.unlock_key(), "");
}

TEST(SnapshotMarks, TheLogReachesBackAsManyIntervalsAsWanted) {
  SnapshotMarks marks;
  EXPECT_EQ(marks.synced({100, 1}).index, 100U);
  EXPECT_EQ(marks.synced({150, 1}).index, 150U);
  marks.keep(2, 100);
  std::uint64_t from = 0;
  for (std::uint64_t index = 160; index <= 1'000; index += 10) {
    const auto mark = marks.synced({index, 2});
    EXPECT_GE(mark.index, from);
    from = mark.index;
  }
  EXPECT_LE(from, 1'000U - 100);
  EXPECT_GE(from, 1'000U - 300);
  marks.keep(0, 100);
  EXPECT_EQ(marks.synced({1'001, 3}).index, 1'001U);
}

}  // namespace
}  // namespace skep::control
