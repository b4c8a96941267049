#include "plugins/runtime/process/process_driver.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "plugins/runtime/oci/container/testing/lab.h"

namespace skep::process {
namespace {

using namespace std::chrono_literals;

TEST(LocalMounts, TakesDisksAndLeavesTheRest) {
  const std::string mountinfo =
      "20 1 254:0 / / rw - ext4 /dev/vda rw\n"
      "21 20 254:1 / /usr rw - xfs /dev/vdb rw\n"
      "22 20 0:5 / /proc rw - proc proc rw\n"
      "23 20 254:0 /etc/hosts /etc/hosts rw - ext4 /dev/vda rw\n"
      "24 20 254:2 / /var/lib/skep rw shared:3 - ext4 /dev/vdc rw\n"
      "25 20 254:3 / /home rw shared:4 - ext4 /dev/vdd rw\n"
      "26 20 0:9 / /run rw - tmpfs tmpfs rw\n";
  EXPECT_EQ(local_mounts(mountinfo, {"/var/lib/skep"}),
            (std::vector<std::string>{"/home", "/usr"}));
}

class ROOT_Process : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string missing = oci::testing::missing_for_containers(); !missing.empty()) {
      FAIL() << missing;
    }
    const auto started = lab.start();
    ASSERT_TRUE(started) << started.error().message;
  }
  oci::testing::Lab lab{"process", [] { return std::make_unique<ProcessDriver>(); }};
};

TEST_F(ROOT_Process, RunsAProgramOfTheNodeAndKeepsTheNodeWhole) {
  auto request = lab.request({"/bin/sh", "-c",
                              "id -u; touch /skep-was-here 2>/dev/null || echo read-only; "
                              "touch /tmp/mine && ls /tmp; ls " + lab.state_dir() + " 2>/dev/null"});
  const std::string id = request.container_id();
  const auto ended = lab.run(request);
  ASSERT_TRUE(ended) << ended.error().message;
  EXPECT_EQ(ended->exit().exit_code(), 2) << "the agent's own files are not there";
  EXPECT_EQ(lab.output(id), "0\nread-only\nmine\n");
  EXPECT_FALSE(std::filesystem::exists("/skep-was-here"));
  EXPECT_TRUE(lab.remove(id, false));
  EXPECT_EQ(lab.leftovers(), std::vector<std::string>());
}

TEST_F(ROOT_Process, NeedsACommand) {
  EXPECT_EQ(lab.create(lab.request({})).error().reason, "NO_COMMAND");
  EXPECT_EQ(lab.leftovers(), std::vector<std::string>());
}

TEST_F(ROOT_Process, StopsAndReportsTheExit) {
  const auto request = lab.request({"/bin/sleep", "600"});
  const std::string id = request.container_id();
  ASSERT_TRUE(lab.create(request));
  const auto started = lab.start_container(id);
  ASSERT_TRUE(started) << started.error().message;
  EXPECT_EQ(lab.stop(id, -1ns)->exit().exit_code(), 137);
  EXPECT_TRUE(lab.remove(id, false));
  EXPECT_EQ(lab.leftovers(), std::vector<std::string>());
}

}  // namespace
}  // namespace skep::process
