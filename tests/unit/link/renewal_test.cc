// Certificates of an hour, over real connections and a clock that is moved: a node that renews in time
// goes on for ever, one that does not is refused and told by how many seconds.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

#include "core/base/asio_loop.h"
#include "core/link/link.h"
#include "skep/ca.methods.h"
#include "skep/posix_env.h"
#include "skep/testing/manual_env.h"

namespace skep::link {
namespace {

using ::testing::HasSubstr;
using std::chrono::milliseconds;
using std::chrono::seconds;

class MovedClock final : public Clock {
 public:
  TimePoint now() override { return real_.now(); }
  WallTime wall_now() override { return real_.wall_now() + moved.count(); }
  Duration moved{0};

 private:
  PosixClock real_;
};

class Renewal : public ::testing::Test {
 protected:
  struct Machine {
    Machine(Renewal& test, std::string node, Role r)
        : id(std::move(node)), role(r),
          env{test.clock, test.random, test.loop, test.workers, test.disk, test.subprocess},
          link(env, table, {}) {
      const auto request = *make_request();
      key = request.key;
      take(test, request.request);
    }
    void take(Renewal& test, const std::string& request) {
      certificate = *sign_request(test.root, request, {id, role, "c1"}, test.clock.wall_now(), 1h);
      use(test);
    }
    void use(Renewal& test) {
      ASSERT_TRUE(link.set_credentials({{certificate, key}, test.root.certificate, "c1", id}));
    }
    const std::string id;
    const Role role;
    Env env;
    rpc::MethodTable table;
    Link link;
    std::string key;
    std::string certificate;
  };
  /// A new connection, and the node's certificate renewed over it.
  Status renew() {
    std::optional<Status> result;
    ca::v1::RenewRequest request;
    request.set_request(*request_for(node->key));
    Machine visitor(*this, "n1", Role::kWorker);
    visitor.key = node->key;
    visitor.certificate = node->certificate;
    visitor.use(*this);
    auto& to = visitor.link.to("m1", "127.0.0.1:" + std::to_string(manager->link.port()));
    rpc::call<ca::v1::methods::Renew>(to, "core", request, {.deadline = seconds(5)},
                                      [&](const Result<ca::v1::RenewResponse>& reply) {
                                        if (reply) {
                                          node->certificate = reply->certificate();
                                        }
                                        result = reply ? ok() : Status(reply.error());
                                      });
    const auto end = clock.now() + seconds(60);
    while (!result && clock.now() < end) {
      loop.run_once(milliseconds(5));
    }
    return result ? *result : Status(Error{Code::kInternal, "no answer"});
  }
  Renewal() {
    manager->table.on<ca::v1::methods::Renew>(
        [this](const ca::v1::RenewRequest& request, const rpc::CallContext& context, auto reply) {
          ca::v1::RenewResponse response;
          response.set_certificate(*sign_request(root, request.request(),
                                                 {context.principal.id(), Role::kWorker, "c1"}, clock.wall_now(), 1h));
          reply(response);
        });
    EXPECT_TRUE(manager->link.listen("127.0.0.1:0"));
  }

  MovedClock clock;
  PosixRandom random;
  testing::SeededRandom dice{1};
  PosixDisk disk;
  PosixSubprocess subprocess;
  base::AsioLoop loop;
  WorkerPool workers{loop, 1};
  const CertifiedKey root = *make_root(clock.wall_now());
  std::unique_ptr<Machine> manager = std::make_unique<Machine>(*this, "m1", Role::kManager);
  std::unique_ptr<Machine> node = std::make_unique<Machine>(*this, "n1", Role::kWorker);
};

TEST_F(Renewal, BetweenHalfAndFourFifthsOfItsLifeForEver) {
  for (int i = 0; i < 8; ++i) {
    const auto facts = *read_certificate(node->certificate);
    const WallTime at = renewal_time(facts, dice);
    const std::int64_t hour = Duration(1h).count();
    EXPECT_GE(at, facts.not_after - hour / 2 - Duration(1s).count());
    EXPECT_LE(at, facts.not_after - hour / 5 + Duration(1s).count());
    clock.moved += Duration(at - clock.wall_now());
    manager->take(*this, *request_for(manager->key));  // as it would itself
    const auto renewed = renew();
    ASSERT_TRUE(renewed) << renewed.error().message;
    EXPECT_GT(read_certificate(node->certificate)->not_after, facts.not_after);
  }
  EXPECT_GT(clock.moved, Duration(4h));
}

TEST_F(Renewal, TooLateIsSaidInSeconds) {
  clock.moved += 2h;
  manager->take(*this, *request_for(manager->key));
  const auto late = renew();
  ASSERT_FALSE(late);
  EXPECT_THAT(late.error().message, HasSubstr("the certificate of node 'n1' expired on"));
  EXPECT_THAT(late.error().message, HasSubstr(" s ago by our clock"));
}

}  // namespace
}  // namespace skep::link
