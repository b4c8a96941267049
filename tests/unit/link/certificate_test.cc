#include "core/link/certificate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/link/join_token.h"
#include "skep/posix_env.h"

namespace skep::link {
namespace {

using ::testing::HasSubstr;
constexpr WallTime kNow = 1'800'000'000'000'000'000;
constexpr WallTime kSecond = 1'000'000'000;

const CertifiedKey& root() {
  static const CertifiedKey made = *make_root(kNow);
  return made;
}
const Identity kWorker{"nodeone", Role::kWorker, "cluster1"};

CertifiedKey issue(const Identity& identity = kWorker, Duration life = kCertificateLife) {
  auto request = make_request();
  EXPECT_TRUE(request);
  auto certificate = sign_request(root(), request->request, identity, kNow, life);
  EXPECT_TRUE(certificate) << certificate.error().message;
  return {*certificate, request->key};
}

TEST(Certificate, SaysWhoTheNodeIsAndHowLong) {
  const auto pair = issue();
  const auto facts = verify_certificate(pair.certificate, root().certificate, "cluster1", kNow);
  ASSERT_TRUE(facts) << facts.error().message;
  EXPECT_EQ(facts->identity, kWorker);
  EXPECT_EQ(facts->not_before, kNow - kBackdate.count());
  EXPECT_EQ(facts->not_after, kNow + kCertificateLife.count());
  EXPECT_TRUE(check_pair(pair));
  const auto manager = issue({"m", Role::kManager, "cluster1"});
  EXPECT_EQ(read_certificate(manager.certificate)->identity.role, Role::kManager);
}

TEST(Certificate, LivesAnHourAtLeast) {
  const auto facts = read_certificate(issue(kWorker, std::chrono::minutes(1)).certificate);
  EXPECT_EQ(facts->not_after - kNow, Duration(kCertificateLifeMin).count());
}

TEST(Certificate, OfAnotherRootOrClusterIsForeign) {
  const auto pair = issue();
  const auto other = make_root(kNow);
  const auto foreign = verify_certificate(pair.certificate, other->certificate, "cluster1", kNow);
  ASSERT_FALSE(foreign);
  EXPECT_EQ(foreign.error().reason, "FOREIGN_CERTIFICATE");
  EXPECT_THAT(foreign.error().message, HasSubstr("another swarm"));
  EXPECT_EQ(verify_certificate(pair.certificate, root().certificate, "cluster2", kNow).error().reason,
            "FOREIGN_CERTIFICATE");
  // Both roots during a rotation.
  EXPECT_TRUE(verify_certificate(pair.certificate, other->certificate + root().certificate, "cluster1", kNow));
}

TEST(Certificate, TheRootItselfIsNoNode) {
  EXPECT_FALSE(verify_certificate(root().certificate, root().certificate, "", kNow));
  EXPECT_FALSE(read_certificate(root().certificate));
}

TEST(Certificate, ExpiredAndFutureOnesNameTheSkew) {
  const auto pair = issue(kWorker, kCertificateLifeMin);
  const WallTime late = kNow + Duration(2h).count();
  const auto expired = verify_certificate(pair.certificate, root().certificate, "cluster1", late, late - 7200 * kSecond);
  ASSERT_FALSE(expired);
  EXPECT_EQ(expired.error().reason, "CERTIFICATE_EXPIRED");
  EXPECT_THAT(expired.error().message, HasSubstr("3600 s ago"));
  EXPECT_THAT(expired.error().message, HasSubstr("its clock is 7200 s behind ours"));
  const WallTime early = kNow - Duration(90min).count();
  const auto future = verify_certificate(pair.certificate, root().certificate, "cluster1", early, kNow);
  ASSERT_FALSE(future);
  EXPECT_EQ(future.error().reason, "CERTIFICATE_NOT_YET_VALID");
  EXPECT_THAT(future.error().message, HasSubstr("1800 s in the future"));
  EXPECT_THAT(future.error().message, HasSubstr("its clock is 5400 s ahead of ours"));
  // Half an hour behind is still within the backdating.
  EXPECT_TRUE(verify_certificate(pair.certificate, root().certificate, "cluster1", kNow - Duration(30min).count()));
}

TEST(Certificate, RenewalKeepsTheKey) {
  const auto pair = issue();
  const auto request = request_for(pair.key);
  ASSERT_TRUE(request);
  const auto again = sign_request(root(), *request, {"nodeone", Role::kManager, "cluster1"}, kNow, 24h);
  ASSERT_TRUE(again);
  EXPECT_TRUE(check_pair({*again, pair.key}));
  EXPECT_FALSE(check_pair({*again, issue().key}));
}

TEST(Certificate, DamagedInputIsAnErrorNotACrash) {
  const auto pair = issue();
  EXPECT_FALSE(read_certificate(""));
  EXPECT_FALSE(read_certificate("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"));
  EXPECT_FALSE(read_certificate(pair.certificate.substr(0, pair.certificate.size() / 2)));
  EXPECT_FALSE(read_certificate(pair.certificate + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"));
  EXPECT_FALSE(check_pair({pair.certificate, "x"}));
  EXPECT_FALSE(sign_request(root(), "x", kWorker, kNow, 1h));
  auto request = make_request()->request;
  request[request.size() / 2] = request[request.size() / 2] == 'A' ? 'B' : 'A';
  const auto refused = sign_request(root(), request, kWorker, kNow, 1h);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kInvalidArgument);
}

std::string token(std::string_view secret = "0123456789abcdefghijklmno") {
  return *make_join_token(root().certificate, secret);
}

TEST(Certificate, EndsWithItsRootAtTheLatest) {
  const auto request = make_request()->request;
  const WallTime end = kNow + kRootLife.count();
  const auto short_lived = sign_request(root(), request, kWorker, end - 100 * kSecond, kCertificateLife);
  ASSERT_TRUE(short_lived) << short_lived.error().message;
  EXPECT_EQ(read_certificate(*short_lived)->not_after, end);
  EXPECT_EQ(read_certificate(*sign_request(root(), request, kWorker, kNow, 2 * kRootLife))->not_after, end);
  const auto none = sign_request(root(), request, kWorker, end, 1h);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().reason, "ROOT_EXPIRED");
  EXPECT_THAT(none.error().message, HasSubstr("swarm ca --rotate"));
}

TEST(JoinToken, HasDockersShapeAndReadsBack) {
  PosixRandom random;
  const std::string secret = new_token_secret(random);
  const std::string text = token(secret);
  EXPECT_EQ(text.size(), 9 + 50 + 1 + 25U);
  EXPECT_TRUE(text.starts_with("SWMTKN-1-"));
  const auto parsed = parse_join_token(text);
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_EQ(parsed->secret, secret);
  EXPECT_TRUE(check_root(*parsed, root().certificate));
  const auto wrong = check_root(*parsed, make_root(kNow)->certificate);
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().reason, "WRONG_SWARM");
}

TEST(JoinToken, SaysWhatIsWrong) {
  const auto why = [](const std::string& text) {
    const auto parsed = parse_join_token(text);
    EXPECT_FALSE(parsed) << text;
    return parsed ? "" : parsed.error().message;
  };
  EXPECT_THAT(why(""), HasSubstr("does not begin with 'SWMTKN-'"));
  EXPECT_THAT(why("SWMKEY-1-abc"), HasSubstr("does not begin with"));
  EXPECT_THAT(why("SWMTKN-2-abc-def"), HasSubstr("version"));
  EXPECT_THAT(why(token().substr(0, 84)), HasSubstr("is cut off"));
  EXPECT_THAT(why(token().substr(0, 40)), HasSubstr("is cut off"));
  EXPECT_THAT(why(token() + "a"), HasSubstr("is too long"));
  EXPECT_THAT(why(token() + "A"), HasSubstr("characters"));
  EXPECT_THAT(why("  "), HasSubstr("does not begin with 'SWMTKN-'"));
  EXPECT_THAT(why(token().insert(60, "\n")), HasSubstr("white space inside"));
  EXPECT_THAT(why("--token " + token()), HasSubstr("white space inside"));
}

TEST(JoinToken, MayBeCopiedWithTheSpaceAroundIt) {
  const auto parsed = parse_join_token(" \t" + token() + "\r\n");
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_EQ(parsed->secret, "0123456789abcdefghijklmno");
  EXPECT_TRUE(check_root(*parsed, root().certificate));
}

TEST(JoinToken, SecretsCompareByContent) {
  EXPECT_TRUE(same_secret("abc", "abc"));
  EXPECT_FALSE(same_secret("abc", "abd"));
  EXPECT_FALSE(same_secret("abc", "abcd"));
  EXPECT_TRUE(same_secret("", ""));
}

}  // namespace
}  // namespace skep::link
