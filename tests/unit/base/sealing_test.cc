#include "core/base/sealing.h"

#include <gtest/gtest.h>

#include "core/base/hex.h"
#include "core/base/unlock_key.h"
#include "skep/testing/manual_env.h"

namespace skep::base {

struct SealerTestAccess {
  static std::string encrypt(const Sealer& sealer, std::string_view nonce, std::string_view plain,
                             std::string_view context) {
    return sealer.encrypt(nonce, plain, context);
  }
};

namespace {

TEST(Sealer, AgreesWithThePublishedVectorsOfXaes256Gcm) {
  const auto one = *Sealer::make(std::string(32, '\1'));
  EXPECT_EQ(hex(SealerTestAccess::encrypt(*one, "ABCDEFGHIJKLMNOPQRSTUVWX", "XAES-256-GCM", "")),
            "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271");
  const auto three = *Sealer::make(std::string(32, '\3'));
  EXPECT_EQ(hex(SealerTestAccess::encrypt(*three, "ABCDEFGHIJKLMNOPQRSTUVWX", "XAES-256-GCM",
                                          "c2sp.org/XAES-256-GCM")),
            "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d");
}

TEST(Sealer, OpensWhatItSealedAndNothingElse) {
  testing::SeededRandom random(1);
  const auto sealer = Sealer::make_new(random);
  for (const std::size_t size : {0UL, 1UL, 15UL, 16UL, 17UL, 100'000UL}) {
    const std::string plain = random.bytes(size);
    const std::string sealed = sealer->seal(plain, "row", random);
    EXPECT_EQ(sealed.size(), size + kSealOverhead);
    EXPECT_TRUE(looks_sealed(sealed));
    ASSERT_EQ(*sealer->unseal(sealed, "row"), plain);
    EXPECT_EQ(sealer->unseal(sealed, "column").error().reason, "SEAL_DAMAGED");
    EXPECT_NE(sealer->seal(plain, "row", random), sealed) << "a nonce was used twice";
    for (std::size_t at = 0; at < std::min<std::size_t>(sealed.size(), 120); ++at) {
      std::string changed = sealed;
      changed[at] = static_cast<char>(changed[at] ^ 1);
      EXPECT_FALSE(sealer->unseal(changed, "row")) << at;
      EXPECT_FALSE(sealer->unseal(sealed.substr(0, at), "row")) << at;
    }
  }
}

TEST(Sealer, NamesBothKeysWhenTheKeyIsWrong) {
  testing::SeededRandom random(2);
  const auto mine = Sealer::make_new(random);
  const auto theirs = Sealer::make_new(random);
  const auto opened = mine->unseal(theirs->seal("x", "row", random), "row");
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().reason, "WRONG_SEAL_KEY");
  EXPECT_EQ(opened.error().code, Code::kFailedPrecondition);
  EXPECT_NE(opened.error().message.find(mine->key_name()), std::string::npos);
  EXPECT_NE(opened.error().message.find(theirs->key_name()), std::string::npos);
  EXPECT_FALSE(Sealer::make("short"));
}

TEST(UnlockKey, IsReadBackAndSaysWhatIsWrongWithIt) {
  testing::SeededRandom random(3);
  const std::string key = new_unlock_key(random);
  EXPECT_TRUE(key.starts_with("SWMKEY-1-"));
  EXPECT_EQ(key.size(), 9U + 43U);
  ASSERT_TRUE(parse_unlock_key(key));
  EXPECT_EQ(parse_unlock_key(key)->size(), kSealKeyBytes);
  EXPECT_EQ(*parse_unlock_key("  " + key + "\n"), *parse_unlock_key(key));
  for (const std::string& bad : {std::string(), std::string("hello"), key.substr(0, 20), key + "A",
                                 key.substr(0, 20) + "*" + key.substr(21), std::string("SWMKEY-1-")}) {
    const auto parsed = parse_unlock_key(bad);
    ASSERT_FALSE(parsed) << bad;
    EXPECT_EQ(parsed.error().reason, "BAD_UNLOCK_KEY");
    EXPECT_NE(parsed.error().message.find("unlock-key"), std::string::npos);
  }
}

}  // namespace
}  // namespace skep::base
