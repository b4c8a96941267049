#include "core/agentd/certificate_wishes.h"

#include <gtest/gtest.h>

#include "core/link/root.h"

namespace skep::agentd {
namespace {

using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace): literals only

constexpr WallTime kNow = 1'800'000'000'000'000'000;

/// A swarm whose root is being replaced, and a node that has the certificate of the new one.
class CertificateWishes : public ::testing::Test {
 protected:
  CertificateWishes() {
    const auto key = *link::make_request();
    node.pair = {*link::sign_request(fresh, key.request, {"n1", link::Role::kWorker, "c1"}, kNow, 2h) +
                     *link::cross_sign(old, fresh.certificate),
                 key.key};
    node.roots = old.certificate + fresh.certificate;
    node.cluster_id = "c1";
    node.node_id = "n1";
  }
  static dispatch::v1::SessionMessage wish(const std::string& roots, const std::string& issuer) {
    dispatch::v1::SessionMessage message;
    message.set_session_id("s1");
    message.set_roots(roots);
    message.set_issuer_public_key(link::as_issuer(issuer)->public_key);
    return message;
  }
  Result<ca::v1::RenewResponse> answer_of(const link::CertifiedKey& root) const {
    ca::v1::RenewResponse reply;
    reply.set_certificate(
        *link::sign_request(root, *link::request_for(node.pair.key), {"n1", link::Role::kWorker, "c1"}, kNow, 2h));
    reply.set_root(root.certificate);
    return reply;
  }

  const link::CertifiedKey old = *link::make_root(kNow);
  const link::CertifiedKey fresh = *link::make_root(kNow);
  link::Credentials node;
};

TEST_F(CertificateWishes, TheOldRootIsDroppedWhenTheNewOneTookItsPlace) {
  const auto message = wish(fresh.certificate, fresh.certificate);
  const auto changed = with_wanted_roots(message, node);
  ASSERT_TRUE(changed);
  EXPECT_EQ(changed->roots, fresh.certificate);
  EXPECT_FALSE(with_wanted_roots(message, *changed)) << "it is as wished";
  EXPECT_FALSE(must_renew(message, *changed));
}

TEST_F(CertificateWishes, WhoSignedOurCertificateStaysTrustedAlthoughTheOldRootVouchesForIt) {
  const auto before = wish(old.certificate, old.certificate);
  EXPECT_FALSE(with_wanted_roots(before, node)) << "an overtaken manager may tell this";
  EXPECT_TRUE(must_renew(before, node)) << "the renewal brings the roots if the rotation was taken back";
}

TEST_F(CertificateWishes, ACertificateIsRenewedForAnotherIssuerOrAShorterLife) {
  auto message = wish(old.certificate + fresh.certificate, fresh.certificate);
  EXPECT_FALSE(must_renew(message, node));
  message.set_certificate_life(Duration(2h).count());
  EXPECT_FALSE(must_renew(message, node));
  message.set_certificate_life(Duration(1h).count());
  EXPECT_TRUE(must_renew(message, node));
}

TEST_F(CertificateWishes, AClockThatIsBehindSeesNoLongerLife) {
  // The certificate was made just now, for the life that the swarm wants; this node's clock shows an hour less.
  auto message = wish(old.certificate + fresh.certificate, fresh.certificate);
  message.set_certificate_life(Duration(2h).count());
  EXPECT_FALSE(must_renew(message, node)) << "else it would be renewed at every word of the managers";
  message.set_certificate_life(Duration(1h + 45min).count());
  EXPECT_TRUE(must_renew(message, node));
}

TEST_F(CertificateWishes, ARenewalThatNobodyWouldAcceptNowIsNotTaken) {
  ca::v1::RenewResponse reply;
  reply.set_certificate(node.pair.certificate);
  reply.set_root(fresh.certificate);
  ASSERT_TRUE(renewed(reply, node, kNow));
  EXPECT_EQ(renewed(reply, node, kNow)->roots, fresh.certificate);
  const auto late = renewed(reply, node, kNow + Duration(3h).count());
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().reason, "CERTIFICATE_EXPIRED");
}

TEST_F(CertificateWishes, ALateAnswerToAnEarlierRenewalChangesNothing) {
  Renewals renewals;
  const auto before = renewals.ask();  // of the old root, asked before the rotation began
  const auto now = renewals.ask();
  const auto early = renewals.answered(before, answer_of(old), node, kNow);
  ASSERT_FALSE(early) << "it comes first, and the other is still to come";
  EXPECT_EQ(early.error().reason, "RENEWED_AGAIN");
  const auto taken = renewals.answered(now, answer_of(fresh), node, kNow);
  ASSERT_TRUE(taken) << taken.error().message;
  EXPECT_EQ(taken->roots, fresh.certificate);
  const auto late = renewals.answered(before, answer_of(old), *taken, kNow);
  ASSERT_FALSE(late) << "the managers know that this node has the new root";
  EXPECT_EQ(late.error().code, Code::kUnavailable);
  EXPECT_EQ(late.error().reason, "RENEWED_AGAIN");
}

TEST_F(CertificateWishes, AnAnswerToWhatWasAskedBeforeTheRootsChangedDoesNotCount) {
  Renewals renewals;
  EXPECT_TRUE(renewals.told(1));
  const auto before = renewals.ask();
  EXPECT_FALSE(renewals.told(1));
  EXPECT_TRUE(renewals.answered(before, answer_of(old), node, kNow));
  EXPECT_TRUE(renewals.told(2));
  EXPECT_EQ(renewals.root_version(), 2U);
  EXPECT_EQ(renewals.answered(before, answer_of(old), node, kNow).error().reason, "RENEWED_AGAIN");
  EXPECT_TRUE(renewals.answered(renewals.ask(), answer_of(fresh), node, kNow));
}

TEST_F(CertificateWishes, AnAnswerThatIsNoneIsToldAsItIs) {
  Renewals renewals;
  const auto first = renewals.ask();
  const auto refused = renewals.answered(first, Error{Code::kPermissionDenied, "no", "REMOVED"}, node, kNow);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().reason, "REMOVED");
  const auto second = renewals.ask();
  const auto overtaken = renewals.answered(first, Error{Code::kPermissionDenied, "no", "REMOVED"}, node, kNow);
  EXPECT_EQ(overtaken.error().reason, "RENEWED_AGAIN");
  EXPECT_EQ(renewals.answered(second, Error{Code::kTimeout, "late"}, node, kNow).error().code, Code::kTimeout);
}

}  // namespace
}  // namespace skep::agentd
