#include "plugins/runtime/oci/images/image_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "plugins/runtime/oci/images/digest.h"
#include "plugins/runtime/oci/images/manifest.h"

namespace skep::oci {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

const std::string kA = "sha256:" + std::string(64, 'a');
const std::string kB = "sha256:" + std::string(64, 'b');

std::string quoted(const std::string& text) {
  return "\"" + text + "\"";
}

TEST(ImageConfig, ReadsDockersFormatWithItsHealthCheck) {
  const std::string blob =
      R"({"architecture":"amd64","os":"linux","created":"2026-01-02T03:04:05.5Z","config":{
        "Entrypoint":["/bin/sh","-c"],"Cmd":["serve"],"Env":["A=b"],"User":"app:app","WorkingDir":"/w",
        "StopSignal":"SIGINT","ExposedPorts":{"80/tcp":{},"53/udp":{}},"Volumes":{"/data":{}},
        "Labels":{"k":"v"},"Healthcheck":{"Test":["CMD","/bin/health"],"Interval":2000000000,
        "Timeout":10000000000,"Retries":3,"StartPeriod":3000000000}},
        "rootfs":{"type":"layers","diff_ids":[)" +
      quoted(kA) + "," + quoted(kB) + "]}}";
  const auto image = parse_image_config(blob);
  ASSERT_TRUE(image) << image.error().message;
  EXPECT_EQ(image->id(), digest_of(blob));
  EXPECT_THAT(image->entrypoint(), ElementsAre("/bin/sh", "-c"));
  EXPECT_THAT(image->command(), ElementsAre("serve"));
  EXPECT_THAT(image->env(), ElementsAre("A=b"));
  EXPECT_EQ(image->user(), "app:app");
  EXPECT_EQ(image->directory(), "/w");
  EXPECT_EQ(image->stop_signal(), "SIGINT");
  EXPECT_THAT(image->exposed_ports(), UnorderedElementsAre("80/tcp", "53/udp"));
  EXPECT_THAT(image->volumes(), ElementsAre("/data"));
  EXPECT_EQ(image->labels().at("k"), "v");
  EXPECT_THAT(image->health_check().test(), ElementsAre("CMD", "/bin/health"));
  EXPECT_EQ(image->health_check().interval(), 2'000'000'000);
  EXPECT_EQ(image->health_check().retries(), 3U);
  EXPECT_THAT(image->layers(), ElementsAre(kA, kB));
  EXPECT_EQ(image->created_at(), 1'767'323'045'500'000'000);
}

TEST(ImageConfig, TakesNullsAndAbsencesAsEmpty) {
  const auto image = parse_image_config(
      R"({"config":{"Cmd":null,"Entrypoint":null,"Volumes":null,"Labels":null,"Healthcheck":null},"rootfs":{"diff_ids":null}})");
  ASSERT_TRUE(image) << image.error().message;
  EXPECT_FALSE(image->has_health_check());
  EXPECT_EQ(image->layers_size(), 0);
}

TEST(ImageConfig, RefusesWhatIsNone) {
  for (const std::string& blob :
       {std::string(), std::string("[]"), std::string("{"), std::string("{}"),
        std::string(R"({"rootfs":[]})"), std::string(R"({"rootfs":{"diff_ids":["sha256:12"]}})"),
        std::string(R"({"rootfs":{"diff_ids":[1]}})"),
        std::string(R"({"rootfs":{"diff_ids":[]},"config":{"Cmd":"x"}})"),
        std::string(R"({"rootfs":{"diff_ids":[]},"config":{"Healthcheck":{"Interval":-1}}})"),
        std::string(
            R"({"rootfs":{"diff_ids":[]},"config":{"Healthcheck":{"Retries":4294967296}}})"),
        "{\"rootfs\":" + std::string(200, '[') + "}", std::string("{\"os\":\"\xff\"}")}) {
    const auto image = parse_image_config(blob);
    ASSERT_FALSE(image) << blob;
    EXPECT_EQ(image.error().code, Code::kInvalidArgument);
  }
}

TEST(ImageConfig, ReadsTimes) {
  EXPECT_EQ(parse_rfc3339("1970-01-01T00:00:01Z"), 1'000'000'000);
  EXPECT_EQ(parse_rfc3339("1970-01-01T01:00:01.000000001+01:00"), 1'000'000'001);
  for (const char* const text : {"", "yesterday", "1970-13-01T00:00:00Z", "1970-01-01T00:00:00",
                                 "1970-01-01T00:00:00+1:00"}) {
    EXPECT_EQ(parse_rfc3339(text), 0) << text;
  }
}

std::string layer(const std::string& type, const std::string& digest) {
  return R"({"mediaType":)" + quoted(type) + R"(,"digest":)" + quoted(digest) + R"(,"size":5})";
}

TEST(Manifest, ReadsBothFormats) {
  for (const char* const type :
       {"application/vnd.docker.image.rootfs.diff.tar.gzip",
        "application/vnd.oci.image.layer.v1.tar+zstd", "application/vnd.oci.image.layer.v1.tar"}) {
    const auto manifest = parse_manifest(R"({"schemaVersion":2,"config":)" + layer("c", kA) +
                                         R"(,"layers":[)" + layer(type, kB) + "]}");
    ASSERT_TRUE(manifest) << manifest.error().message;
    EXPECT_EQ(manifest->config.digest, kA);
    ASSERT_EQ(manifest->layers.size(), 1U);
    EXPECT_EQ(manifest->layers[0].digest, kB);
  }
}

TEST(Manifest, RefusesWhatIsNoImage) {
  const auto with_layer = [](const std::string& text) {
    return R"({"schemaVersion":2,"config":)" + layer("c", kA) + R"(,"layers":[)" + text + "]}";
  };
  std::string many = layer("tar", kB);
  for (std::size_t i = 0; i < kLayersMax; ++i) {
    many += "," + layer("tar", kB);
  }
  struct Row {
    std::string json, says;
  };
  for (const Row& row : std::vector<Row>{
           {"", "JSON"},
           {R"({"schemaVersion":1})", "schema version 1"},
           {R"({"schemaVersion":2})", "neither"},
           {with_layer(layer("application/vnd.cncf.helm.chart.content.v1.data", kB)),
            "not a container image"},
           {with_layer(layer("application/vnd.oci.image.layer.v1.tar+gzip+encrypted", kB)),
            "encrypted"},
           {with_layer(layer("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", kB)),
            "outside"},
           {with_layer(layer("tar", "sha256:../../etc")), "digest"},
           {with_layer("1"), "not an object"},
           {with_layer(many), "overlayfs"},
           {R"({"schemaVersion":2,"manifests":[]})", "platforms"}}) {
    const auto manifest = parse_manifest(row.json);
    ASSERT_FALSE(manifest) << row.json.substr(0, 200);
    EXPECT_EQ(manifest.error().code, Code::kInvalidArgument);
    EXPECT_THAT(manifest.error().message, HasSubstr(row.says));
  }
}

TEST(Manifest, ChoosesThePlatform) {
  const auto entry = [](const std::string& digest, const std::string& os, const std::string& arch,
                        const std::string& variant) {
    return R"({"mediaType":"m","digest":)" + quoted(digest) + R"(,"size":1,"platform":{"os":)" +
           quoted(os) + R"(,"architecture":)" + quoted(arch) + R"(,"variant":)" + quoted(variant) +
           "}}";
  };
  const std::string kC = "sha256:" + std::string(64, 'c');
  const auto list = parse_manifest(
      R"({"schemaVersion":2,"manifests":[)" + entry(kA, "linux", "arm64", "v8") + "," +
      entry(kB, "linux", "amd64", "") + "," + entry(kC, "linux", "arm64", "") + "]}");
  ASSERT_TRUE(list) << list.error().message;
  EXPECT_EQ(choose_platform(*list, {"linux", "amd64", ""})->digest, kB);
  EXPECT_EQ(choose_platform(*list, {"linux", "arm64", ""})->digest, kC);
  EXPECT_EQ(choose_platform(*list, {"linux", "arm64", "v8"})->digest, kA);
  const auto none = choose_platform(*list, {"linux", "s390x", ""});
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, Code::kNotFound);
  EXPECT_THAT(none.error().message, HasSubstr("linux/amd64"));
}

}  // namespace
}  // namespace skep::oci
