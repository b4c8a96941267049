// What several managers write is sealed with one key that none of their disks shows.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cluster_rig.h"
#include "core/store/sealed_backend.h"

namespace skep::control {
namespace {

using ::testing::HasSubstr;
namespace methods = control::v1::methods;

constexpr const char* kSecret = "nobody-may-read-this-name";

bool raft_disk_holds(Cluster::Node& node, const std::string& text) {
  const auto names = node.process.disk.list_directory("/raft");
  EXPECT_TRUE(names && !names->empty());
  for (const auto& name : *names) {
    const auto content = node.process.disk.read_file("/raft/" + name);
    if (content && content->find(text) != std::string::npos) {
      return true;
    }
  }
  return false;
}

TEST(Sealing, NoDiskShowsWhatIsWritten) {
  Cluster cluster(3);
  cluster.init();
  ASSERT_TRUE(
      cluster.ask<methods::CreateService>(cluster.wait_leader(), Cluster::service(kSecret)));
  cluster.loop.advance(10s);
  ASSERT_TRUE(cluster.agree());
  for (auto& [id, node] : cluster.nodes) {
    EXPECT_EQ(cluster.view(id).all<model::v1::Service>().size(), 1U);
    EXPECT_GE(node->clusters_told, 1);
    cluster.kill(id);
    EXPECT_FALSE(raft_disk_holds(*node, kSecret)) << id;
    const auto rows = node->backend->open();
    ASSERT_TRUE(rows);
    for (const auto& row : rows->rows) {
      EXPECT_TRUE(base::looks_sealed(row.object.object()));
    }
    cluster.start(id);
  }
  cluster.wait_leader();
  EXPECT_TRUE(cluster.agree());
}

TEST(Sealing, AManagerThatJoinsIsGivenTheKeys) {
  Cluster cluster(1);
  cluster.init();
  auto changed = *cluster.view("n1").cluster();
  changed.set_unlock_key("SWMKEY-1-x");
  cluster.put(changed);
  cluster.put(Cluster::node_object("n2", model::v1::NODE_ROLE_MANAGER));
  const auto answer = cluster.ask_to_join("n2", "n1", who("node", "n2", "manager"));
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->data_key(), cluster.sealer->key());
  EXPECT_EQ(answer->unlock_key(), "SWMKEY-1-x");
  EXPECT_EQ(answer->unlock_version(), cluster.view("n1").cluster()->meta().version());
}

TEST(Sealing, AManagerWithAnotherKeyEndsItsRoleAndLosesNothing) {
  Cluster cluster(3);
  cluster.init();
  ASSERT_TRUE(cluster.agree());
  const std::string odd = cluster.follower();
  Cluster::Node& node = *cluster.nodes.at(odd);
  cluster.kill(odd);
  node.sealer = base::Sealer::make_new(cluster.keys);
  cluster.start(odd);
  ASSERT_TRUE(cluster.loop.run_until([&] { return !node.fatal.empty(); }, 20s));
  EXPECT_THAT(node.fatal, HasSubstr("was sealed with key"));
  EXPECT_THAT(node.fatal, HasSubstr("row 1/c1"));
  // With the right one again it goes on.
  cluster.kill(odd);
  node.fatal.clear();
  node.sealer = nullptr;
  cluster.start(odd);
  cluster.wait_leader();
  EXPECT_TRUE(cluster.agree());
  EXPECT_EQ(node.fatal, "");
}

}  // namespace
}  // namespace skep::control
