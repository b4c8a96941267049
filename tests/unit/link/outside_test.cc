// What an authority outside the swarm may answer, and what not.
#include "core/link/outside.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/link/certificate_parts.h"
#include "core/link/root.h"

namespace skep::link {
namespace {

using ::testing::HasSubstr;

constexpr WallTime kNow = 1'800'000'000'000'000'000;
constexpr Duration kLife = 24h;
const Identity kWho{"n1", Role::kWorker, "c1"};

struct Wish {
  std::vector<std::pair<const char*, std::string>> subject = {{"O", "c1"}, {"OU", "swarm-worker"}, {"CN", "n1"}};
  std::vector<std::pair<int, const char*>> extensions = {{NID_basic_constraints, "critical,CA:FALSE"},
                                                         {NID_key_usage, "critical,digitalSignature"},
                                                         {NID_ext_key_usage, "serverAuth,clientAuth"}};
  Duration from = -5min;
  Duration until = 20h;
};

class OutsideTest : public ::testing::Test {
 protected:
  /// What any authority could make of our request.
  std::string made(const Wish& wish, const CertifiedKey& by, std::string_view key) const {
    const auto roots = *parse_certificates(by.certificate);
    const KeyPtr parsed = *parse_key(key);
    const CertificatePtr out = *blank(parsed.get(), kNow + wish.from.count(), kNow + wish.until.count());
    for (const auto& [field, value] : wish.subject) {
      X509_NAME* const name = ::X509_get_subject_name(out.get());
      ::X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(value.data()),
                                   static_cast<int>(value.size()), -1, 0);
    }
    ::X509_set_issuer_name(out.get(), ::X509_get_subject_name(roots.front().get()));
    for (const auto& [nid, value] : wish.extensions) {
      EXPECT_TRUE(add_extension(out.get(), roots.front().get(), nid, value));
    }
    ::X509_sign(out.get(), parse_key(by.key)->get(), ::EVP_sha256());
    return *certificate_text(out.get());
  }
  std::string made(const Wish& wish) const { return made(wish, root, asked.key); }
  /// Empty: it is as good as one of ours.
  std::string verdict(const std::string& answer, Duration life = kLife) const {
    const auto good = check_signed(answer, asked.request, kWho, root.certificate, kNow, life);
    EXPECT_TRUE(good || good.error().reason == "BAD_ANSWER") << good.error().reason;
    return good ? "" : good.error().message;
  }
  Wish but(int nid, const char* value) const {
    Wish wish;
    for (auto& [known, text] : wish.extensions) {
      text = known == nid ? value : text;
    }
    return wish;
  }

  CertifiedKey root = *make_root(kNow);
  KeyedRequest asked = *make_request();
};

TEST_F(OutsideTest, ACertificateAsOneOfOursIsTaken) {
  EXPECT_EQ(verdict(made({})), "");
  EXPECT_EQ(verdict(*sign_request(root, asked.request, kWho, kNow, kLife)), "");
  Wish plain;
  plain.extensions.clear();  // nothing is said of its use, so nothing is forbidden
  EXPECT_EQ(verdict(made(plain)), "");
  const auto text = check_signed(made({}) + "\n\n", asked.request, kWho, root.certificate, kNow, kLife);
  EXPECT_TRUE(text->ends_with("-----END CERTIFICATE-----\n"));
}

TEST_F(OutsideTest, AnotherSignerOrKeyIsRefused) {
  EXPECT_THAT(verdict(made({}, *make_root(kNow), asked.key)), HasSubstr("not signed by the root"));
  EXPECT_THAT(verdict(made({}, root, make_request()->key)), HasSubstr("another key"));
}

TEST_F(OutsideTest, AnyOtherSubjectIsRefused) {
  using Subject = decltype(Wish::subject);
  for (const Subject& subject :
       {Subject{{"O", "c1"}, {"OU", "swarm-manager"}, {"CN", "n1"}}, Subject{{"O", "c2"}, {"OU", "swarm-worker"}, {"CN", "n1"}},
        Subject{{"O", "c1"}, {"OU", "swarm-worker"}, {"CN", "n2"}}, Subject{{"O", "c1"}, {"CN", "n1"}}, Subject{},
        Subject{{"O", "c1"}, {"OU", "swarm-worker"}, {"OU", "swarm-manager"}, {"CN", "n1"}},
        Subject{{"O", "c1"}, {"OU", "swarm-worker"}, {"CN", "n1"}, {"CN", "n2"}}}) {
    Wish wish;
    wish.subject = subject;
    EXPECT_THAT(verdict(made(wish)), HasSubstr("must not change CN, OU and O"));
  }
}

TEST_F(OutsideTest, ACertificateThatMaySignOrMayNotServeIsRefused) {
  EXPECT_THAT(verdict(made(but(NID_basic_constraints, "critical,CA:TRUE"))), HasSubstr("may sign others"));
  EXPECT_THAT(verdict(made(but(NID_key_usage, "critical,keyEncipherment"))), HasSubstr("'digital signature'"));
  EXPECT_THAT(verdict(made(but(NID_ext_key_usage, "clientAuth"))), HasSubstr("'server auth' and 'client auth'"));
}

TEST_F(OutsideTest, ALifeThatDoesNotFitIsRefusedWithWhatToChange) {
  Wish wish;
  wish.until = 59min;
  EXPECT_THAT(verdict(made(wish)), HasSubstr("an hour more at least"));
  wish.until = 8760h;
  EXPECT_THAT(verdict(made(wish)), HasSubstr("8760 h, and --cert-expiry of the swarm is 24 h"));
  EXPECT_EQ(verdict(made(wish), 8760h), "");
  wish.until = kLife + 9min;
  EXPECT_EQ(verdict(made(wish)), "");
  wish.from = 1h;
  EXPECT_THAT(verdict(made(wish)), HasSubstr("set the clocks"));
}

TEST_F(OutsideTest, WhatIsNotOneCertificateIsRefused) {
  EXPECT_THAT(verdict(made({}) + root.certificate), HasSubstr("came with 1 others"));
  for (const std::string& text : {std::string(), std::string("x"), std::string("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
                                  std::string(20'000, 'x'), made({}).substr(0, 300), std::string("\0\0", 2)}) {
    EXPECT_NE(verdict(text), "");
  }
}

TEST_F(OutsideTest, AnOuterRootVouchesForAnotherOne) {
  const CertifiedKey next = *make_root(kNow);
  const std::string request = *root_request(next);
  EXPECT_THAT(request, HasSubstr("BEGIN CERTIFICATE REQUEST"));
  const std::string word = *cross_sign(root, next.certificate);
  const auto taken = check_cross_signed(word, next.certificate, root.certificate, kNow);
  ASSERT_TRUE(taken) << taken.error().message;
  const std::string leaf = *sign_request(next, asked.request, kWho, kNow, kLife);
  EXPECT_TRUE(verify_certificate(leaf + *taken, root.certificate, "c1", kNow));

  const auto refused = [&](const std::string& answer) {
    const auto good = check_cross_signed(answer, next.certificate, root.certificate, kNow);
    return good ? "" : good.error().message;
  };
  EXPECT_THAT(refused(*cross_sign(*make_root(kNow), next.certificate)), HasSubstr("not signed by the root that the swarm has"));
  EXPECT_THAT(refused(*cross_sign(root, make_root(kNow)->certificate)), HasSubstr("another name or key"));
  EXPECT_THAT(refused(made({}, root, next.key)), HasSubstr("profile 'CA'"));
  EXPECT_THAT(refused("nothing"), HasSubstr("not a certificate"));
  const auto late = check_cross_signed(word, next.certificate, root.certificate,
                                       kNow + Duration(kRootLife - 10 * 24h).count());
  EXPECT_THAT(late.error().message, HasSubstr("30 days"));
}

}  // namespace
}  // namespace skep::link
