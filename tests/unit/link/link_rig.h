#pragma once

// Machines with links over real connections on one loop: what tests of links stand on.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/real_env.h"
#include "core/link/link.h"
#include "skep/ca.methods.h"
#include "skep/consensus.methods.h"
#include "skep/control.methods.h"
#include "skep/dispatch.methods.h"
#include "skep/manager.methods.h"

namespace skep::link {

using ::testing::HasSubstr;
using std::chrono::milliseconds;
using std::chrono::seconds;

class LinkTest : public ::testing::Test, protected base::RealEnv {
 protected:
  LinkTest() : RealEnv(1) {}
  static constexpr const char* kCluster = "cluster1";

  struct Machine {
    explicit Machine(LinkTest& test, base::AsioLoop& l, LinkOptions options = {})
        : loop(l), env{test.clock, test.random, loop, test.workers, test.disk, test.subprocess},
          link(env, table, std::move(options)) {}
    base::AsioLoop& loop;
    rpc::MethodTable table;
    Env env;
    Link link;
  };

  Credentials credentials(const std::string& id, Role role, const CertifiedKey& signer, Duration age = {},
                          const std::string& cluster = kCluster) {
    auto request = make_request();
    auto certificate = sign_request(signer, request->request, {id, role, cluster},
                                    clock.wall_now() - age.count(), kCertificateLifeMin);
    EXPECT_TRUE(certificate);
    return {{*certificate, request->key}, signer.certificate, cluster, id};
  }
  std::unique_ptr<Machine> machine(const std::string& id, Role role, LinkOptions options = {}) {
    auto out = std::make_unique<Machine>(*this, loop, std::move(options));
    EXPECT_TRUE(out->link.set_credentials(credentials(id, role, root)));
    return out;
  }
  /// A manager that listens and answers a few methods.
  std::unique_ptr<Machine> manager(LinkOptions options = {}) {
    auto out = machine("m1", Role::kManager, std::move(options));
    out->table.on<control::v1::methods::GetCluster>(
        [this](const auto&, const rpc::CallContext& context, auto reply) {
          caller = context.principal;
          reply(control::v1::GetClusterResponse());
        });
    out->table.on<dispatch::v1::methods::Heartbeat>(
        [this](const auto&, const rpc::CallContext& context, auto reply) {
          caller = context.principal;
          reply(dispatch::v1::HeartbeatResponse());
        });
    out->table.on<consensus::v1::methods::Deliver>([this](const auto&, const rpc::CallContext& context, auto reply) {
      caller = context.principal;
      reply(consensus::v1::DeliverResponse());
    });
    out->table.on<ca::v1::methods::GetRoot>([this](const auto&, const rpc::CallContext& context, auto reply) {
      caller = context.principal;
      ca::v1::GetRootResponse response;
      response.set_certificate(std::string(answer_size, 'x'));
      reply(response);
    });
    out->table.on_stream<dispatch::v1::methods::Session>(
        [this](const auto&, rpc::TypedServerStream<dispatch::v1::methods::Session> stream) {
          stream.raw()->set_handlers([](rpc::Body) {}, [] {}, [this] { ++streams_cancelled; }, [] {});
          (void)stream.send({});
          streams.push_back(stream);
        });
    auto status = out->link.listen("127.0.0.1:0");
    EXPECT_TRUE(status) << status.error().message;
    return out;
  }
  static std::string address_of(const Machine& machine) {
    return "127.0.0.1:" + std::to_string(machine.link.port());
  }
  bool wait_for(const std::function<bool()>& done, Duration limit = seconds(60)) {
    const auto end = clock.now() + limit;
    while (!done() && clock.now() < end) {
      loop.run_once(milliseconds(5));
    }
    return done();
  }
  template <class M>
  Status ask(rpc::Caller& to, typename M::Request request = {}) {
    std::optional<Status> result;
    rpc::call<M>(to, "core", request, {.deadline = seconds(50)},
                 [&](Result<typename M::Response> reply) {
                   result = reply ? ok() : Status(std::move(reply).error());
                 });
    EXPECT_FALSE(result) << "never from within the call";
    EXPECT_TRUE(wait_for([&] { return result.has_value(); }));
    return result ? *result : Status(Error{Code::kInternal, "no answer at all"});
  }
  int raw_socket(const Machine& to) {
    std::optional<int> fd;
    TcpConnect connect(const_cast<Machine&>(to).env, {"127.0.0.1", to.link.port()}, seconds(5),
                       [&](Result<bus::Fd> made) { fd = made ? made->release() : -1; });
    EXPECT_TRUE(wait_for([&] { return fd.has_value(); }));
    return *fd;
  }

  const CertifiedKey root = *make_root(clock.wall_now());
  bus::v1::Principal caller;
  std::vector<rpc::TypedServerStream<dispatch::v1::methods::Session>> streams;
  int streams_cancelled = 0;
  std::size_t answer_size = 0;
};

}  // namespace skep::link
