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
  EXPECT_FALSE(must_renew(message, *changed, kNow));
}

TEST_F(CertificateWishes, WhoSignedOurCertificateStaysTrustedAlthoughTheOldRootVouchesForIt) {
  const auto before = wish(old.certificate, old.certificate);
  EXPECT_FALSE(with_wanted_roots(before, node)) << "an overtaken manager may tell this";
  EXPECT_TRUE(must_renew(before, node, kNow)) << "the renewal brings the roots if the rotation was taken back";
}

TEST_F(CertificateWishes, ACertificateIsRenewedForAnotherIssuerOrAShorterLife) {
  auto message = wish(old.certificate + fresh.certificate, fresh.certificate);
  EXPECT_FALSE(must_renew(message, node, kNow));
  message.set_certificate_life(Duration(2h).count());
  EXPECT_FALSE(must_renew(message, node, kNow));
  message.set_certificate_life(Duration(1h).count());
  EXPECT_TRUE(must_renew(message, node, kNow));
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

}  // namespace
}  // namespace skep::agentd
