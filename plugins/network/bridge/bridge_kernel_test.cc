// The bridge driver on the real kernel, inside a network namespace of the test's own.
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "plugins/lib/netlink.h"
#include "plugins/lib/netns.h"
#include "plugins/network/bridge/bridge_driver.h"
#include "skep/posix_env.h"
#include "skep/testing/manual_env.h"

namespace skep::bridge {
namespace {

using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace)

class NoCore final : public rpc::Caller {
 public:
  rpc::CallId call(std::string, std::string_view, rpc::Body, rpc::CallOptions, rpc::OnReply) override {
    return 1;
  }
  void cancel(rpc::CallId) override {}
  std::shared_ptr<rpc::ClientStream> open(std::string, std::string_view, rpc::Body, rpc::CallOptions,
                                          rpc::StreamHandlers) override {
    return nullptr;
  }
};

/// A machine of our own: this process's namespaces, and one sandbox kept by a parked thread's file.
class ROOT_BridgeKernel : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(::unshare(CLONE_NEWNET | CLONE_NEWNS), 0) << "this test needs root";
    ASSERT_EQ(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
      char name[] = "/tmp/skep-bridge-XXXXXX";
    directory_ = ::mkdtemp(name);
    auto netlink = lib::Netlink::open();
    ASSERT_TRUE(netlink);
    ASSERT_TRUE(netlink->set_up("lo"));
    for (const char* box : {"one", "two"}) {
      const std::string path = directory_ + "/" + box;
      ::close(::creat(path.c_str(), 0600));
      std::thread([&] {
        ASSERT_EQ(::unshare(CLONE_NEWNET), 0);
        ASSERT_EQ(::mount("/proc/thread-self/ns/net", path.c_str(), nullptr, MS_BIND, nullptr), 0);
      }).join();
    }
    start_.set_run_dir(directory_ + "/run");
    start_.set_installation_id("test" + std::to_string(::getpid()));
    ASSERT_TRUE(driver_.start({env_, core_, start_}));
    network::v1::CreateNetworkRequest request;
    request.set_network_id("gw");
    auto made = driver_.create_network(request);
    ASSERT_TRUE(made) << made.error().message;
  }
  void TearDown() override {
    for (const char* box : {"one", "two"}) {
      ::umount2((directory_ + "/" + box).c_str(), MNT_DETACH);
    }
    std::filesystem::remove_all(directory_);
  }
  std::string attach(const std::string& id) {
    network::v1::CreateEndpointRequest create;
    create.set_network_id("gw");
    create.set_endpoint_id(id);
    auto endpoint = driver_.create_endpoint(create);
    EXPECT_TRUE(endpoint) << endpoint.error().message;
    network::v1::JoinRequest join;
    join.set_network_id("gw");
    join.set_endpoint_id(id);
    join.set_sandbox(directory_ + "/" + id);
    join.set_interface_name("eth0");
    join.set_default_gateway(true);
    for (int repeat = 0; repeat < 2; ++repeat) {
      auto joined = driver_.join(join);
      EXPECT_TRUE(joined) << joined.error().message;
    }
    return endpoint->addresses(0).substr(0, endpoint->addresses(0).find('/'));
  }
  Result<ProcessResult> here(std::vector<std::string> argv) {
    return env_.subprocess.run({.argv = std::move(argv)}, 10s);
  }
  /// A program inside a sandbox.
  Result<ProcessResult> inside(const std::string& box, std::vector<std::string> argv) {
    argv.insert(argv.begin(), {"nsenter", "--net=" + directory_ + "/" + box});
    return here(std::move(argv));
  }

  testing::ManualLoop loop_;
  PosixClock clock_;
  PosixRandom random_;
  PosixDisk disk_;
  PosixSubprocess subprocess_;
  testing::InlineWorkers workers_{loop_};
  Env env_{clock_, random_, loop_, workers_, disk_, subprocess_};
  NoCore core_;
  plugin::v1::StartRequest start_;
  std::string directory_;
  BridgeDriver driver_;
};

TEST_F(ROOT_BridgeKernel, CarriesPacketsPublishesPortsAndLeavesNothing) {
  const std::string one = attach("one");
  const std::string two = attach("two");
  ASSERT_EQ(inside("one", {"busybox", "ping", "-c1", "-W5", two})->exit_code, 0);

  network::v1::PublishRequest publish;
  publish.set_network_id("gw");
  publish.set_endpoint_id("one");
  publish.add_ports()->set_target_port(80);
  auto published = driver_.publish(publish);
  ASSERT_TRUE(published) << published.error().message;
  const std::string port = std::to_string(published->ports(0).published_port());

  auto server = subprocess_.start({.argv = {"nsenter", "--net=" + directory_ + "/one", "busybox", "nc", "-ll",
                                            "-p", "80", "-e", "echo", "hello"}});
  ASSERT_TRUE(server);
  using Runner = std::function<Result<ProcessResult>(std::vector<std::string>)>;
  const auto ask = [&](const Runner& run, const std::string& address) {
    ProcessResult last;
    for (int i = 0; i < 20 && last.out != "hello\n"; ++i) {
      last = *run({"busybox", "nc", "-w", "2", address, port});
      ::usleep(20'000);
    }
    return last.out;
  };
  EXPECT_EQ(ask([&](const std::vector<std::string>& argv) { return here(argv); }, "127.0.0.1"), "hello\n");
  const std::string gateway = one.substr(0, one.rfind('.')) + ".1";
  EXPECT_EQ(ask([&](const std::vector<std::string>& argv) { return inside("two", argv); }, gateway), "hello\n");
  EXPECT_EQ(ask([&](const std::vector<std::string>& argv) { return inside("one", argv); }, gateway), "hello\n") << "its own port";

  EXPECT_NE(here({"busybox", "nc", "-l", "-p", port, "-w", "1"})->exit_code, 0) << "the port is reserved";
  ::kill(server->pid, SIGKILL);
  ::waitpid(server->pid, nullptr, 0);
  ::close(server->pidfd);

  ASSERT_TRUE(driver_.recover({}));
  network::v1::DeleteNetworkRequest gone;
  gone.set_network_id("gw");
  ASSERT_TRUE(driver_.delete_network(gone));
  EXPECT_EQ(lib::Netlink::open()->links()->size(), 1u) << "only lo is left";
  EXPECT_EQ(here({"nft", "list", "tables"})->out, "");
}

TEST_F(ROOT_BridgeKernel, ASandboxThatIsGoneIsNamed) {
  network::v1::CreateEndpointRequest create;
  create.set_network_id("gw");
  create.set_endpoint_id("x");
  ASSERT_TRUE(driver_.create_endpoint(create));
  network::v1::JoinRequest join;
  join.set_network_id("gw");
  join.set_endpoint_id("x");
  join.set_sandbox(directory_ + "/nowhere");
  auto joined = driver_.join(join);
  ASSERT_FALSE(joined);
  EXPECT_EQ(joined.error().code, Code::kNotFound);
  EXPECT_NE(joined.error().message.find("nowhere"), std::string::npos);
}

}  // namespace
}  // namespace skep::bridge
