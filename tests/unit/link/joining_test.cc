#include "core/link/joining.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/real_env.h"
#include "core/link/link.h"
#include "skep/ca.methods.h"

namespace skep::link {
namespace {

using ::testing::HasSubstr;
using std::chrono::milliseconds;
using std::chrono::seconds;

class JoiningTest : public ::testing::Test, protected base::RealEnv {
 protected:
  static constexpr const char* kSecret = "0123456789abcdefghijklmno";

  JoiningTest() : RealEnv(1) {
    table.on<ca::v1::methods::GetRoot>([this](const auto&, const rpc::CallContext&, auto reply) {
      ca::v1::GetRootResponse response;
      response.set_certificate(told_root);
      reply(response);
    });
    table.on<ca::v1::methods::Issue>([this](const ca::v1::IssueRequest& request, const auto&, auto reply) {
      ++secrets_seen;
      if (request.secret() != kSecret) {
        return reply(Error{Code::kPermissionDenied, "the join token is not valid", "INVALID_TOKEN"});
      }
      ca::v1::IssueResponse response;
      response.set_node_id("w1");
      response.set_cluster_id("cluster1");
      response.set_certificate(
          *sign_request(root, request.request(), {"w1", Role::kWorker, "cluster1"}, clock.wall_now(), 1h));
      reply(response);
    });
    listen(root, Role::kManager);
  }
  void listen(const CertifiedKey& signer, Role role) {
    auto request = make_request();
    auto certificate = sign_request(signer, request->request, {"m1", role, "cluster1"}, clock.wall_now(), 1h);
    EXPECT_TRUE(link.set_credentials({{*certificate, request->key}, signer.certificate, "cluster1", "m1"}));
    EXPECT_TRUE(link.listen("127.0.0.1:0"));
  }
  Result<Joined> join(const std::string& secret = kSecret, std::string address = {}) {
    if (address.empty()) {
      address = "127.0.0.1:" + std::to_string(link.port());
    }
    auto token = parse_join_token(*make_join_token(root.certificate, secret));
    std::optional<Result<Joined>> result;
    const Joining joining(env, {.address = address, .version = "test", .limit = seconds(50)}, *token, {},
                          [&](Result<Joined> done) { result = std::move(done); });
    const auto end = clock.now() + seconds(60);
    while (!result && clock.now() < end) {
      loop.run_once(milliseconds(5));
    }
    return result ? std::move(*result) : Result<Joined>(Error{Code::kInternal, "never answered"});
  }

  const CertifiedKey root = *make_root(clock.wall_now());
  std::string told_root = root.certificate;
  rpc::MethodTable table;
  Link link{env, table, {}};
  int secrets_seen = 0;
};

TEST_F(JoiningTest, AMachineGetsItsCertificate) {
  const auto joined = join();
  ASSERT_TRUE(joined) << joined.error().message;
  EXPECT_EQ(joined->credentials.node_id, "w1");
  EXPECT_EQ(joined->credentials.roots, root.certificate);
  EXPECT_TRUE(check_pair(joined->credentials.pair));
}

TEST_F(JoiningTest, AWrongSecretIsRefused) {
  const auto joined = join(std::string(25, '0'));
  ASSERT_FALSE(joined);
  EXPECT_EQ(joined.error().reason, "INVALID_TOKEN");
}

TEST_F(JoiningTest, TheSecretIsNotToldToAnotherSwarm) {
  const auto other = *make_root(clock.wall_now());
  told_root = other.certificate;
  listen(other, Role::kManager);
  const auto joined = join();
  ASSERT_FALSE(joined);
  EXPECT_EQ(joined.error().reason, "WRONG_SWARM");
  EXPECT_EQ(secrets_seen, 0);
}

TEST_F(JoiningTest, TheSecretIsNotToldToWhoOnlyKnowsTheRoot) {
  listen(*make_root(clock.wall_now()), Role::kManager);  // passes on the right root, has no part in it
  const auto joined = join();
  ASSERT_FALSE(joined);
  EXPECT_EQ(joined.error().reason, "FOREIGN_CERTIFICATE");
  EXPECT_EQ(secrets_seen, 0);
}

TEST_F(JoiningTest, OnlyAManagerIsAsked) {
  listen(root, Role::kWorker);
  const auto joined = join();
  ASSERT_FALSE(joined);
  EXPECT_EQ(joined.error().reason, "NOT_A_MANAGER");
  EXPECT_EQ(secrets_seen, 0);
}

TEST_F(JoiningTest, NobodyThereIsSaidWithTheAddress) {
  const auto port = link.port();
  link.clear();
  const auto joined = join(kSecret, "127.0.0.1:" + std::to_string(port));
  ASSERT_FALSE(joined);
  EXPECT_EQ(joined.error().reason, "NODE_UNREACHABLE");
  EXPECT_THAT(joined.error().message, HasSubstr("127.0.0.1:" + std::to_string(port) + ": Connection refused"));
}

}  // namespace
}  // namespace skep::link
