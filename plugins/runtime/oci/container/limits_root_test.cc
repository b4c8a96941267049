// Limits, isolation and mounts as the kernel enforces them on real containers.

#include <gtest/gtest.h>

#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "plugins/runtime/oci/container/testing/lab.h"

namespace skep::oci {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;

class ROOT_Limits : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string missing = testing::missing_for_containers(); !missing.empty()) {
      FAIL() << missing;
    }
    ASSERT_TRUE(lab.start());
  }
  void TearDown() override {
    if (!IsSkipped()) {
      const auto listed = lab.list();
      for (const auto& container : listed->containers()) {
        EXPECT_TRUE(lab.remove(container.container_id(), true));
      }
      EXPECT_EQ(lab.leftovers(), std::vector<std::string>());
    }
  }
  runtime::v1::CreateRequest shell(const std::string& script) {
    return lab.request({"sh", "-c", script});
  }
  std::string output_of(const runtime::v1::CreateRequest& request) {
    const auto ended = lab.run(request);
    EXPECT_TRUE(ended) << ended.error().message;
    return lab.output(request.container_id());
  }
  testing::Lab lab;
};

TEST_F(ROOT_Limits, MemoryLimitKillsAndIsReported) {
  // The shell keeps what it reads: 60 MB do not fit into 20 MiB.
  auto request = shell("x=$(head -c 60000000 /dev/zero | tr '\\0' y); echo survived");
  request.mutable_resources()->mutable_limits()->set_memory_bytes(20 << 20);
  const auto ended = lab.run(request);
  ASSERT_TRUE(ended) << ended.error().message;
  EXPECT_TRUE(ended->exit().oom_killed());
  EXPECT_EQ(ended->exit().exit_code(), 137);
  EXPECT_EQ(lab.output(request.container_id()), "");
}

TEST_F(ROOT_Limits, AKillByHandIsNoOom) {
  auto request = shell("kill -9 $$; sleep 1");
  request.mutable_resources()->mutable_limits()->set_memory_bytes(20 << 20);
  EXPECT_FALSE(lab.run(request)->exit().oom_killed());
}

TEST_F(ROOT_Limits, PidsLimitHolds) {
  auto request = shell("for i in 1 2 3 4 5 6 7 8 9 10; do sleep 30 & done; wait");
  request.mutable_resources()->mutable_limits()->set_pids(5);
  const std::string id = request.container_id();
  ASSERT_TRUE(lab.create(request));
  ASSERT_TRUE(lab.start_container(id));
  ASSERT_TRUE(lab.until([&] {
    return lab.output(id).find("can't fork") != std::string::npos;
  }));
  EXPECT_LE(lab.stats(id)->pids(), 5U);
}

TEST_F(ROOT_Limits, CpuLimitHoldsAndStatsShowIt) {
  auto request = shell("while :; do :; done");
  request.mutable_resources()->mutable_limits()->set_nano_cpus(200'000'000);
  request.mutable_resources()->mutable_limits()->set_memory_bytes(64 << 20);
  const std::string id = request.container_id();
  ASSERT_TRUE(lab.create(request));
  ASSERT_TRUE(lab.start_container(id));
  const auto begin = lab.env().clock.now();
  const auto first = lab.stats(id);
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_FALSE(lab.until([] { return false; }, 1500ms));
  const auto second = lab.stats(id);
  const double wall = std::chrono::duration<double, std::nano>(lab.env().clock.now() - begin).count();
  const double used = static_cast<double>(second->cpu_usage_ns() - first->cpu_usage_ns());
  EXPECT_LT(used / wall, 0.30);
  EXPECT_GT(used / wall, 0.02);
  EXPECT_EQ(second->memory_limit_bytes(), 64U << 20);
  EXPECT_GT(second->memory_bytes(), 0U);
  EXPECT_EQ(second->pids(), 1U);
}

TEST_F(ROOT_Limits, UserGroupsDirectoryHostnameAndEnvironment) {
  auto request = shell("id -u; id -g; id -G; pwd; hostname; echo $A $PATH; ulimit -n; cat /etc/hosts | grep db");
  auto& spec = *request.mutable_spec();
  spec.set_user("web");
  spec.add_groups("1234");
  spec.set_directory("/data/new");
  spec.set_hostname("h1");
  spec.add_env("A=b");
  spec.add_hosts("10.1.2.3 db db.local");
  auto* limit = spec.add_ulimits();
  limit->set_name("nofile");
  limit->set_soft(100);
  limit->set_hard(200);
  EXPECT_EQ(output_of(request),
            "1001\n1002\n1002 1003 1234\n/data/new\nh1\n"
            "b /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n100\n"
            "10.1.2.3\tdb db.local\n");
}

TEST_F(ROOT_Limits, ReadOnlyRootAndMounts) {
  fs::create_directories(lab.directory() + "/volume");
  std::ofstream(lab.directory() + "/volume/file") << "content\n";
  auto request = shell(
      "touch /x 2>/dev/null || echo root-ro; cat /vol/file; touch /vol/y 2>/dev/null || echo vol-ro; "
      "touch /tmp/z && echo tmp-rw; touch /rw/here && echo rw; "
      "stat -f -c %T /tmp; mount | grep -c ' /proc/sys '");
  request.mutable_spec()->set_read_only(true);
  auto* read_only = request.add_binds();
  read_only->set_source(lab.directory() + "/volume");
  read_only->set_target("/vol");
  read_only->set_read_only(true);
  fs::create_directories(lab.directory() + "/rw");
  auto* writable = request.add_binds();
  writable->set_source(lab.directory() + "/rw");
  writable->set_target("/rw");
  auto* tmpfs = request.add_tmpfs();
  tmpfs->set_target("/tmp");
  tmpfs->set_tmpfs_size_bytes(1 << 20);
  EXPECT_EQ(output_of(request), "root-ro\ncontent\nvol-ro\ntmp-rw\nrw\ntmpfs\n1\n");
  EXPECT_TRUE(fs::exists(lab.directory() + "/rw/here"));
}

TEST_F(ROOT_Limits, ContainersDoNotChangeTheImage) {
  EXPECT_EQ(output_of(shell("echo mine > /etc/passwd; rm /bin/true; ls /bin/true 2>&1")),
            "ls: /bin/true: No such file or directory\n");
  EXPECT_EQ(output_of(shell("ls /bin/true; head -n 1 /etc/passwd")),
            "/bin/true\nroot:x:0:0:root:/root:/bin/sh\n");
}

TEST_F(ROOT_Limits, AnEmptyVolumeReceivesTheImagesContent) {
  const std::string image = lab.directory() + "/image/data";
  fs::create_directories(image + "/sub");
  std::ofstream(image + "/sub/file") << "from image";
  fs::create_hard_link(image + "/sub/file", image + "/again");
  fs::create_symlink("sub/file", image + "/link");
  ASSERT_EQ(::chown(image.c_str(), 1001, 1002), 0);
  ASSERT_EQ(::chmod(image.c_str(), 0750), 0);
  const std::string volume = lab.directory() + "/volume";
  fs::create_directories(volume);
  const auto request_with_volume = [&] {
    auto request = shell("cat /data/sub/file /data/link; stat -c '%u %g %a' /data; stat -c %h /data/again");
    auto* bind = request.add_binds();
    bind->set_source(volume);
    bind->set_target("/data");
    bind->set_copy_up(true);
    return request;
  };
  EXPECT_EQ(output_of(request_with_volume()), "from imagefrom image1001 1002 750\n2\n");
  std::ofstream(volume + "/sub/file") << "changed";
  EXPECT_EQ(output_of(request_with_volume()), "changedchanged1001 1002 750\n2\n")
      << "a volume with content is left alone";
}

TEST_F(ROOT_Limits, DefaultSeccompAndCapabilities) {
  EXPECT_EQ(output_of(shell("mount -t tmpfs x /tmp 2>/dev/null || echo refused; "
                            "grep CapEff /proc/self/status; grep Seccomp: /proc/self/status")),
            "refused\nCapEff:\t00000000a80425fb\nSeccomp:\t2\n");
  auto strong = shell("mount -t tmpfs x /tmp && echo mounted");
  strong.mutable_spec()->add_capability_add("SYS_ADMIN");
  EXPECT_EQ(output_of(strong), "mounted\n");
  auto weak = shell("grep CapEff /proc/self/status");
  weak.mutable_spec()->add_capability_drop("ALL");
  EXPECT_EQ(output_of(weak), "CapEff:\t0000000000000000\n");
}

TEST_F(ROOT_Limits, TerminalContainersLogWhatTheyShow) {
  auto request = shell("test -t 1 && echo terminal");
  request.mutable_spec()->set_tty(true);
  EXPECT_EQ(output_of(request), "terminal\r\n");
}

TEST_F(ROOT_Limits, ManyLayersMount) {
  // Long paths and 120 layers: more than one page of mount options.
  auto& layers = lab.source().rootfs.layers;
  const std::string base = layers.front();
  layers.clear();
  for (int i = 0; i < 120; ++i) {
    const std::string layer = lab.directory() + "/layers/" + std::string(60, 'l') + std::to_string(i);
    fs::create_directories(layer);
    std::ofstream(layer + "/number") << i;
    layers.push_back(layer);
  }
  layers.push_back(base);
  EXPECT_EQ(output_of(shell("cat /number")), "0");
}

}  // namespace
}  // namespace skep::oci
