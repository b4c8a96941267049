// The whole driver: an image from an archive, a container made from it.

#include <gtest/gtest.h>

#include "plugins/runtime/oci/container/testing/lab.h"
#include "plugins/runtime/oci/container/testing/test_stream.h"
#include "plugins/runtime/oci/images/testing_store.h"
#include "plugins/runtime/oci/oci_driver.h"

namespace skep::oci {
namespace {

using namespace std::chrono_literals;
namespace methods = runtime::v1::methods;

class ROOT_OciDriver : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string missing = testing::missing_for_containers(); !missing.empty()) {
      FAIL() << missing;
    }
    const auto started = lab.start();
    ASSERT_TRUE(started) << started.error().message;
  }
  Result<runtime::v1::Image> pull(const std::string& reference, const std::string& tag) {
    runtime::v1::PullRequest request;
    request.set_image(reference);
    request.set_tag(tag);
    auto stream = std::make_shared<testing::TestStream>();
    lab.driver().pull(request, rpc::TypedServerStream<methods::Pull>(stream));
    EXPECT_TRUE(lab.until([&] { return stream->last.has_value(); }, 60s));
    runtime::v1::Image image;
    stream->take<runtime::v1::PullProgress>([&](const runtime::v1::PullProgress& progress) {
      if (progress.has_image()) {
        image = progress.image();
      }
    });
    if (!*stream->last) {
      return stream->last->error();
    }
    return image;
  }
  Result<runtime::v1::RemoveImageResponse> remove_image(const std::string& name, bool force) {
    runtime::v1::RemoveImageRequest request;
    request.set_image(name);
    request.set_force(force);
    std::optional<Result<runtime::v1::RemoveImageResponse>> answer;
    lab.driver().remove_image(request, [&](auto reply) { answer = std::move(reply); });
    EXPECT_TRUE(lab.until([&] { return answer.has_value(); }));
    return *answer;
  }
  testing::Lab lab{"oci", [] { return std::make_unique<OciDriver>(); }};
};

TEST_F(ROOT_OciDriver, RunsAnImageFromAnArchive) {
  const std::string archive = lab.directory() + "/web.tar";
  testing::make_image({"-t", "web:1", "-x", "hello", "docker-archive:" + archive});
  const auto image = pull("docker-archive:" + archive, "web:1");
  ASSERT_TRUE(image) << image.error().message;
  auto request = lab.request({"/bin/sh", "-c", "echo inside; exit 6"});
  const std::string id = request.container_id();
  request.mutable_spec()->set_image("web:1");
  const auto created = lab.create(request);
  ASSERT_TRUE(created) << created.error().message;
  EXPECT_EQ(created->image_id(), image->id());
  EXPECT_EQ(remove_image("web:1", false).error().code, Code::kFailedPrecondition);
  ASSERT_TRUE(lab.start_container(id));
  EXPECT_EQ(lab.wait(id)->exit().exit_code(), 6);
  EXPECT_EQ(lab.output(id), "inside\n");
  EXPECT_TRUE(lab.remove(id, false));
  const auto removed = remove_image("web:1", false);
  EXPECT_TRUE(removed) << removed.error().message;
  EXPECT_EQ(lab.leftovers(), std::vector<std::string>());
}

TEST_F(ROOT_OciDriver, AnUnknownImageIsSaid) {
  auto request = lab.request({"true"});
  request.mutable_spec()->set_image("never-heard-of:1");
  const auto created = lab.create(request);
  ASSERT_FALSE(created);
  EXPECT_EQ(created.error().code, Code::kNotFound);
  EXPECT_NE(created.error().message.find("never-heard-of"), std::string::npos);
}

}  // namespace
}  // namespace skep::oci
