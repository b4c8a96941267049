#include <gtest/gtest.h>

#include "cluster_rig.h"
#include "core/control/managers/state_fetch.h"

namespace skep::control {
namespace {

namespace methods = control::v1::methods;

/// A cluster whose log is compacted early.
struct Short : Cluster {
  explicit Short(int managers, std::uint64_t seed = 1) : Cluster(0, seed) {
    raft_config["segment_kib"] = "256";
    raft_config["trailing_entries"] = "10";
    raft_config["snapshot_entries"] = "20";
    start_members(managers);
    init();
  }
  void fill(int count, std::size_t bytes) {
    for (int i = 0; i < count; ++i) {
      auto request = service("s" + std::to_string(made++));
      (*request.mutable_spec()->mutable_labels())["filler"] = std::string(bytes, 'x');
      const auto answer = ask<methods::CreateService>(wait_leader(), request);
      ASSERT_TRUE(answer) << answer.error().message;
    }
    loop.advance(10s);  // synced, compacted
  }
  int made = 0;
};

TEST(StateTransfer, AFollowerThatWasAwayGetsTheState) {
  Short cluster(3);
  const std::string away = cluster.follower();
  cluster.kill(away);
  cluster.fill(300, 100);
  cluster.start(away);
  EXPECT_TRUE(cluster.agree(30s));
  EXPECT_EQ(cluster.view(away).all<model::v1::Service>().size(), 300U);
  EXPECT_TRUE(cluster.nodes.at(away)->raft->wal()->mark().fetched);
  // It goes on from there, also over a restart.
  cluster.fill(5, 100);
  cluster.kill(away);
  cluster.start(away);
  EXPECT_TRUE(cluster.agree(30s));
  // And can lead.
  cluster.kill(cluster.leader());
  cluster.wait_leader();
  cluster.fill(5, 100);
}

TEST(StateTransfer, ALargeStateReachesANewManagerOverABadLink) {
  Short cluster(1);
  cluster.fill(80, 100'000);  // 8 MB
  cluster.join("n2", "n1");
  int breaks = 0;
  TimePoint last{};
  cluster.delay = 80ms;
  const bool voted = cluster.loop.run_until(
      [&] {
        // A connection that never lives long enough for the whole state.
        if (breaks < 12 && cluster.loop.now() - last > 300ms) {
          last = cluster.loop.now();
          ++breaks;
          cluster.bus.disconnect([](const std::string& from, const std::string& to) {
            return Cluster::node_of(from) != Cluster::node_of(to);
          });
        }
        return cluster.voters() == 2;
      },
      120s);
  EXPECT_TRUE(voted);
  EXPECT_GE(breaks, 3);
  EXPECT_TRUE(cluster.agree(30s));
  EXPECT_EQ(cluster.view("n2").all<model::v1::Service>().size(), 80U);
}

TEST(StateTransfer, AnotherSourceIsAskedWhenTheFirstDies) {
  Short cluster(3);
  const std::string away = cluster.follower();
  cluster.kill(away);
  cluster.fill(60, 100'000);
  cluster.delay = 80ms;
  cluster.start(away);
  cluster.loop.advance(1s);  // under way
  cluster.kill(cluster.wait_leader());
  EXPECT_TRUE(cluster.loop.run_until(
      [&] { return cluster.view(away).all<model::v1::Service>().size() == 60U; }, 60s));
  EXPECT_NE(cluster.wait_leader(20s), "");
  EXPECT_TRUE(cluster.agree(30s));
}

TEST(StateTransfer, ACrashWhileTheStateComesLosesNothing) {
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    Short cluster(3, seed);
    const std::string away = cluster.follower();
    cluster.kill(away);
    cluster.fill(40, 100'000);
    cluster.delay = 10ms;
    auto& node = *cluster.nodes.at(away);
    for (int crash = 0; crash < 4; ++crash) {
      cluster.start(away);
      cluster.loop.advance(std::chrono::milliseconds(100 + 70 * node.process.random.below(10)));
      cluster.kill(away);
      node.backend->crash(node.process.random);
      node.process.disk.crash(node.process.random);
    }
    cluster.start(away);
    EXPECT_TRUE(cluster.agree(60s)) << "seed " << seed << " " << node.fatal;
  }
}

TEST(StateTransfer, AnotherManagerIsAskedWhenTheStateOfOneIsDamaged) {
  Short cluster(3);
  const std::string away = cluster.follower();
  cluster.kill(away);
  cluster.fill(60, 10'000);
  const std::string leader = cluster.wait_leader();
  cluster.nodes.at(leader)->backend->damage_reads(true);
  cluster.start(away);
  EXPECT_TRUE(cluster.agree(30s));
  EXPECT_EQ(cluster.view(away).all<model::v1::Service>().size(), 60U);
  EXPECT_EQ(cluster.wait_leader(), leader);
}

TEST(StateTransfer, AManagerVotesOnlyWhenItHoldsTheState) {
  Short cluster(3);
  cluster.fill(60, 10'000);
  const auto damage = [&](bool damaged) {
    for (auto& [id, node] : cluster.nodes) {
      node->backend->damage_reads(damaged);
    }
  };
  damage(true);
  cluster.join("n4", cluster.wait_leader());
  cluster.loop.advance(30s);
  EXPECT_EQ(cluster.voters(), 3U) << "it could not lead when others are lost";
  damage(false);
  EXPECT_TRUE(cluster.loop.run_until([&] { return cluster.voters() == 4; }, 30s));
  EXPECT_EQ(cluster.view("n4").all<model::v1::Service>().size(), 60U);
}

TEST(StateTransfer, WhereEveryStateIsDamagedOneIsTakenAsSoonAsItIsWhole) {
  Short cluster(3);
  const std::string away = cluster.follower();
  cluster.kill(away);
  cluster.fill(60, 10'000);
  for (auto& [id, node] : cluster.nodes) {
    node->backend->damage_reads(true);
  }
  cluster.start(away);
  EXPECT_FALSE(cluster.agree(30s));
  for (auto& [id, node] : cluster.nodes) {
    node->backend->damage_reads(id != cluster.wait_leader());
  }
  EXPECT_TRUE(cluster.agree(30s));
}

TEST(StateTransfer, WhoAloneCouldLeadTakesItsStateFromAManagerThatDoesNotLead) {
  Short cluster(3);
  cluster.fill(60, 10'000);
  const std::string first = cluster.wait_leader();
  const std::string behind = cluster.follower();
  cluster.kill(behind);
  cluster.fill(1, 100);
  for (const auto& [id, node] : cluster.nodes) {
    id == behind ? void() : cluster.kill(id);
  }
  testing::SeededRandom random(1);
  ASSERT_TRUE(cluster.nodes.at(first)->backend->flip_bit(random, store::MemoryBackend::FlipIs::kNoticed));
  cluster.start(first);
  cluster.start(behind);
  cluster.loop.advance(60s);
  EXPECT_EQ(cluster.leader(), first) << "the other one lacks what was acknowledged";
  EXPECT_EQ(cluster.view(first).all<model::v1::Service>().size(), 61U);
}

TEST(StateTransfer, OnlyManagersMayHaveTheState) {
  rpc::MethodTable none;  // outlives the bus
  Short cluster(1);
  auto& worker = cluster.bus.attach("w1/link", "w1", {}, none, who("node", "w1", "worker"));
  std::string reason;
  const auto stream = rpc::open<manager::v1::methods::FetchState>(
      worker, "n1/core", {}, {}, [](const auto&) { FAIL(); },
      [&](const Status& status) { reason = status ? "ok" : status.error().reason; });
  cluster.loop.advance(1s);
  EXPECT_EQ(reason, "NOT_A_MANAGER");
}

std::string row_bytes(const std::string& id, std::uint32_t table = 3) {
  manager::v1::StateRow row;
  row.set_table(table);
  row.set_id(id);
  row.mutable_object()->set_object(std::string(1000, 'x'));
  const auto size = row.ByteSizeLong();
  return std::string{static_cast<char>(size & 0xff), static_cast<char>(size >> 8), 0, 0} + row.SerializeAsString();
}

TEST(RowReader, PutsRowsTogetherAndRefusesNonsense) {
  const std::string bytes = row_bytes("s1") + row_bytes("s10") + row_bytes("s2") + row_bytes("a", 4);
  RowReader reader;
  std::size_t rows = 0;
  for (std::size_t at = 0; at < bytes.size(); at += 7) {
    const auto read = reader.take(std::string_view(bytes).substr(at, 7));
    ASSERT_TRUE(read);
    rows += read->size();
  }
  EXPECT_EQ(rows, 4U);
  EXPECT_TRUE(reader.at_boundary());
  EXPECT_FALSE(RowReader().take("\xff\xff\xff\xff"));
  EXPECT_FALSE(RowReader().take(std::string_view("\x02\0\0\0zz", 6)));
}

TEST(RowReader, RefusesARowThatCameBefore) {
  for (const std::string& again : {row_bytes("s2"), row_bytes("s1"), row_bytes("z", 2)}) {
    RowReader reader;
    ASSERT_TRUE(reader.take(row_bytes("s1") + row_bytes("s2")));
    const auto taken = reader.take(again);
    ASSERT_FALSE(taken);
    EXPECT_EQ(taken.error().reason, "TRANSFER_DAMAGED");
    EXPECT_NE(taken.error().message.find("twice or out of order"), std::string::npos);
  }
}

}  // namespace
}  // namespace skep::control
