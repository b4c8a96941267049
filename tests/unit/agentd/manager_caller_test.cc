#include "core/agentd/manager_caller.h"

#include <gtest/gtest.h>

#include "core/agentd/leave_warning.h"
#include "skep/testing/manual_env.h"

namespace skep::agentd {
namespace {

/// Answers what waits with `answer` when it is told to.
class Answering final : public rpc::Caller {
 public:
  rpc::CallId call(std::string, std::string_view, rpc::Body, rpc::CallOptions, rpc::OnReply on_reply) override {
    ++calls;
    waiting.push_back(std::move(on_reply));
    return calls;
  }
  void reply() {
    for (auto& on_reply : std::exchange(waiting, {})) {
      on_reply(answer ? Result<rpc::Body>(rpc::Body()) : Result<rpc::Body>(answer.error()));
    }
  }
  void cancel(rpc::CallId) override {}
  std::shared_ptr<rpc::ClientStream> open(std::string, std::string_view, rpc::Body, rpc::CallOptions,
                                          rpc::StreamHandlers) override {
    return nullptr;
  }
  Status answer = ok();
  std::vector<rpc::OnReply> waiting;
  rpc::CallId calls = 0;
};

class Nodes final : public bus::Peers {
 public:
  rpc::Caller& to(const std::string& node_id, const std::string&) override { return callers[node_id]; }
  void refuse(const std::string&, bool, std::uint64_t) override {}
  void set_on_gone(std::function<void(const std::string&)>) override {}
  std::map<std::string, Answering> callers;
};

class ManagerCallers : public ::testing::TestWithParam<const char*> {};

TEST_P(ManagerCallers, AManagerWhoseRoleDoesNotRunIsNotAskedForEver) {
  for (const char* self : {"n1", "n9"}) {  // also when it is this node itself
    testing::SeededRandom random(1);
    ManagerBook book(random);
    book.learn({"n1=10.0.0.1:2377", "n2=10.0.0.2:2377"}, "n1=10.0.0.1:2377");
    Answering own_bus;
    Nodes nodes;
    ManagerCaller caller(
        own_bus, nodes, book, [] { return ManagerCaller::Local(); }, [self] { return std::string(self); });
    const Error down{Code::kFailedPrecondition, "the manager role of this node does not run", GetParam()};
    own_bus.answer = nodes.callers["n1"].answer = down;
    bool served = false;
    for (int i = 0; i < 4 && !served; ++i) {
      caller.call(std::string(kManagerTarget), "ca/1/renew", {}, {},
                  [&](const Result<rpc::Body>& reply) { served = reply.has_value(); });
      own_bus.reply();
      nodes.callers["n1"].reply();
      nodes.callers["n2"].reply();
    }
    EXPECT_TRUE(served) << self;
    EXPECT_EQ(nodes.callers["n2"].calls, 1U);
  }
}

INSTANTIATE_TEST_SUITE_P(Why, ManagerCallers, ::testing::Values("MANAGER_DOWN", "LOCKED"));

/// Of `tries` managers that do not serve, the ids in the order in which they are asked.
std::string asked(ManagerBook& book, int tries) {
  std::string ids;
  for (int i = 0; i < tries; ++i) {
    const std::string id = book.choice()->node_id;
    ids += id + " ";
    book.failed(id);
  }
  return ids;
}

TEST(ManagerBook, WhoWasAManagerBeforeIsAskedWhenAllOthersFail) {
  testing::SeededRandom random(1);
  ManagerBook book(random);
  book.learn({"a=h:1", "b=h:2"}, "");
  book.learn({"a=h:1"}, "");  // by one that just started and does not know of b yet
  EXPECT_EQ(asked(book, 8), "a a a a a b a a ");
  EXPECT_EQ(book.managers(), std::vector<std::string>{"a=h:1"});
  book.learn({"b=h:3"}, "");
  EXPECT_EQ(book.choice()->address, "h:3") << "the newest address counts";
  EXPECT_EQ(asked(book, 7), "b b b b b a b ");
  for (int i = 0; i < 30; ++i) {
    book.learn({"c" + std::to_string(i) + "=h:1"}, "");
  }
  const std::string tried = asked(book, ManagerBook::kRounds + ManagerBook::kFormerMax + 1);
  EXPECT_EQ(tried.substr(0, 4), "c29 ");
  EXPECT_EQ(tried.substr(tried.size() - 4), "c29 ") << "at most " << ManagerBook::kFormerMax << " others";
  book.forget();
  EXPECT_FALSE(book.choice());
}

TEST(LeaveWarning, CountsManagersThatAreUp) {
  const auto says = [](std::size_t total, std::optional<std::size_t> up) { return leave_warning(total, up).message; };
  EXPECT_EQ(leave_warning(1, 1).reason, "LAST_MANAGER");
  EXPECT_EQ(leave_warning(3, 3).reason, "NODE_IS_MANAGER");
  EXPECT_EQ(says(3, 3).find("quorum"), std::string::npos);
  EXPECT_NE(says(3, 2).find("leaves 1 managers out of 3"), std::string::npos) << "one is down already";
  EXPECT_NE(says(2, 2).find("leaves 1 managers out of 2"), std::string::npos);
  EXPECT_NE(says(5, 3).find("leaves 2 managers out of 5"), std::string::npos);
  EXPECT_EQ(says(5, 4).find("quorum"), std::string::npos);
  EXPECT_NE(says(3, std::nullopt).find("cannot be asked now"), std::string::npos);
}

}  // namespace
}  // namespace skep::agentd
