// What the driver finds after the agent was killed, and after the machine was restarted.

#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>

#include "plugins/runtime/oci/container/overlay.h"
#include "plugins/runtime/oci/container/testing/lab.h"

namespace skep::oci {
namespace {

using namespace std::chrono_literals;
using runtime::v1::CONTAINER_STATE_EXITED;
using runtime::v1::CONTAINER_STATE_RUNNING;

class ROOT_Recover : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string missing = testing::missing_for_containers(); !missing.empty()) {
      FAIL() << missing;
    }
    ASSERT_TRUE(lab.start());
  }
  std::string start(std::vector<std::string> command) {
    const auto request = lab.request(std::move(command));
    EXPECT_TRUE(lab.create(request));
    EXPECT_TRUE(lab.start_container(request.container_id()));
    return request.container_id();
  }
  /// Whether any hierarchy has the group above those of the lab's containers.
  static bool has_cgroup_of(testing::Lab& one) {
    const Cgroups cgroups(one.env().disk.read_file("/proc/mounts").value_or(""));
    const std::string path = one.cgroup("");
    const auto names = cgroups.children("/");
    return std::find(names.begin(), names.end(), path.substr(1, path.find('/', 1) - 1)) != names.end();
  }
  testing::Lab lab;
};

TEST_F(ROOT_Recover, ListsWhatIsOnDiskBeforeItIsToldWhatToKeep) {
  const std::string runs = start({"sleep", "600"});
  lab.crash();
  ASSERT_TRUE(lab.start());
  const auto listed = lab.list();
  ASSERT_TRUE(listed) << listed.error().message;
  ASSERT_EQ(listed->containers_size(), 1);
  EXPECT_EQ(listed->containers(0).container_id(), runs);
  EXPECT_EQ(listed->containers(0).state(), CONTAINER_STATE_RUNNING);
  ASSERT_TRUE(lab.recover({runs}));
  EXPECT_EQ(lab.list()->containers_size(), 1);
  EXPECT_TRUE(lab.remove(runs, true));
  EXPECT_EQ(lab.leftovers(), std::vector<std::string>());
}

TEST_F(ROOT_Recover, AdoptsReportsAndCleans) {
  const std::string runs = start({"sleep", "600"});
  const std::string ends = start({"sh", "-c", "sleep 0.3; exit 42"});
  const std::string unnamed = start({"sleep", "600"});
  const auto created_only = lab.request({"sleep", "600"});
  ASSERT_TRUE(lab.create(created_only));
  const int pid = lab.inspect(runs)->container().pid();
  lab.crash();
  ASSERT_TRUE(lab.until([&] {
    return std::filesystem::exists(lab.run_dir() + "/exits/" + ends);
  }));
  ASSERT_TRUE(lab.start());
  const auto found = lab.recover({runs, ends, created_only.container_id(), "0123"});
  ASSERT_TRUE(found) << found.error().message;
  ASSERT_EQ(found->containers_size(), 3);
  EXPECT_EQ(lab.inspect(runs)->container().pid(), pid);
  EXPECT_EQ(lab.inspect(runs)->container().state(), CONTAINER_STATE_RUNNING);
  EXPECT_EQ(lab.wait(ends)->exit().exit_code(), 42);
  EXPECT_EQ(lab.inspect(unnamed).error().code, Code::kNotFound);
  EXPECT_FALSE(std::filesystem::exists(lab.state_dir() + "/containers/" + unnamed));
  EXPECT_TRUE(lab.start_container(created_only.container_id())) << "created before, started after";
  EXPECT_EQ(lab.stop(runs, -1ns)->exit().exit_code(), 137) << "its exit is seen by the new driver";
  for (const std::string& id : {runs, ends, created_only.container_id()}) {
    EXPECT_TRUE(lab.remove(id, true));
  }
  EXPECT_EQ(lab.leftovers(), std::vector<std::string>());
}

TEST_F(ROOT_Recover, AfterARebootContainersHaveEnded) {
  const std::string runs = start({"sleep", "600"});
  lab.crash();
  // A reboot: no processes, no cgroups, no mounts, an empty run directory.
  const Cgroups cgroups(lab.env().disk.read_file("/proc/mounts").value_or(""));
  cgroups.kill_all(lab.cgroup(runs));
  ASSERT_TRUE(lab.until([&] {
    return std::filesystem::exists(lab.run_dir() + "/exits/" + runs);
  }));
  ASSERT_TRUE(unmount_tree(lab.run_dir() + "/bundles/" + runs + "/rootfs"));
  std::filesystem::remove_all(lab.run_dir());
  ASSERT_TRUE(lab.start());
  const auto found = lab.recover({runs});
  ASSERT_TRUE(found);
  ASSERT_EQ(found->containers_size(), 1);
  EXPECT_EQ(found->containers(0).state(), CONTAINER_STATE_EXITED);
  EXPECT_EQ(found->containers(0).exit().exit_code(), 255);
  EXPECT_TRUE(lab.remove(runs, false));
  EXPECT_EQ(lab.leftovers(), std::vector<std::string>());
}

TEST_F(ROOT_Recover, OtherInstallationsAreNotTouched) {
  testing::Lab other;
  ASSERT_TRUE(other.start());
  const auto theirs = other.request({"sleep", "600"});
  ASSERT_TRUE(other.create(theirs));
  ASSERT_TRUE(other.start_container(theirs.container_id()));
  const std::string ours = start({"sleep", "600"});
  lab.crash();
  ASSERT_TRUE(lab.start());
  ASSERT_TRUE(lab.recover({}));
  EXPECT_EQ(lab.leftovers(), std::vector<std::string>());
  EXPECT_FALSE(has_cgroup_of(lab)) << "nothing stays of who has nothing";
  EXPECT_TRUE(has_cgroup_of(other));
  EXPECT_EQ(other.inspect(theirs.container_id())->container().state(), CONTAINER_STATE_RUNNING);
  EXPECT_TRUE(other.stop(theirs.container_id(), -1ns));
  EXPECT_TRUE(other.remove(theirs.container_id(), false));
  EXPECT_EQ(other.leftovers(), std::vector<std::string>());
  other.driver().stop();
  EXPECT_FALSE(has_cgroup_of(other));
}

TEST_F(ROOT_Recover, AKilledConmonEndsItsContainer) {
  const std::string id = start({"sleep", "600"});
  const auto text =
      lab.env().disk.read_file(lab.run_dir() + "/bundles/" + id + "/conmon.pid").value_or("0");
  ASSERT_EQ(::kill(std::stoi(text), SIGKILL), 0);
  EXPECT_EQ(lab.wait(id)->exit().exit_code(), 255);
  EXPECT_TRUE(lab.remove(id, false));
  EXPECT_EQ(lab.leftovers(), std::vector<std::string>());
}

/// A node that leaves says "keep nothing" while the last task it got is just being made.
TEST_F(ROOT_Recover, WhatIsJustBeingMadeIsNotForgotten) {
  const auto unwanted = lab.request({"sleep", "600"});
  const auto wanted = lab.request({"sleep", "600"});
  int made = 0;
  for (const auto& request : {unwanted, wanted}) {
    lab.driver().create(request, [&made](const auto& created) { made += created ? 1 : 0; });
  }
  const auto found = lab.recover({wanted.container_id()});
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_EQ(lab.inspect(unwanted.container_id()).error().code, Code::kNotFound);
  ASSERT_TRUE(lab.until([&made] { return made == 2; }));
  EXPECT_TRUE(lab.start_container(wanted.container_id()));
  EXPECT_TRUE(lab.recover({}));
  EXPECT_EQ(lab.leftovers(), std::vector<std::string>());
}

TEST_F(ROOT_Recover, RemovesWhatIsJustBeingMade) {
  const auto request = lab.request({"sleep", "600"});
  lab.driver().create(request, [](const auto&) {});
  EXPECT_TRUE(lab.remove(request.container_id(), true));
  EXPECT_EQ(lab.inspect(request.container_id()).error().code, Code::kNotFound);
  EXPECT_EQ(lab.leftovers(), std::vector<std::string>());
}

}  // namespace
}  // namespace skep::oci
