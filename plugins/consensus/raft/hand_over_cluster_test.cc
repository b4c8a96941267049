// Three drivers, the disk of the one that leads full or slow: another leads, and nobody is left without a leader.

#include <gtest/gtest.h>

#include "plugins/consensus/raft/raft_driver.h"
#include "plugins/consensus/raft/testing/slow_disk.h"
#include "skep/log.h"

namespace skep::raft {
namespace {

using namespace std::chrono_literals;
namespace v1 = consensus::v1;
namespace methods = consensus::v1::methods;

struct Cluster;

/// One member with the core above it.
struct Member3 final : public rpc::Caller {
  Member3(Cluster& cluster_of, MemberId id_of);
  void open();
  rpc::CallId call(std::string, std::string_view method, rpc::Body body, rpc::CallOptions,
                   rpc::OnReply on_reply) override;
  void cancel(rpc::CallId) override {}
  std::shared_ptr<rpc::ClientStream> open(std::string, std::string_view, rpc::Body, rpc::CallOptions,
                                          rpc::StreamHandlers) override {
    return nullptr;
  }
  Result<rpc::Body> answer(const std::string& method, const rpc::Body& body);
  /// What the core was told last.
  [[nodiscard]] bool leads() const { return !told.empty() && told.back().leader(); }
  [[nodiscard]] std::string stalled() { return driver.consensus_status().stalled(); }
  /// The disk holds nothing more than it does.
  void fill() { memory.set_capacity(UINT64_MAX - *memory.free_bytes("/")); }
  void free() { memory.set_capacity(UINT64_MAX); }

  Cluster& cluster;
  const MemberId id;
  testing::MemoryDisk memory;
  DiskClock clock;
  SlowDisk disk;
  testing::SeededRandom random;
  testing::FakeSubprocess subprocess;
  testing::InlineWorkers workers;
  Env env;
  bool cut = false;
  std::vector<v1::LeadershipRequest> told;
  std::vector<std::string> applied;
  Index applied_index = 0;
  RaftDriver driver;
};

struct Cluster {
  explicit Cluster(MemberId size) {
    log::set_level(LogLevel::kError);
    for (MemberId id = 1; id <= size; ++id) {
      members.push_back(std::make_unique<Member3>(*this, id));
    }
    for (auto& member : members) {
      member->open();
    }
    EXPECT_TRUE(loop.run_until([this] { return leader() != nullptr; }, 10s));
    loop.advance(2s);
  }
  ~Cluster() {
    for (auto& member : members) {
      member->driver.stop();
    }
    loop.clear();
    log::set_level(LogLevel::kInfo);
  }
  Member3* leader() {
    for (auto& member : members) {
      if (member->leads()) {
        return member.get();
      }
    }
    return nullptr;
  }
  Result<v1::ProposeResponse> propose(Member3& at, const std::string& data, Duration wait = 100ms) {
    Result<v1::ProposeResponse> result = Error{Code::kInternal, "no answer"};
    v1::ProposeRequest request;
    request.set_data(data);
    at.driver.propose(request, [&result](Result<v1::ProposeResponse> reply) { result = std::move(reply); });
    loop.advance(wait);
    return result;
  }
  /// Another than `old` leads, as its core was told, within `limit`.
  Member3* next_leader(const Member3& old, Duration limit) {
    EXPECT_TRUE(loop.run_until([&] { return leader() != nullptr && leader() != &old; }, limit));
    return leader();
  }

  testing::ManualLoop loop;
  std::vector<std::unique_ptr<Member3>> members;
};

Member3::Member3(Cluster& cluster_of, MemberId id_of)
    : cluster(cluster_of),
      id(id_of),
      clock(cluster_of.loop),
      disk(memory, clock),
      random(id_of),
      workers(cluster_of.loop),
      env{clock, random, cluster_of.loop, workers, disk, subprocess} {}

void Member3::open() {
  plugin::v1::StartRequest start;
  start.set_state_dir("/state");
  (*start.mutable_config())["segment_kib"] = "16";
  ASSERT_TRUE(driver.start({env, *this, start}));
  v1::StartRequest request;
  request.set_member_id(id);
  request.set_cluster_id("c");
  for (const auto& member : cluster.members) {
    request.add_bootstrap()->set_id(member->id);
  }
  driver.open(request, [](const Result<v1::StartResponse>& reply) { ASSERT_TRUE(reply); });
}

rpc::CallId Member3::call(std::string, std::string_view method, rpc::Body body, rpc::CallOptions,
                          rpc::OnReply on_reply) {
  cluster.loop.run_after(1ms, [this, method = std::string(method), body = std::move(body),
                               on_reply = std::move(on_reply)] { on_reply(answer(method, body)); });
  return 1;
}

Result<rpc::Body> Member3::answer(const std::string& method, const rpc::Body& body) {
  if (method == methods::Send::kName) {
    const auto request = *rpc::parse<v1::SendRequest>(body);
    Member3& to = *cluster.members.at(request.to() - 1);
    if (!cut && !to.cut) {
      v1::DeliverRequest delivery;
      delivery.set_from(id);
      delivery.set_message(request.message());
      to.driver.deliver(delivery);
    }
  } else if (method == methods::Leadership::kName) {
    told.push_back(*rpc::parse<v1::LeadershipRequest>(body));
  } else if (method == methods::Committed::kName) {
    const auto request = *rpc::parse<v1::CommittedRequest>(body);
    for (const auto& entry : request.entries()) {
      if (entry.index() > applied_index) {
        applied_index = entry.index();
        applied.push_back(entry.data());
      }
    }
    v1::CommittedResponse response;
    response.set_applied_index(applied_index);
    return response.SerializeAsString();
  }
  return rpc::Body();
}

/// Fills what is left of the log's segment, with changes that are taken, until one is refused.
Error fill_log(Cluster& cluster, Member3& at) {
  at.fill();
  for (int i = 0; i < 40; ++i) {
    if (auto done = cluster.propose(at, std::string(1000, 'x'), 5ms); !done) {
      return done.error();
    }
  }
  return Error{Code::kInternal, "nothing was refused"};
}

TEST(RaftHandOver, ALeaderThatMustRefuseChangesHandsOver) {
  Cluster cluster(3);
  Member3& old = *cluster.leader();
  EXPECT_EQ(fill_log(cluster, old).code, Code::kResourceExhausted);
  EXPECT_NE(old.stalled().find("No space left"), std::string::npos) << old.stalled();
  Member3* next = cluster.next_leader(old, 1500ms);
  ASSERT_NE(next, nullptr);
  EXPECT_TRUE(cluster.propose(*next, "taken")) << "the others have room";
  EXPECT_EQ(next->applied.back(), "taken");
  EXPECT_TRUE(next->stalled().empty());
  old.free();
  cluster.loop.advance(3s);
  EXPECT_EQ(old.stalled(), "");
  EXPECT_EQ(old.applied.back(), "taken");
  EXPECT_EQ(cluster.leader(), next) << "nobody takes the role back";
}

TEST(RaftHandOver, ALeaderWhoseLogStandsStillHandsOverBesideIt) {
  Cluster cluster(3);
  Member3& old = *cluster.leader();
  // Reserved for it, and refused when it is written.
  old.memory.fail_call(1, {Code::kResourceExhausted, "write: No space left on device", "DISK_FULL"});
  const TimePoint began = cluster.loop.now();
  v1::ProposeRequest request;
  request.set_data("in doubt");
  old.driver.propose(request, [](const auto&) {});
  cluster.loop.run_ready();
  EXPECT_NE(old.stalled().find("No space left"), std::string::npos) << old.stalled();
  int failures = 0;
  while (cluster.leader() == &old && failures < 20) {  // as long as the disk is full
    old.memory.fail_call(1, {Code::kResourceExhausted, "write: No space left on device", "DISK_FULL"});
    cluster.loop.advance(100ms);
    ++failures;
  }
  EXPECT_FALSE(old.leads()) << "its nodes and clients go to the next one";
  Member3* next = cluster.next_leader(old, 100ms);
  ASSERT_NE(next, nullptr);
  EXPECT_LT(cluster.loop.now() - began, 1s) << "sooner than any follower stands for itself";
  EXPECT_TRUE(cluster.propose(*next, "taken"));
  old.memory.fail_call(0, {});
  cluster.loop.advance(3s);
  EXPECT_EQ(old.stalled(), "");
  EXPECT_EQ(cluster.leader(), next);
  EXPECT_EQ(old.driver.consensus_status().leader(), next->id);
  EXPECT_EQ(old.applied, next->applied);
}

TEST(RaftHandOver, ALeaderWhoseDiskIsSlowHandsOver) {
  Cluster cluster(3);
  Member3& old = *cluster.leader();
  old.disk.sync_takes = 600ms;
  for (int i = 0; i < 20 && cluster.leader() == &old; ++i) {
    (void)cluster.propose(old, "change", 20ms);
  }
  Member3* next = cluster.next_leader(old, 100ms);
  ASSERT_NE(next, nullptr);
  EXPECT_TRUE(cluster.propose(*next, "taken"));
  EXPECT_EQ(old.stalled(), "") << "slow is not full";
  // It stays a voter like any other, and stands behind the others while its disk is slow.
  next->cut = true;
  Member3* third = nullptr;
  ASSERT_TRUE(cluster.loop.run_until(
      [&] {
        for (auto& member : cluster.members) {
          third = member.get() != next && member->leads() ? member.get() : third;
        }
        return third != nullptr;
      },
      5s));
  EXPECT_NE(third, &old);
}

TEST(RaftHandOver, NobodyIsNamedWhoCouldNotLeadWithoutThisDisk) {
  Cluster pair(2);
  Member3& leader = *pair.leader();
  leader.disk.sync_takes = 600ms;
  for (int i = 0; i < 30; ++i) {
    EXPECT_TRUE(pair.propose(leader, "change", 20ms));
  }
  EXPECT_EQ(pair.leader(), &leader) << "every change would still wait for this disk";

  Cluster three(3);
  Member3& alone = *three.leader();
  for (auto& member : three.members) {
    member->cut = member.get() != &alone && member->id != alone.id % 3 + 1;
  }
  three.loop.advance(2s);
  alone.disk.sync_takes = 600ms;
  for (int i = 0; i < 30; ++i) {
    EXPECT_TRUE(three.propose(alone, "change", 20ms));
  }
  EXPECT_EQ(three.leader(), &alone);
}

TEST(RaftHandOver, WithTheOthersAwayItLeadsAgain) {
  Cluster cluster(3);
  Member3& old = *cluster.leader();
  ASSERT_EQ(fill_log(cluster, old).code, Code::kResourceExhausted);
  Member3* next = cluster.next_leader(old, 1500ms);
  ASSERT_NE(next, nullptr);
  old.free();
  cluster.loop.advance(1s);
  // The one that leads is gone; the third cannot win, as it lags behind.
  for (auto& member : cluster.members) {
    if (member.get() != &old && member.get() != next) {
      member->cut = true;
      EXPECT_TRUE(cluster.propose(*next, "more"));
      cluster.loop.advance(500ms);
      member->cut = false;
    }
  }
  next->cut = true;
  EXPECT_TRUE(cluster.loop.run_until([&] { return old.leads(); }, 10s)) << "late, and not never";
}

}  // namespace
}  // namespace skep::raft
