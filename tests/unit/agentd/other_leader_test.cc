#include "core/agentd/other_leader.h"

#include <gtest/gtest.h>

#include <map>

#include "skep/control.methods.h"
#include "skep/manager.methods.h"

namespace skep::agentd {
namespace {

/// A manager that answers when it is told to.
class Asked final : public rpc::Caller {
 public:
  rpc::CallId call(std::string target, std::string_view method, rpc::Body body, rpc::CallOptions options,
                   rpc::OnReply on_reply) override {
    EXPECT_EQ(target, "core");
    EXPECT_EQ(options.deadline, kOtherLeaderWait);
    if (method == manager::v1::methods::CheckMember::kName) {
      EXPECT_TRUE(request.ParseFromString(body));
    }
    waiting[std::string(method)] = std::move(on_reply);
    return waiting.size();
  }
  void cancel(rpc::CallId) override {}
  std::shared_ptr<rpc::ClientStream> open(std::string, std::string_view, rpc::Body, rpc::CallOptions,
                                          rpc::StreamHandlers) override {
    return nullptr;
  }
  void answer(std::string_view method, bool good) {
    waiting.at(std::string(method))(good ? Result<rpc::Body>(rpc::Body())
                                         : Result<rpc::Body>(Error{Code::kUnavailable, "no", "NO_LEADER"}));
  }
  manager::v1::CheckMemberRequest request;
  std::map<std::string, rpc::OnReply> waiting;
};

class OtherLeaderTest : public ::testing::Test, protected bus::Peers {
 protected:
  rpc::Caller& to(const std::string& node_id, const std::string& /*address*/) override { return managers[node_id]; }
  void refuse(const std::string&, bool, std::uint64_t) override {}
  void set_on_gone(std::function<void(const std::string&)>) override {}

  void find() {
    find_other_leader(*this, {{"n1", "n1:2377"}, {"n2", "n2:2377"}}, 7,
                      [this](const std::optional<OtherLeader>& found) {
                        said = !found ? "none" : found->manager.node_id + (found->leads ? " leads" : " knows one");
                      });
  }
  void answer(const std::string& id, bool knows, bool leads) {
    managers[id].answer(manager::v1::methods::CheckMember::kName, knows);
    managers[id].answer(control::v1::methods::GetCluster::kName, leads);
  }
  std::map<std::string, Asked> managers;
  std::string said = "waits";
};

TEST_F(OtherLeaderTest, TheOneThatLeadsIsNamedWhoeverAnswersFirst) {
  find();
  EXPECT_EQ(managers["n1"].request.incarnation(), 7U);
  answer("n1", true, false);
  EXPECT_EQ(said, "waits");
  answer("n2", true, true);
  EXPECT_EQ(said, "n2 leads");
}

TEST_F(OtherLeaderTest, AManagerThatIsNotKnownHereMayLead) {
  find();
  answer("n2", false, false);
  answer("n1", true, false);
  EXPECT_EQ(said, "n1 knows one");
}

TEST_F(OtherLeaderTest, SilenceAndALeaderOfAnOlderIncarnationSayNothing) {
  find();
  answer("n1", false, false);
  answer("n2", false, true);
  EXPECT_EQ(said, "none");
}

TEST_F(OtherLeaderTest, NobodyIsAskedWhereThereIsNobody) {
  find_other_leader(*this, {}, 7, [this](const std::optional<OtherLeader>& found) { said = found ? "one" : "none"; });
  EXPECT_EQ(said, "none");
}

}  // namespace
}  // namespace skep::agentd
