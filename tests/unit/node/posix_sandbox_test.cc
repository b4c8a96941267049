#include "core/node/posix_sandbox.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <thread>

#include "core/node/posix_facts.h"
#include "skep/testing/manual_env.h"

namespace skep::node {
namespace {

namespace fs = std::filesystem;

TEST(PosixNodeFacts, KnowsThisMachine) {
  PosixNodeFacts facts;
  EXPECT_FALSE(facts.hostname().empty());
  EXPECT_EQ(facts.platform().os(), "linux");
  EXPECT_GE(facts.resources().nano_cpus(), 1'000'000'000);
  EXPECT_GT(facts.resources().memory_bytes(), 64 << 20);
}

class ROOT_PosixSandbox : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) {
      FAIL() << "needs root";
    }
    std::string pattern = (fs::temp_directory_path() / "skep-sandbox-XXXXXX").string();
    root_ = ::mkdtemp(pattern.data());
  }
  void TearDown() override {
    if (root_.empty()) {
      return;
    }
    for (const auto& entry : fs::directory_iterator(root_)) {
      ::umount2(entry.path().c_str(), MNT_DETACH);
    }
    fs::remove_all(root_);
  }
  Result<std::string> make(const std::string& id) {
    Result<std::string> result = Error{Code::kInternal, "no answer"};
    maker().make(id, [&](Result<std::string> made) { result = std::move(made); });
    env_.loop.run_ready();
    return result;
  }
  Status remove(const std::string& id) {
    Status result = Error{Code::kInternal, "no answer"};
    maker().remove(id, [&](Status removed) { result = std::move(removed); });
    env_.loop.run_ready();
    return result;
  }
  std::vector<std::string> list() {
    std::vector<std::string> result;
    maker().list([&](Result<std::vector<std::string>> ids) { result = *std::move(ids); });
    env_.loop.run_ready();
    std::sort(result.begin(), result.end());
    return result;
  }
  /// A maker per call: nothing is kept in memory, as after a restart of the agent.
  PosixSandboxMaker& maker() {
    maker_ = std::make_unique<PosixSandboxMaker>(env_.env, root_);
    return *maker_;
  }
  static std::string read(const std::string& path) {
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    return line;
  }

  skep::testing::ManualEnv env_;
  std::string root_;
  std::unique_ptr<PosixSandboxMaker> maker_;
};

TEST_F(ROOT_PosixSandbox, IsANamespaceOfItsOwnWithLoopbackUp) {
  const auto path = make("task1");
  ASSERT_TRUE(path) << path.error().message;
  EXPECT_EQ(*path, root_ + "/task1");
  struct stat ours {};
  struct stat theirs {};
  ASSERT_EQ(::stat("/proc/self/ns/net", &ours), 0);
  ASSERT_EQ(::stat(path->c_str(), &theirs), 0);
  EXPECT_NE(ours.st_ino, theirs.st_ino) << "and this thread is still in the node's";
  bool loopback_up = false;
  std::string forward;
  std::string port_start;
  std::thread inside([&] {
    const int fd = ::open(path->c_str(), O_RDONLY | O_CLOEXEC);
    if (::setns(fd, CLONE_NEWNET) == 0) {
      const int probe = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
      struct ifreq request {};
      request.ifr_name[0] = 'l';
      request.ifr_name[1] = 'o';
      loopback_up = ::ioctl(probe, SIOCGIFFLAGS, &request) == 0 && (request.ifr_flags & IFF_UP) != 0;
      ::close(probe);
      forward = read("/proc/sys/net/ipv4/ip_forward");
      port_start = read("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    }
    ::close(fd);
  });
  inside.join();
  EXPECT_TRUE(loopback_up);
  EXPECT_EQ(forward, "0");
  EXPECT_EQ(port_start, "0");
}

TEST_F(ROOT_PosixSandbox, RepeatsAreHarmless) {
  struct stat first {};
  struct stat second {};
  ASSERT_TRUE(make("a"));
  ASSERT_EQ(::stat((root_ + "/a").c_str(), &first), 0);
  ASSERT_TRUE(make("a"));
  ASSERT_EQ(::stat((root_ + "/a").c_str(), &second), 0);
  EXPECT_EQ(first.st_ino, second.st_ino) << "the same namespace";
  ASSERT_TRUE(make("b"));
  EXPECT_EQ(list(), (std::vector<std::string>{"a", "b"}));
  EXPECT_TRUE(remove("a"));
  EXPECT_TRUE(remove("a"));
  EXPECT_TRUE(remove("never"));
  EXPECT_EQ(list(), std::vector<std::string>{"b"});
}

TEST_F(ROOT_PosixSandbox, TakesUpAfterACrashBeforeThePin) {
  std::ofstream(root_ + "/half").put('\n');  // the file was made, the namespace not
  ASSERT_TRUE(make("half"));
  EXPECT_TRUE(remove("half"));
  EXPECT_TRUE(list().empty());
}

TEST_F(ROOT_PosixSandbox, RefusesNamesThatLeaveItsDirectory) {
  EXPECT_FALSE(make("../x"));
  EXPECT_FALSE(remove("."));
}

}  // namespace
}  // namespace skep::node
