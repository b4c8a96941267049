#include "core/agentd/identity.h"

#include <gtest/gtest.h>

#include "core/agentd/kept_file.h"
#include "skep/testing/manual_env.h"

namespace skep::agentd {
namespace {

using agent::v1::SwarmMembership;

class Identity : public ::testing::Test {
 protected:
  Identity() { EXPECT_TRUE(disk.make_directories(paths.state_dir, 0700)); }
  std::string at(const std::string& name) const { return paths.state_dir + "/" + name; }
  void be_in_a_swarm() {
    SwarmMembership membership;
    membership.set_node_id("node1");
    membership.set_cluster_id("cluster1");
    ASSERT_TRUE(save_membership(paths, disk, membership));
    ASSERT_TRUE(disk.make_directories(at("node.db"), 0700));
  }
  /// The reason, when the membership cannot be had; its node id otherwise.
  std::string load() {
    const auto membership = load_membership(paths, disk);
    return !membership ? membership.error().message : *membership ? (*membership)->node_id() : "none";
  }
  testing::MemoryDisk disk;
  testing::SeededRandom random{1};
  const Paths paths{"/r"};
};

TEST_F(Identity, IsMadeOnceAndStays) {
  const auto first = installation_id(paths, disk, random);
  ASSERT_TRUE(first);
  EXPECT_EQ(first->size(), 25U);
  EXPECT_EQ(*installation_id(paths, disk, random), *first);
}

TEST_F(Identity, EveryDamageOfOneCopyHeals) {
  const auto id = installation_id(paths, disk, random);
  ASSERT_TRUE(id);
  be_in_a_swarm();
  for (const std::string name : {"installation.id", "installation.id.copy", "swarm.pb", "swarm.pb.copy"}) {
    const std::string whole = disk.content(at(name));
    for (std::size_t offset = 0; offset < whole.size(); ++offset) {
      disk.corrupt(at(name), offset, static_cast<unsigned char>(1U << (offset % 8)));
      ASSERT_EQ(*installation_id(paths, disk, random), *id) << name << " byte " << offset;
      ASSERT_EQ(load(), "node1") << name << " byte " << offset;
      ASSERT_EQ(disk.content(at(name)), whole) << "it is healed";
    }
    for (std::size_t size = 0; size < whole.size(); size += 5) {
      ASSERT_TRUE(disk.write_file_atomic(at(name), whole.substr(0, size), 0600));
      ASSERT_EQ(*installation_id(paths, disk, random), *id);
      ASSERT_EQ(load(), "node1");
    }
    ASSERT_TRUE(disk.remove(at(name)));
    EXPECT_EQ(*installation_id(paths, disk, random), *id);
    EXPECT_EQ(load(), "node1");
    EXPECT_EQ(disk.content(at(name)), whole);
  }
}

TEST_F(Identity, WhenBothCopiesAreDamagedItSaysTheWayOut) {
  ASSERT_TRUE(installation_id(paths, disk, random));
  be_in_a_swarm();
  for (const std::string name : {"swarm.pb", "installation.id"}) {
    disk.corrupt(at(name), 3, 4);
    disk.corrupt(at(name + ".copy"), 5, 4);
  }
  const auto id = installation_id(paths, disk, random);
  ASSERT_FALSE(id);
  EXPECT_EQ(id.error().code, Code::kDataLoss);
  EXPECT_NE(id.error().message.find("/r/var/lib/skep/installation.id: is damaged"), std::string::npos);
  EXPECT_NE(id.error().message.find("restore the file from a backup"), std::string::npos);
  EXPECT_NE(load().find("/r/var/lib/skep/swarm.pb: is damaged"), std::string::npos);
  EXPECT_NE(load().find("remove swarm.pb, swarm.pb.copy, manager.db, node.db"), std::string::npos);
}

TEST_F(Identity, ALostFileIsNotTakenForAFreshNode) {
  ASSERT_TRUE(installation_id(paths, disk, random));
  EXPECT_EQ(load(), "none");
  be_in_a_swarm();
  for (const std::string name : {"swarm.pb", "installation.id"}) {
    ASSERT_TRUE(KeptFile(disk, at(name)).remove());
  }
  EXPECT_NE(load().find("swarm.pb: is missing, although /r/var/lib/skep/node.db is there"), std::string::npos);
  const auto id = installation_id(paths, disk, random);
  ASSERT_FALSE(id) << "a new one would make strangers of this agent's containers";
  EXPECT_NE(id.error().message.find("installation.id: is missing"), std::string::npos);
  ASSERT_TRUE(disk.remove_tree(at("node.db")));
  EXPECT_EQ(load(), "none");
  EXPECT_TRUE(installation_id(paths, disk, random));
}

TEST_F(Identity, ForgettingCanBeInterrupted) {
  for (std::uint64_t call = 1; call <= 2; ++call) {
    be_in_a_swarm();
    disk.fail_call(call, Error{Code::kUnavailable, "power"});
    EXPECT_FALSE(forget_membership(paths, disk));
    EXPECT_EQ(load(), "node1") << "as long as the file is there, nothing is forgotten";
    EXPECT_TRUE(forget_membership(paths, disk));
    ASSERT_TRUE(disk.remove_tree(at("node.db")));
    EXPECT_EQ(load(), "none");
  }
}

}  // namespace
}  // namespace skep::agentd
