#include "core/agentd/promotion.h"

#include <gtest/gtest.h>

#include <optional>

#include "skep/testing/manual_env.h"

namespace skep::agentd {
namespace {

using namespace std::chrono_literals;

/// Managers that answer what a test tells them to.
class Managers final : public rpc::Caller {
 public:
  rpc::CallId call(std::string target, std::string_view method, rpc::Body /*body*/, rpc::CallOptions /*options*/,
                   rpc::OnReply on_reply) override {
    EXPECT_EQ(target, "manager");
    EXPECT_EQ(method, "manager/1/join");
    waiting.push_back(std::move(on_reply));
    return waiting.size();
  }
  void cancel(rpc::CallId /*id*/) override {}
  std::shared_ptr<rpc::ClientStream> open(std::string, std::string_view, rpc::Body, rpc::CallOptions,
                                          rpc::StreamHandlers) override {
    return nullptr;
  }
  void take_in() {
    manager::v1::JoinResponse response;
    response.set_member_id(7);
    waiting.back()(response.SerializeAsString());
  }
  void refuse(const std::string& reason) { waiting.back()(Error{Code::kUnavailable, "not now", reason}); }
  std::vector<rpc::OnReply> waiting;
};

class PromotionTest : public ::testing::Test, protected testing::ManualEnv {
 protected:
  Managers managers;
  bool certificate = false;
  int fetches = 0;
  int stops = 0;
  Status listening = ok();
  Status kept = ok();
  std::uint64_t member = 0;
  Promotion promotion{env, managers,
                      {.has_certificate = [this] { return certificate; },
                       .fetch_certificate =
                           [this](const auto& done) {
                             certificate = ++fetches > 1;  // the first answer is one of a worker still
                             done(ok());
                           },
                       .listen = [this] { return listening; },
                       .given_up = [this] { ++stops; },
                       .request = [] { return manager::v1::JoinRequest(); },
                       .taken_in =
                           [this](const manager::v1::JoinResponse& answer) {
                             member = kept ? answer.member_id() : 0;
                             return kept;
                           }}};
};

TEST_F(PromotionTest, GetsACertificateListensAndIsTakenIn) {
  std::optional<Status> told;
  promotion.await([&](Status status) { told = std::move(status); });
  promotion.begin();
  promotion.begin();
  loop.advance(1s);
  EXPECT_EQ(fetches, 2);
  ASSERT_EQ(managers.waiting.size(), 1U) << "asked once";
  managers.take_in();
  EXPECT_EQ(member, 7U);
  EXPECT_FALSE(promotion.under_way());
  EXPECT_FALSE(told) << "it is a manager when its log is open";
  promotion.settle(ok());
  ASSERT_TRUE(told);
  EXPECT_TRUE(*told);
}

TEST_F(PromotionTest, AsksAgainWhenRefusedOrWhenItCannotKeepTheAnswer) {
  certificate = true;
  listening = Error{Code::kAlreadyExists, "the port is taken"};
  promotion.begin();
  loop.advance(3s);
  EXPECT_TRUE(managers.waiting.empty());
  EXPECT_NE(promotion.trouble().find("the port is taken"), std::string::npos);
  listening = ok();
  loop.advance(6s);
  ASSERT_EQ(managers.waiting.size(), 1U);
  managers.refuse("NO_LEADER");
  loop.advance(6s);
  ASSERT_EQ(managers.waiting.size(), 2U);
  managers.waiting.back()(Error{Code::kFailedPrecondition, "the managers do not reach it", "ADDRESS_UNREACHABLE"});
  EXPECT_EQ(promotion.trouble(), "the managers do not reach it");
  loop.advance(6s);
  ASSERT_EQ(managers.waiting.size(), 3U);
  kept = Error{Code::kResourceExhausted, "disk full"};
  managers.take_in();
  EXPECT_TRUE(promotion.under_way());
  kept = ok();
  loop.advance(6s);
  ASSERT_EQ(managers.waiting.size(), 4U);
  managers.take_in();
  EXPECT_EQ(member, 7U);
}

TEST_F(PromotionTest, WhoeverWaitsIsToldAfterTwentySecondsAndItGoesOn) {
  certificate = true;
  std::optional<Status> told;
  promotion.begin();
  promotion.await([&](Status status) { told = std::move(status); });
  loop.advance(21s);
  ASSERT_TRUE(told && !*told);
  EXPECT_EQ(told->error().reason, "JOIN_TIMEOUT");
  EXPECT_TRUE(promotion.under_way());
  managers.take_in();
  EXPECT_EQ(member, 7U);
}

TEST_F(PromotionTest, AnOldAnswerCountsNoMoreOnceItWasGivenUp) {
  certificate = true;
  std::optional<Status> told;
  promotion.begin();
  promotion.await([&](Status status) { told = std::move(status); });
  loop.advance(1s);
  promotion.give_up(Error{Code::kFailedPrecondition, "a worker after all", "NOT_PROMOTED"});
  ASSERT_TRUE(told && !*told);
  EXPECT_EQ(told->error().reason, "NOT_PROMOTED");
  promotion.give_up(Error{Code::kInternal, "again"});
  EXPECT_EQ(stops, 1);
  promotion.begin();
  loop.advance(1s);
  ASSERT_EQ(managers.waiting.size(), 2U);
  managers.waiting.front()(manager::v1::JoinResponse().SerializeAsString());
  EXPECT_EQ(member, 0U);
  EXPECT_TRUE(promotion.under_way());
  managers.waiting.back()(Error{Code::kFailedPrecondition, "promote it first", "NOT_PROMOTED"});
  EXPECT_FALSE(promotion.under_way());
}

}  // namespace
}  // namespace skep::agentd
