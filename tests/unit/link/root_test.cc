#include "core/link/root.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace skep::link {
namespace {

using ::testing::HasSubstr;

constexpr WallTime kNow = 1'800'000'000'000'000'000;

// openssl req -x509, with -algorithm ed25519; and openssl pkcs8 -topk8 of an elliptic key.
constexpr const char* kEdRoot =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBPDCB76ADAgECAhRznAEzU2Ufvr7jSsiVDtLlJPFEzDAFBgMrZXAwDDEKMAgG\n"
    "A1UEAwwBeDAeFw0yNjExMjIwNzQ5MDVaFw00NjAxMjEwNzQ5MDVaMAwxCjAIBgNV\n"
    "BAMMAXgwKjAFBgMrZXADIQB+Bp9CHhVVKOYR70PQjEIY3mEtZzkFSnzt3+8yiCRL\n"
    "haNjMGEwHQYDVR0OBBYEFCU5NyODHd6RJ7KayiYoG/p8mquMMB8GA1UdIwQYMBaA\n"
    "FCU5NyODHd6RJ7KayiYoG/p8mquMMA8GA1UdEwEB/wQFMAMBAf8wDgYDVR0PAQH/\n"
    "BAQDAgIEMAUGAytlcANBAHO3idcI13Okuixzq6SluFqEht3IF4uM8/p8wkhgwET1\n"
    "8SQx6fJt9eNBtXxXhyyPzesSCcau2ifk0pYOCyxWKgg=\n"
    "-----END CERTIFICATE-----\n";
constexpr const char* kEdKey =
    "-----BEGIN PRIVATE KEY-----\n"
    "MC4CAQAwBQYDK2VwBCIEIPW+JRItGXkvuNIW9uYl9XUmWApmLtI4V25sSCw1+RhX\n"
    "-----END PRIVATE KEY-----\n";
constexpr const char* kEncryptedKey =
    "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"
    "MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAhCTXKYOPYvHwICCAAw\n"
    "DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEELCQ9Muom2Fe1wrZcU9w/GoEgZDe\n"
    "9NtkrzNYeN8QAl0InUs1S46lK25JtXex1esUXHzEw8pXMr4yw9H1KVMEo+l2nNxf\n"
    "ckb5w3/BTicag8ZHWrdO4AzgyEhNKs673FsYaDqfl8mTsdUmdMXH9XQAGS/2gGKv\n"
    "9QQPhYFL1tSFCXk9KQOXPw/avAvjF++4zHL968FpbN+fgY1B0Ql6SDQjOHGjNmg=\n"
    "-----END ENCRYPTED PRIVATE KEY-----\n";

class Root : public ::testing::Test {
 protected:
  std::string leaf(const CertifiedKey& issuer, WallTime now = kNow) {
    return *sign_request(issuer, request.request, {"n1", Role::kWorker, "c1"}, now, 2h);
  }
  bool accepted(const std::string& certificate, const std::string& roots) {
    return bool(verify_certificate(certificate, roots, "c1", kNow));
  }
  const CertifiedKey old_root = *make_root(kNow);
  const CertifiedKey new_root = *make_root(kNow);
  const KeyedRequest request = *make_request();
};

TEST_F(Root, WhatTheNewRootSignsIsAcceptedByWhoKnowsOnlyTheOldOne) {
  const auto cross = cross_sign(old_root, new_root.certificate);
  ASSERT_TRUE(cross) << cross.error().message;
  const std::string bare = leaf(new_root);
  EXPECT_FALSE(accepted(bare, old_root.certificate));
  EXPECT_TRUE(accepted(bare + *cross, old_root.certificate));
  EXPECT_TRUE(accepted(bare + *cross, new_root.certificate));
  EXPECT_TRUE(accepted(bare + *cross, old_root.certificate + new_root.certificate));
  EXPECT_TRUE(accepted(leaf(old_root), old_root.certificate + new_root.certificate));
  EXPECT_FALSE(accepted(leaf(old_root), new_root.certificate));
  EXPECT_FALSE(accepted(bare + *cross_sign(*make_root(kNow), new_root.certificate), old_root.certificate));
}

TEST_F(Root, ANodesCertificateSignsNobody) {
  // A node that shows its own certificate as the link to the root.
  const auto other = *make_request();
  const std::string own = leaf(old_root);
  const auto forged = sign_request({own, request.key}, other.request, {"n2", Role::kManager, "c1"}, kNow, 2h);
  EXPECT_TRUE(!forged || !accepted(*forged + own, old_root.certificate));
}

TEST_F(Root, TheIssuerIsFoundByItsSignature) {
  const std::string both = old_root.certificate + new_root.certificate;
  EXPECT_EQ(*issuer_of(leaf(old_root), both), *as_issuer(old_root.certificate));
  EXPECT_EQ(*issuer_of(leaf(new_root), both), *as_issuer(new_root.certificate));
  const std::string chain = leaf(new_root) + *cross_sign(old_root, new_root.certificate);
  EXPECT_EQ(issuer_of(chain, old_root.certificate)->public_key, as_issuer(new_root.certificate)->public_key);
  EXPECT_FALSE(issuer_of(leaf(new_root), old_root.certificate));
}

TEST_F(Root, APairThatIsNoRootIsRefusedWithTheReason) {
  EXPECT_TRUE(check_root_pair(old_root, kNow));
  const auto why = [](const CertifiedKey& pair, WallTime now) {
    const auto status = check_root_pair(pair, now);
    return status ? "accepted" : status.error().reason + ": " + status.error().message;
  };
  EXPECT_THAT(why({leaf(old_root), request.key}, kNow), HasSubstr("may not sign others"));
  EXPECT_THAT(why({old_root.certificate, new_root.key}, kNow), HasSubstr("does not belong"));
  EXPECT_THAT(why({"nonsense", old_root.key}, kNow), HasSubstr("BAD_ROOT"));
  EXPECT_THAT(why({old_root.certificate + new_root.certificate, old_root.key}, kNow), HasSubstr("2 certificates"));
  EXPECT_THAT(why(old_root, kNow + kRootLife.count()), HasSubstr("expires within 30 days"));
  EXPECT_THAT(why(old_root, kNow - Duration(48h).count()), HasSubstr("not valid yet"));
  EXPECT_THAT(why({kEdRoot, kEdKey}, kNow), HasSubstr("its key must be an elliptic one"));
  EXPECT_THAT(why({old_root.certificate, kEncryptedKey}, kNow), HasSubstr("is encrypted: give it without"));
  EXPECT_THAT(why({old_root.certificate, old_root.certificate}, kNow), HasSubstr("not a private key"));
}

TEST_F(Root, AnExpiredCertificateStillTellsWhoItWas) {
  const std::string expired = leaf(old_root, kNow - Duration(1000h).count());
  EXPECT_FALSE(accepted(expired, old_root.certificate));
  const auto facts = verify_whatever_date(expired, old_root.certificate, "c1");
  ASSERT_TRUE(facts);
  EXPECT_EQ(facts->identity.node_id, "n1");
  EXPECT_EQ(verify_whatever_date(expired, new_root.certificate, "c1").error().reason, "FOREIGN_CERTIFICATE");
  EXPECT_EQ(verify_whatever_date(expired, old_root.certificate, "c2").error().reason, "FOREIGN_CERTIFICATE");
  EXPECT_TRUE(check_same_key(*request_for(request.key), expired));
  EXPECT_EQ(check_same_key(make_request()->request, expired).error().reason, "ANOTHER_KEY");
  EXPECT_FALSE(check_same_key("nonsense", expired));
}

TEST_F(Root, ClockSkewIsNamedInSeconds) {
  const std::string expired = leaf(old_root, kNow - Duration(3h).count());
  const auto refused = verify_certificate(expired, old_root.certificate, "c1", kNow, kNow - Duration(7200s).count());
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("3600 s ago by our clock; its clock is 7200 s behind ours"));
}

}  // namespace
}  // namespace skep::link
