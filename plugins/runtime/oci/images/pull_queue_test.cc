#include "plugins/runtime/oci/images/pull_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace skep::oci {
namespace {

using ::testing::ElementsAre;

class PullQueueTest : public ::testing::Test {
 protected:
  void add(const std::string& image, const std::string& auth = "") {
    runtime::v1::PullRequest request;
    request.set_image(image);
    request.set_registry_auth(auth);
    ASSERT_TRUE(queue_.add(
        request,
        [this, image](std::string_view line) { said_.push_back(image + " " + std::string(line)); },
        [this, image](const Result<runtime::v1::Image>& result) {
          done_.push_back(image + " " + (result ? result->id() : result.error().message));
        }));
  }
  void finish(std::size_t index, const std::string& id = "ok") {
    runtime::v1::Image image;
    image.set_id(id);
    queue_.on_done(keys_.at(index), image);
  }

  bool refuse_ = false;
  std::vector<std::string> keys_;
  std::vector<std::string> started_;
  std::vector<std::string> said_;
  std::vector<std::string> done_;
  PullQueue queue_{
      [this](const std::string& key, const runtime::v1::PullRequest& request) -> Status {
        if (refuse_) {
          return Error{Code::kResourceExhausted, "no worker"};
        }
        keys_.push_back(key);
        started_.push_back(request.image());
        return ok();
      }};
};

TEST_F(PullQueueTest, EqualPullsShareOneRun) {
  add("a");
  add("a");
  add("a", "other credentials");
  EXPECT_THAT(started_, ElementsAre("a", "a"));
  queue_.on_line(keys_[0], "half");
  EXPECT_THAT(said_, ElementsAre("a half", "a half"));
  finish(0);
  EXPECT_THAT(done_, ElementsAre("a ok", "a ok"));
  add("a");
  EXPECT_EQ(started_.size(), 3U) << "a finished pull answers nobody who comes later";
}

TEST_F(PullQueueTest, OnlyAFewRunAtOnceInOrder) {
  for (const char* const image : {"a", "b", "c", "d"}) {
    add(image);
  }
  EXPECT_THAT(started_, ElementsAre("a", "b"));
  finish(1);
  EXPECT_THAT(started_, ElementsAre("a", "b", "c"));
  finish(0);
  finish(2);
  finish(3);
  EXPECT_THAT(done_, ElementsAre("b ok", "a ok", "c ok", "d ok"));
}

TEST_F(PullQueueTest, ARefusedStartIsTheAnswer) {
  refuse_ = true;
  add("a");
  EXPECT_THAT(done_, ElementsAre("a no worker"));
  refuse_ = false;
  add("a");
  EXPECT_THAT(started_, ElementsAre("a")) << "and holds no place";
}

TEST_F(PullQueueTest, CallersAreBounded) {
  for (std::size_t i = 0; i < PullQueue::kWaitingMax; ++i) {
    add("a");
  }
  runtime::v1::PullRequest request;
  const Status refused = queue_.add(request, {}, {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kResourceExhausted);
  finish(0);
  add("b");
}

TEST_F(PullQueueTest, LateReportsAreIgnored) {
  add("a");
  finish(0);
  queue_.on_line(keys_[0], "late");
  finish(0);
  EXPECT_EQ(done_.size(), 1U);
  EXPECT_TRUE(said_.empty());
}

}  // namespace
}  // namespace skep::oci
