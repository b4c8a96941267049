#include <gtest/gtest.h>

#include "cluster_rig.h"

namespace skep::control {
namespace {

namespace methods = dispatch::v1::methods;

/// The session of one node, as simple as can be: opens it where it is told to, beats, comes back.
class SmallNode {
 public:
  SmallNode(Cluster& cluster, int number) : cluster_(cluster), id_("w" + std::to_string(number)) {
    caller_ = &cluster.bus.attach(id_ + "/agent", id_, {}, none_, who("node", id_, "worker"));
    at_ = "n" + std::to_string(1 + number % 3);
    wait_ = std::chrono::milliseconds(number % 97);
    connect_later();
  }
  const std::string& id() const { return id_; }
  bool up() const { return !session_.empty(); }

 private:
  void connect_later() {
    cluster_.loop.run_after(wait_, [this] { connect(); });
    wait_ = std::min<Duration>(wait_ * 2 + 100ms, 2s);
  }
  void connect() {
    dispatch::v1::SessionRequest request;
    request.set_node_id(id_);
    request.set_boot_id(id_);
    std::string leader;
    told_ = "";
    stream_ = rpc::open<methods::Session>(
        *caller_, at_ + "/core", request, {.deadline = 0ms},
        [this](const dispatch::v1::SessionMessage& message) {
          told_ = message.leader().substr(0, message.leader().find('='));
          if (!message.session_id().empty() && session_ != message.session_id()) {
            session_ = message.session_id();
            wait_ = 0ms;
            beat();
          }
        },
        [this](const Status&) {
          session_.clear();
          at_ = !told_.empty()
                    ? told_
                    : "n" + std::to_string(1 + cluster_.loop.now().time_since_epoch().count() % 3);
          connect_later();
        });
  }
  void beat() {
    dispatch::v1::HeartbeatRequest request;
    request.set_session_id(session_);
    rpc::call<methods::Heartbeat>(*caller_, at_ + "/core", request, {.deadline = 5s},
                                  [](const auto&) {});
    cluster_.loop.run_after(4s, [this, session = session_] {
      if (session == session_) {
        beat();
      }
    });
  }

  Cluster& cluster_;
  const std::string id_;
  rpc::MethodTable none_;
  rpc::Caller* caller_ = nullptr;
  std::shared_ptr<rpc::ClientStream> stream_;
  std::string at_;
  std::string told_;
  std::string session_;
  Duration wait_{};
};

TEST(Sessions, AThousandNodesComeToTheNewLeaderAndNobodyIsDown) {
  constexpr int kNodes = 1'000;
  std::vector<std::unique_ptr<SmallNode>> nodes;  // outlive the world: its end still calls them
  Cluster cluster(3);
  cluster.init();
  for (int i = 0; i < kNodes; i += 100) {
    store::Transaction transaction;
    for (int k = i; k < i + 100; ++k) {
      auto node = Cluster::node_object("w" + std::to_string(k), model::v1::NODE_ROLE_WORKER);
      node.mutable_status()->set_state(model::v1::NODE_STATE_UNKNOWN);
      transaction.put(node);
    }
    bool done = false;
    cluster.manager(cluster.leader())
        .proposer()
        .propose(std::move(transaction), [&](const auto& result) {
          EXPECT_TRUE(result);
          done = true;
        });
    ASSERT_TRUE(cluster.loop.run_until([&] { return done; }, 10s));
  }
  for (int i = 0; i < kNodes; ++i) {
    nodes.push_back(std::make_unique<SmallNode>(cluster, i));
  }
  const auto all_up = [&] {
    return std::all_of(nodes.begin(), nodes.end(), [](const auto& node) { return node->up(); });
  };
  ASSERT_TRUE(cluster.loop.run_until(all_up, 20s));
  cluster.loop.advance(7s);
  std::size_t downs = 0;
  for (auto& [id, node] : cluster.nodes) {
    const_cast<store::Store&>(node->manager->store()).subscribe([&](const store::Commit& commit) {
      for (const auto& event : commit.events) {
        const auto* changed = event.after_as<model::v1::Node>();
        downs += changed != nullptr && changed->id().front() == 'w' &&
                         changed->status().state() == model::v1::NODE_STATE_DOWN
                     ? 1
                     : 0;
      }
    });
  }
  for (int round = 0; round < 2; ++round) {
    const std::string old = cluster.leader();
    cluster.kill(old);
    const TimePoint since = cluster.loop.now();
    EXPECT_TRUE(cluster.loop.run_until([&] { return !cluster.leader().empty() && all_up(); }, 10s))
        << "all nodes are back within 10 s of the loss";
    std::printf("1,000 nodes back %.2f s after the leader was lost\n",
                std::chrono::duration<double>(cluster.loop.now() - since).count());
    cluster.loop.advance(40s);
    EXPECT_TRUE(all_up());
    EXPECT_EQ(downs, 0U);
    cluster.start(old);
    cluster.loop.advance(3s);
  }
}

}  // namespace
}  // namespace skep::control
