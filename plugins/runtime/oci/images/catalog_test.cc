#include "plugins/runtime/oci/images/catalog.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "plugins/runtime/oci/images/digest.h"
#include "plugins/runtime/oci/images/reference.h"

namespace skep::oci {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::string kA = "sha256:a1" + std::string(62, '0');
const std::string kB = "sha256:a2" + std::string(62, '0');
const std::string kD = "sha256:" + std::string(64, 'd');

Names names() {
  return {{"docker.io/library/web:1", kA},
          {"docker.io/library/web:latest", kA},
          {"docker.io/library/web@" + kD, kA},
          {"127.0.0.1:5000/web:1", kB}};
}

std::string found(std::string_view text) {
  const auto out = find_image(text, names(), {kA, kB}, kDockerDomain);
  return out ? out->id : std::string(code_name(out.error().code));
}

TEST(Catalog, FindsByNameDigestAndPrefix) {
  EXPECT_EQ(found("web"), kA);
  EXPECT_EQ(found("web:1"), kA);
  EXPECT_EQ(found("docker.io/library/web:1"), kA);
  EXPECT_EQ(found("web@" + kD), kA);
  EXPECT_EQ(found("web:1@" + kD), kA);
  EXPECT_EQ(found("127.0.0.1:5000/web:1"), kB);
  EXPECT_EQ(found(kA), kA);
  EXPECT_EQ(found(kA.substr(7)), kA);
  EXPECT_EQ(found("a2"), kB);
  EXPECT_EQ(found("sha256:a2"), kB);
  EXPECT_EQ(found("web:2"), "not-found");
  EXPECT_EQ(found("b"), "not-found");
  EXPECT_EQ(found("sha256:"), "invalid-argument");
  EXPECT_EQ(found("a"), "invalid-argument") << "two ids start so";
  EXPECT_EQ(found("Bad Name"), "invalid-argument");
}

TEST(Catalog, NamesSurviveTheFile) {
  const auto back = parse_names(format_names(names()));
  ASSERT_TRUE(back);
  EXPECT_EQ(*back, names());
  for (const char* const text :
       {"", "{}", "[]", R"({"names":{"x":"y"}})", R"({"names":{"x":1}})"}) {
    const auto broken = parse_names(text);
    ASSERT_FALSE(broken) << text;
    EXPECT_EQ(broken.error().code, Code::kDataLoss);
  }
}

TEST(Catalog, RecordMustBeThatOfItsImage) {
  const std::string config = R"({"rootfs":{"diff_ids":[]}})";
  EXPECT_TRUE(parse_record(format_record(config), digest_of(config)));
  const auto other = parse_record(format_record(config), kA);
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, Code::kDataLoss);
  EXPECT_THAT(other.error().message, HasSubstr("pull it again"));
}

TEST(Catalog, ShowsShortNames) {
  runtime::v1::Image image;
  image.set_id(kA);
  add_names(image, names(), kDockerDomain);
  EXPECT_THAT(image.tags(), ElementsAre("web:1", "web:latest"));
  EXPECT_THAT(image.digests(), ElementsAre("web@" + kD));
}

TEST(Catalog, RemovingOneOfSeveralNamesOnlyUntags) {
  const auto removal = plan_removal({kA, "docker.io/library/web:1"}, names(), RemoveMode::kIfUnused,
                                    "c1", kDockerDomain);
  ASSERT_TRUE(removal);
  EXPECT_THAT(removal->names, ElementsAre("docker.io/library/web:1"));
  EXPECT_FALSE(removal->image);
}

TEST(Catalog, TheLastNameTakesImageAndDigestsAlong) {
  Names left = names();
  left.erase("docker.io/library/web:1");
  const auto removal = plan_removal({kA, "docker.io/library/web:latest"}, left,
                                    RemoveMode::kIfUnused, "", kDockerDomain);
  ASSERT_TRUE(removal);
  EXPECT_EQ(removal->names.size(), 2U);
  EXPECT_TRUE(removal->image);
}

TEST(Catalog, AnImageInUseStays) {
  const Found last{kB, "127.0.0.1:5000/web:1"};
  const auto refused = plan_removal(last, names(), RemoveMode::kIfUnused, "web.1.x", kDockerDomain);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kFailedPrecondition);
  EXPECT_THAT(refused.error().message, HasSubstr("web.1.x"));
  const auto forced = plan_removal(last, names(), RemoveMode::kForce, "web.1.x", kDockerDomain);
  ASSERT_TRUE(forced);
  EXPECT_EQ(forced->names.size(), 1U);
  EXPECT_FALSE(forced->image);
}

TEST(Catalog, AnIdWithSeveralNamesNeedsForce) {
  const auto refused = plan_removal({kA, ""}, names(), RemoveMode::kIfUnused, "", kDockerDomain);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("web:1, web:latest"));
  const auto forced = plan_removal({kA, ""}, names(), RemoveMode::kForce, "", kDockerDomain);
  ASSERT_TRUE(forced);
  EXPECT_EQ(forced->names.size(), 3U);
  EXPECT_TRUE(forced->image);
}

TEST(Catalog, LayersOfOtherImagesAreUsed) {
  EXPECT_THAT(unused_layers({kA, kB}, {kB}), ElementsAre(kA));
}

}  // namespace
}  // namespace skep::oci
