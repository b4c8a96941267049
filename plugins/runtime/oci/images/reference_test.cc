#include "plugins/runtime/oci/images/reference.h"

#include <gtest/gtest.h>

#include "plugins/runtime/oci/images/image_store.h"

namespace skep::oci {
namespace {

const std::string kHex(64, 'a');

TEST(Reference, NormalisesAsDockerDoes) {
  struct Row {
    std::string text, canonical, familiar;
  };
  const std::string digest = "sha256:" + kHex;
  const std::vector<Row> table{
      {"web", "docker.io/library/web:latest", "web:latest"},
      {"web:1", "docker.io/library/web:1", "web:1"},
      {"library/web:1", "docker.io/library/web:1", "web:1"},
      {"docker.io/web", "docker.io/library/web:latest", "web:latest"},
      {"index.docker.io/library/web", "docker.io/library/web:latest", "web:latest"},
      {"me/web:v1.2-rc_3", "docker.io/me/web:v1.2-rc_3", "me/web:v1.2-rc_3"},
      {"a/b/c", "docker.io/a/b/c:latest", "a/b/c:latest"},
      {"localhost/web", "localhost/web:latest", "localhost/web:latest"},
      {"localhost:5000/web", "localhost:5000/web:latest", "localhost:5000/web:latest"},
      {"127.0.0.1:5000/web:1", "127.0.0.1:5000/web:1", "127.0.0.1:5000/web:1"},
      {"[::1]:5000/web:1", "[::1]:5000/web:1", "[::1]:5000/web:1"},
      {"[fd00::2]/web", "[fd00::2]/web:latest", "[fd00::2]/web:latest"},
      {"Registry/web", "Registry/web:latest", "Registry/web:latest"},
      {"reg.example.com/a_b/c__d/e-f.g---h:x", "reg.example.com/a_b/c__d/e-f.g---h:x",
       "reg.example.com/a_b/c__d/e-f.g---h:x"},
      {"web@" + digest, "docker.io/library/web@" + digest, "web@" + digest},
      {"web:1@" + digest, "docker.io/library/web:1", "web:1@" + digest},
      {"web:5000", "docker.io/library/web:5000", "web:5000"},
  };
  for (const Row& row : table) {
    const auto parsed = parse_reference(row.text);
    ASSERT_TRUE(parsed) << row.text << ": " << parsed.error().message;
    EXPECT_EQ(parsed->canonical(), row.canonical) << row.text;
    EXPECT_EQ(familiar(*parsed), row.familiar) << row.text;
    const auto again = parse_reference(familiar(*parsed));
    ASSERT_TRUE(again) << row.familiar;
    EXPECT_EQ(again->canonical(), row.canonical) << "the short form means the same";
  }
}

TEST(Reference, RefusesWhatIsNoName) {
  const std::vector<std::string> table{"",
                                       ":",
                                       "@",
                                       "web:",
                                       "web@",
                                       "Web",
                                       "we b",
                                       "web:1:2:3",
                                       "-web",
                                       "web-",
                                       "a..b",
                                       "a___b",
                                       "a._b",
                                       "/web",
                                       "web/",
                                       "a//b",
                                       "web:-1",
                                       "web:.x",
                                       "web@sha256:12",
                                       "web@md5:" + kHex,
                                       kHex,
                                       "host:port/web",
                                       "-host.x/web",
                                       "host..x/web",
                                       "../web",
                                       "docker.io/../x",
                                       "web\n",
                                       "wéb",
                                       "[::1/web",
                                       "a.b:123456/web",
                                       "web:" + std::string(129, 'a'),
                                       std::string(256, 'a'),
                                       std::string("web\0x", 5)};
  for (const std::string& text : table) {
    const auto parsed = parse_reference(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_EQ(parsed.error().code, Code::kInvalidArgument) << text;
    EXPECT_FALSE(parsed.error().message.empty());
  }
}

TEST(Reference, UsesTheSitesDefaultRegistry) {
  const auto parsed = parse_reference("web:1", "reg.example.com");
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->canonical(), "reg.example.com/web:1");
  EXPECT_EQ(familiar(*parsed, "reg.example.com"), "web:1");
  const auto docker = parse_reference("docker.io/web:1", "reg.example.com");
  ASSERT_TRUE(docker);
  EXPECT_EQ(familiar(*docker, "reg.example.com"), "docker.io/library/web:1");
}

TEST(Reference, FamiliarNameLeavesOtherTextAlone) {
  EXPECT_EQ(familiar_name("docker.io/library/web:1"), "web:1");
  EXPECT_EQ(familiar_name("docker-archive:/x/web.tar"), "docker-archive:/x/web.tar");
}

TEST(Source, KnowsArchivesAndLayouts) {
  const auto archive = parse_source("docker-archive:/x/web.tar:web:1");
  ASSERT_TRUE(archive);
  EXPECT_EQ(archive->kind, SourceKind::kDockerArchive);
  EXPECT_EQ(archive->path, "/x/web.tar");
  EXPECT_EQ(archive->selector, "web:1");
  const auto layout = parse_source("oci:/x/layout");
  ASSERT_TRUE(layout);
  EXPECT_EQ(layout->kind, SourceKind::kOciLayout);
  EXPECT_EQ(layout->selector, "");
  const auto packed = parse_source("oci-archive:/x/web.tar:v1");
  ASSERT_TRUE(packed);
  EXPECT_EQ(packed->kind, SourceKind::kOciArchive);
  const auto url = parse_source("docker://reg.example.com/web:1");
  ASSERT_TRUE(url);
  EXPECT_EQ(url->reference.canonical(), "reg.example.com/web:1");
  const auto name = parse_source("oci:1");
  ASSERT_TRUE(name) << "an image may be called oci";
  EXPECT_EQ(name->reference.canonical(), "docker.io/library/oci:1");
}

TEST(Source, RefusesRelativeAndEmptyPaths) {
  for (const char* const text : {"docker-archive:web.tar", "docker-archive:", "oci:./x",
                                 "oci-archive:x/y", "oci:/x:", "docker-archive:/x:Bad Name"}) {
    const auto source = parse_source(text);
    ASSERT_FALSE(source) << text;
    EXPECT_EQ(source.error().code, Code::kInvalidArgument);
  }
}

}  // namespace
}  // namespace skep::oci
