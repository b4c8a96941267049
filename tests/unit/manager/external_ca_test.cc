// Authorities outside the swarm: who is asked, what they answer, and roots whose keys they keep.
#include "core/control/ca/external_ca.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/control/api/cluster_edit.h"
#include "core/control/ca/outside_signing.h"
#include "core/control/ca/root_change.h"
#include "core/link/outside.h"
#include "core/store/store.h"
#include "core/store/transaction.h"
#include "fake_authority.h"
#include "skep/testing/manual_env.h"

namespace skep::control {
namespace {

using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace)
using model::v1::Cluster;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class ExternalCaTest : public ::testing::Test {
 protected:
  ExternalCaTest() {
    Cluster cluster;
    cluster.set_id("c1");
    *cluster.mutable_root_ca() = *new_root_ca(world.random, now());
    put(cluster);
    model::v1::Node node;
    node.set_id("n1");
    put(node);
  }
  WallTime now() { return world.env.clock.wall_now(); }
  template <class T>
  void put(T object) {
    store::Transaction transaction;
    transaction.put(std::move(object));
    commit(std::move(transaction));
  }
  void commit(store::Transaction transaction) {
    const auto applied = store.apply(store.applied_index() + 1, 1, *transaction.encode("test", now()));
    ASSERT_TRUE(applied && applied->outcome == store::Outcome::kApplied) << applied->message;
  }
  Cluster cluster() { return *store.view().cluster(); }
  link::CertifiedKey present() { return {cluster().root_ca().certificate(), cluster().root_ca().key()}; }
  static model::v1::ExternalCa at(const std::string& url, const std::string& root = "") {
    model::v1::ExternalCa out;
    out.set_protocol("cfssl");
    out.set_url(url);
    out.set_certificate(root);
    return out;
  }
  void use(const std::vector<model::v1::ExternalCa>& authorities) {
    Cluster changed = cluster();
    changed.mutable_spec()->mutable_external_cas()->Assign(authorities.begin(), authorities.end());
    put(changed);
  }
  /// The certificate that node n1 gets now.
  Result<std::string> certificate(bus::HttpsClient* client) {
    const auto order = order_certificate(store.view(), "n1", key.request);
    if (!order) {
      return order.error();
    }
    Result<std::string> out = Error{Code::kInternal, "nothing"};
    make_certificate(world.env, client, *order, [&](Result<std::string> made) { out = std::move(made); });
    world.loop.advance(30s);
    return out;
  }
  Result<std::string> certificate() { return certificate(&outside); }
  bool accepted(const std::string& made) {
    return bool(link::verify_certificate(made, present().certificate, "c1", now()));
  }
  /// As ControlApi does it: plan, ask, commit. Empty: done.
  std::string rotate(const control::v1::RotateRootRequest& request) {
    auto change = plan_root_change(store.view(), request, world.env.clock);
    if (!change) {
      return change.error().reason + " " + change.error().message;
    }
    outside.wanted_root = change->request.certificate();
    Result<OutsideProof> proof = Error{Code::kInternal, "nothing"};
    ask_root_change(world.env, &outside, *change, [&](Result<OutsideProof> got) { proof = std::move(got); });
    world.loop.advance(30s);
    auto edit = proof ? rotate_root(store.view(), change->request, "", now(), *proof)
                      : Result<Edit<Cluster>>(proof.error());
    if (!edit) {
      return edit.error().reason + " " + edit.error().message;
    }
    commit(std::move(edit->transaction));
    return "";
  }
  void finish() {
    Cluster changed = cluster();
    *changed.mutable_root_ca() = finish_rotation(changed.root_ca(), world.random);
    put(changed);
  }
  static control::v1::RotateRootRequest to(const link::CertifiedKey& root, const std::vector<model::v1::ExternalCa>& by = {}) {
    control::v1::RotateRootRequest request;
    request.set_certificate(root.certificate);
    request.set_key(root.key);
    request.mutable_external_cas()->Assign(by.begin(), by.end());
    return request;
  }

  testing::ManualEnv world{1};
  store::Store store;
  link::KeyedRequest key = *link::make_request();
  FakeAuthorities outside{world.env};
};

TEST_F(ExternalCaTest, TheSwarmSignsItselfWhileNobodyElseDoesForItsRoot) {
  EXPECT_TRUE(accepted(*certificate(nullptr)));
  use({at("https://other/sign", link::make_root(now())->certificate)});
  EXPECT_TRUE(accepted(*certificate()));
  EXPECT_TRUE(outside.asked.empty());
}

TEST_F(ExternalCaTest, AnAuthorityOfTheRootSignsInItsPlace) {
  outside.add("https://ca/sign", present());
  use({at("https://ca/sign")});
  const auto made = certificate();
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_TRUE(accepted(*made));
  EXPECT_EQ(link::read_certificate(*made)->identity, (link::Identity{"n1", link::Role::kWorker, "c1"}));
  EXPECT_THAT(outside.asked, ElementsAre("https://ca/sign"));
  EXPECT_THAT(outside.bodies.front(), HasSubstr(R"("hosts":["swarm-worker","n1"])"));
  EXPECT_THAT(outside.bodies.front(), HasSubstr(R"("subject":{"CN":"n1","names":[{"O":"c1","OU":"swarm-worker"}]})"));
  EXPECT_THAT(outside.roots.front(), HasSubstr(present().certificate));
}

TEST_F(ExternalCaTest, TheyAreAskedInOrderAndTheSwarmNeverInsteadOfThem) {
  use({at("https://a/sign"), at("https://b/sign"), at("https://c/sign", present().certificate)});
  outside.say("https://a/sign", Error{Code::kUnavailable, "a:443: Connection refused"});
  outside.say("https://b/sign", bus::HttpsAnswer{403, R"({"success":false,"errors":[{"code":1,"message":"not today"}]})"});
  outside.add("https://c/sign", present());
  EXPECT_TRUE(accepted(*certificate()));
  EXPECT_THAT(outside.asked, ElementsAre("https://a/sign", "https://b/sign", "https://c/sign"));
  outside.add("https://c/sign", *link::make_root(now()));
  const auto none = certificate();
  EXPECT_EQ(none.error().reason, "EXTERNAL_CA");
  EXPECT_THAT(none.error().message, HasSubstr("https://a/sign: a:443: Connection refused; https://b/sign: it refused (HTTP status 403): "
                                             "not today; https://c/sign: the certificate that it made is refused: it was not signed by the root"));
  EXPECT_EQ(certificate(nullptr).error().reason, "EXTERNAL_CA");
}

TEST_F(ExternalCaTest, AllTogetherGetTheTimeOfTwo) {
  std::vector<model::v1::ExternalCa> many;
  for (int i = 0; i < 6; ++i) {
    many.push_back(at("https://slow" + std::to_string(i) + "/sign"));
  }
  use(many);
  outside.silent = true;
  const auto began = world.loop.now();
  EXPECT_THAT(certificate().error().message, HasSubstr("https://slow5/sign: not asked"));
  EXPECT_EQ(outside.asked.size(), 2U);
  EXPECT_LE(outside.last_answer - began, 2 * kOutsideLimit);
}

TEST_F(ExternalCaTest, WhatIsNoAnswerIsRefusedInWords) {
  const auto said = [](unsigned status, const std::string& body) {
    const auto read = read_signing_answer({status, body});
    return read ? "certificate " + *read : read.error().message;
  };
  EXPECT_EQ(said(200, R"({"success":true,"result":{"certificate":"PEM"},"errors":[],"messages":[]})"), "certificate PEM");
  for (const char* body : {"", "null", "[]", "{}", "7", R"("x")", R"({"success":true})", R"({"success":"yes","result":{"certificate":"x"}})",
                           R"({"success":true,"result":null})", R"({"success":true,"result":{"certificate":7}})", R"({"success":true,"result":["certificate"]})",
                           R"({"success":false,"result":{"certificate":"x"}})", "{\"success\":", "\xff\xfe", R"({"success":true,"errors":7})"}) {
    EXPECT_THAT(said(200, body), HasSubstr("holds no certificate")) << body;
  }
  EXPECT_THAT(said(200, std::string(100'000, '[')), HasSubstr("holds no certificate"));
  EXPECT_THAT(said(200, R"({"success":true,"result":{"certificate":"x"},"errors":[{"message":"no"},7,{"message":[]}]})"), HasSubstr("status 200): no"));
  EXPECT_EQ(said(404, "page not found\n"), "it refused (HTTP status 404): page not found");
  EXPECT_EQ(said(500, ""), "it refused (HTTP status 500)");
  EXPECT_LT(said(500, std::string(50'000, '\n') + "x").size(), 400U);
}

TEST_F(ExternalCaTest, TheListIsCheckedAndKeepsItsRoot) {
  control::v1::UpdateClusterRequest request;
  request.set_version(cluster().meta().version());
  *request.mutable_spec()->add_external_cas() = at("https://ca/sign");
  auto edit = update_cluster(store.view(), request, "", world.random);
  ASSERT_TRUE(edit) << edit.error().message;
  EXPECT_EQ(edit->object.spec().external_cas(0).certificate(), present().certificate);
  const auto refused = [&](const model::v1::ExternalCa& authority) {
    *request.mutable_spec()->mutable_external_cas(0) = authority;
    const auto tried = update_cluster(store.view(), request, "", world.random);
    return tried ? "" : tried.error().message;
  };
  EXPECT_THAT(refused(at("http://ca/sign")), HasSubstr("does not begin with https://"));
  EXPECT_THAT(refused(at("https://ca/sign", "x")), HasSubstr("no certificate in PEM"));
  EXPECT_THAT(refused(at("https://ca/sign", "-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----\n")), HasSubstr("is of no use"));
  auto other = at("https://ca/sign");
  other.set_protocol("acme");
  EXPECT_THAT(refused(other), HasSubstr("use cfssl"));
}

TEST_F(ExternalCaTest, ARootWhoseKeyTheSwarmNeverHasAndBack) {
  const link::CertifiedKey theirs = *link::make_root(now());
  const auto ours = present();
  outside.add("https://ca/sign", theirs);
  ASSERT_EQ(rotate(to({theirs.certificate, ""}, {at("https://ca/sign")})), "");
  EXPECT_EQ(cluster().root_ca().rotation().key(), "");
  EXPECT_EQ(cluster().spec().external_cas(0).certificate(), theirs.certificate);
  const auto during = certificate();
  ASSERT_TRUE(during) << during.error().message;
  EXPECT_TRUE(accepted(*during)) << "by whoever knows the old root only";
  EXPECT_TRUE(link::verify_certificate(*during, theirs.certificate, "c1", now()));
  finish();
  EXPECT_EQ(cluster().root_ca().certificate(), theirs.certificate);
  EXPECT_EQ(cluster().root_ca().key(), "");
  EXPECT_TRUE(accepted(*certificate()));
  EXPECT_TRUE(join_token(cluster().root_ca(), false));
  EXPECT_EQ(certify(store.view(), "n1", key.request, now()).error().reason, "KEY_OUTSIDE");
  EXPECT_TRUE(rotation_status(store.view()));
  {
    control::v1::UpdateClusterRequest request;
    request.set_version(cluster().meta().version());
    EXPECT_EQ(update_cluster(store.view(), request, "", world.random).error().reason, "NO_SIGNER") << "nobody could sign any more";
  }
  // Back: the old root's authority vouches for the new one, or nothing changes.
  EXPECT_THAT(rotate({}), HasSubstr("EXTERNAL_CA"));
  EXPECT_FALSE(cluster().root_ca().has_rotation());
  outside.vouches = true;
  ASSERT_EQ(rotate({}), "");
  EXPECT_NE(cluster().root_ca().rotation().key(), "");
  const std::size_t asked = outside.asked.size();
  const auto back = certificate();
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(outside.asked.size(), asked) << "the swarm has the wanted root's key";
  EXPECT_TRUE(accepted(*back));
  finish();
  EXPECT_TRUE(accepted(*certificate()));
  EXPECT_NE(present().certificate, ours.certificate);
}

TEST_F(ExternalCaTest, ARootThatNobodySignsForIsRefused) {
  const link::CertifiedKey theirs = *link::make_root(now());
  const link::CertifiedKey more = *link::make_root(now());
  EXPECT_THAT(rotate(to({theirs.certificate, ""})), HasSubstr("needs its key, or an external"));
  EXPECT_THAT(rotate(to({}, {at("https://ca/sign")})), HasSubstr("comes with the root"));
  EXPECT_THAT(rotate(to({theirs.certificate, ""}, {at("https://ca/sign", more.certificate)})), HasSubstr("no external certificate authority signs for the new root"));
  outside.say("https://ca/sign", Error{Code::kTimeout, "it did not answer in time"});
  EXPECT_THAT(rotate(to({theirs.certificate, ""}, {at("https://ca/sign")})), HasSubstr("https://ca/sign: it did not answer in time"));
  outside.add("https://ca/sign", more);
  EXPECT_THAT(rotate(to({theirs.certificate, ""}, {at("https://ca/sign")})), HasSubstr("was not signed by the root"));
  EXPECT_FALSE(cluster().root_ca().has_rotation());
  outside.add("https://ca/sign", theirs);
  ASSERT_EQ(rotate(to({theirs.certificate, ""}, {at("https://ca/sign")})), "");
  finish();
  EXPECT_THAT(rotate(to({more.certificate, ""}, {at("https://more/sign")})), HasSubstr("BOTH_OUTSIDE"));
  EXPECT_FALSE(cluster().root_ca().has_rotation());
}

TEST_F(ExternalCaTest, TheKeyOfThePresentRootIsForgottenAndGivenBack) {
  const auto ours = present();
  outside.add("https://ca/sign", ours);
  ASSERT_EQ(rotate(to({ours.certificate, ""}, {at("https://ca/sign")})), "");
  EXPECT_FALSE(cluster().root_ca().has_rotation());
  EXPECT_EQ(cluster().root_ca().key(), "");
  EXPECT_TRUE(accepted(*certificate()));
  ASSERT_EQ(rotate(to(ours)), "");
  EXPECT_EQ(cluster().root_ca().key(), ours.key);
}

}  // namespace
}  // namespace skep::control
