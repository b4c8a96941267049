// Several drivers over memory disks and a network that loses, delays, reorders and cuts, with crashes
// that lose unsynced writes, failing, full and slow disks and changes of the members: a small simulator with seeds.
// Always: one leader per term, all states the same at every index, nothing acknowledged is lost.
// Once faults stop: a leader, and everybody catches up. SKEP_SEEDS=n, SKEP_FIRST_SEED=k.

#include <gtest/gtest.h>

#include <cstdlib>

#include "plugins/consensus/raft/raft_driver.h"
#include "plugins/consensus/raft/testing/show.h"
#include "plugins/consensus/raft/testing/slow_disk.h"
#include "skep/log.h"
#include "skep/testing/manual_env.h"

namespace skep::raft {
namespace {

using namespace std::chrono_literals;
using testing::ManualLoop;
using testing::MemoryDisk;
using testing::SeededRandom;
namespace v1 = consensus::v1;
namespace methods = consensus::v1::methods;

struct Stats {
  std::uint64_t crashes = 0, disk_errors = 0, cuts = 0, elections = 0, fetches = 0, changes = 0;
  std::uint64_t acknowledged = 0, messages = 0, lost = 0, transfers = 0, compactions = 0, full = 0, slow = 0;
};

class World;

/// One manager: disk, core state, driver when it runs.
class Manager final : public rpc::Caller {
 public:
  Manager(World& world, MemberId id);
  void boot(bool founder);
  void crash();
  void sync_state();
  rpc::CallId call(std::string, std::string_view method, rpc::Body body, rpc::CallOptions,
                   rpc::OnReply on_reply) override;
  void cancel(rpc::CallId) override {}
  std::shared_ptr<rpc::ClientStream> open(std::string, std::string_view, rpc::Body, rpc::CallOptions,
                                          rpc::StreamHandlers) override {
    return nullptr;
  }
  [[nodiscard]] bool running() const { return driver != nullptr; }

  World& world;
  const MemberId id;
  MemoryDisk disk;
  DiskClock clock;
  SlowDisk slow_disk{disk, clock};
  std::unique_ptr<RaftDriver> driver;
  std::vector<v1::Entry> state;    ///< applied
  std::vector<v1::Entry> durable;  ///< what survives a crash
  bool leads = false;
  std::uint64_t incarnation = 0;

 private:
  Result<rpc::Body> answer(const std::string& method, const rpc::Body& body);
  void send(const v1::SendRequest& request);
  plugin::v1::StartRequest start_;
  TimePoint calls_done_{};
  std::unique_ptr<Env> env_;
};

class World {
 public:
  explicit World(std::uint64_t seed_of) : seed(seed_of), random(seed_of) {}

  void run();

  std::uint64_t seed;
  SeededRandom random;
  ManualLoop loop;
  testing::FakeSubprocess subprocess;
  testing::InlineWorkers workers{loop};
  std::map<MemberId, std::unique_ptr<Manager>> managers;
  std::set<std::pair<MemberId, MemberId>> cut;  ///< one-way
  std::uint64_t loss_percent = 0;
  Duration delay_max = 5ms;
  std::map<Term, MemberId> leader_of;
  std::vector<v1::Entry> history;  ///< the first that applied an index
  std::map<std::string, Index> acknowledged;  ///< data of writes whose commit was seen
  Stats stats;

  void applied(const v1::Entry& entry) {
    if (entry.index() > history.size()) {
      ASSERT_EQ(entry.index(), history.size() + 1);
      history.push_back(entry);
      if (!entry.data().empty()) {
        acknowledged[entry.data()] = entry.index();
        ++stats.acknowledged;
      }
      return;
    }
    const v1::Entry& first = history[entry.index() - 1];
    ASSERT_EQ(first.term(), entry.term()) << "seed " << seed << " index " << entry.index();
    ASSERT_EQ(first.data(), entry.data()) << "seed " << seed << " index " << entry.index();
  }
  void leads(Term term, MemberId id) {
    const auto [known, added] = leader_of.try_emplace(term, id);
    stats.elections += added ? 1 : 0;
    ASSERT_EQ(known->second, id) << "seed " << seed << ": two leaders in term " << term;
  }

 private:
  void fault();
  void cut_some();
  void change_members();
  void write_some();
  bool healed();
  [[nodiscard]] std::string describe() const;
  Manager* leader();
  MemberId next_id_ = 1;
  std::uint64_t writes_ = 0;
};

Manager::Manager(World& world_of, MemberId id_of) : world(world_of), id(id_of), clock(world_of.loop) {
  start_.set_state_dir("/state");
  (*start_.mutable_config())["segment_kib"] = "8";
  (*start_.mutable_config())["trailing_entries"] = "4";
  (*start_.mutable_config())["snapshot_entries"] = "15";
  env_.reset(new Env{clock, world.random, world.loop, world.workers, slow_disk, world.subprocess});
}

void Manager::boot(bool founder) {
  ++incarnation;
  state = durable;
  disk.set_capacity(UINT64_MAX);  // whoever starts it made room
  driver = std::make_unique<RaftDriver>();
  ASSERT_TRUE(driver->start({*env_, *this, start_}));
  v1::StartRequest request;
  request.set_member_id(id);
  request.set_cluster_id("c");
  request.set_applied_index(state.size());
  request.set_applied_term(state.empty() ? 0 : state.back().term());
  for (MemberId member = 1; founder && member <= 3; ++member) {
    request.add_bootstrap()->set_id(member);
  }
  driver->open(request, [&](const Result<v1::StartResponse>& reply) {
    if (!reply && disk.failed()) {
      return crash();  // Started again later.
    }
    ASSERT_TRUE(reply) << "seed " << world.seed << ": " << reply.error().message;
  });
}

void Manager::crash() {
  ++world.stats.crashes;
  ++incarnation;
  leads = false;
  // Gone with the process: its driver runs no more, what it posted finds it gone.
  std::shared_ptr<RaftDriver> dead = std::move(driver);
  dead->stop();
  world.loop.post([dead] {});
  disk.fail_call(0, {});
  disk.crash(world.random);
}

void Manager::sync_state() {
  durable = state;
  if (running() && !durable.empty()) {
    ++world.stats.compactions;
    v1::SnapshotAvailableRequest request;
    request.set_index(durable.size());
    driver->snapshot_available(request);
  }
}

rpc::CallId Manager::call(std::string, std::string_view method, rpc::Body body, rpc::CallOptions,
                          rpc::OnReply on_reply) {
  // In order, as the bus keeps it.
  calls_done_ = std::max(calls_done_, world.loop.now()) +
                Duration{static_cast<std::int64_t>(world.random.below(100'000))};
  world.loop.run_after(calls_done_ - world.loop.now(), [this, method = std::string(method), body = std::move(body),
                               on_reply = std::move(on_reply), of = incarnation] {
    if (of == incarnation) {
      on_reply(answer(method, body));
    }
  });
  return 1;
}

Result<rpc::Body> Manager::answer(const std::string& method, const rpc::Body& body) {
  if (method == methods::Send::kName) {
    send(*rpc::parse<v1::SendRequest>(body));
  } else if (method == methods::Leadership::kName) {
    const auto request = *rpc::parse<v1::LeadershipRequest>(body);
    leads = request.leader();
    if (leads) {
      world.leads(request.term(), id);
    }
  } else if (method == methods::Committed::kName) {
    const auto request = *rpc::parse<v1::CommittedRequest>(body);
    for (const auto& entry : request.entries()) {
      if (entry.index() > state.size()) {
        EXPECT_EQ(entry.index(), state.size() + 1) << "seed " << world.seed;
        state.push_back(entry);
        world.applied(entry);
      }
    }
    v1::CommittedResponse response;
    response.set_applied_index(state.size());
    return response.SerializeAsString();
  } else if (method == methods::FetchSnapshot::kName) {
    const auto request = *rpc::parse<v1::FetchSnapshotRequest>(body);
    const auto source = world.managers.find(request.source());
    if (source == world.managers.end() || !source->second->running() ||
        source->second->state.size() < request.index() || world.cut.contains({request.source(), id})) {
      return Error{Code::kUnavailable, "no such state there"};
    }
    ++world.stats.fetches;
    if (source->second->state.size() > state.size()) {
      state = source->second->state;
    }
    durable = state;
    v1::FetchSnapshotResponse response;
    response.set_applied_index(state.size());
    return response.SerializeAsString();
  }
  return rpc::Body();
}

void Manager::send(const v1::SendRequest& request) {
  ++world.stats.messages;
  if (world.cut.contains({id, request.to()}) || world.random.chance(world.loss_percent)) {
    ++world.stats.lost;
    return;
  }
  v1::DeliverRequest delivery;
  delivery.set_from(id);
  delivery.set_message(request.message());
  const auto delay = static_cast<std::int64_t>(
      world.random.below(static_cast<std::uint64_t>(world.delay_max.count()) + 1));
  const int copies = world.random.chance(world.loss_percent) ? 2 : 1;
  for (int copy = 1; copy <= copies; ++copy) {
    world.loop.run_after(Duration{delay * copy}, [&world = world, to = request.to(), delivery] {
      const auto receiver = world.managers.find(to);
      if (receiver != world.managers.end() && receiver->second->running()) {
        receiver->second->driver->deliver(delivery);
      }
    });
  }
}

Manager* World::leader() {
  Manager* found = nullptr;
  for (auto& [id, manager] : managers) {
    if (manager->running() && manager->leads &&
        (found == nullptr || manager->driver->raft()->term() > found->driver->raft()->term())) {
      found = manager.get();
    }
  }
  return found;
}

void World::write_some() {
  for (auto& [id, manager] : managers) {
    if (manager->running() && manager->leads) {
      v1::ProposeRequest request;
      request.set_data("w" + std::to_string(++writes_) + std::string(random.below(300), 'x'));
      manager->driver->propose(request, [](const auto&) {});
    }
  }
}

void World::cut_some() {
  ++stats.cuts;
  cut.clear();
  for (const auto& [from, sender] : managers) {
    for (const auto& [to, receiver] : managers) {
      if (from != to && random.chance(30)) {
        cut.insert({from, to});
        if (random.chance(60)) {
          cut.insert({to, from});
        }
      }
    }
  }
}

void World::change_members() {
  Manager* at = leader();
  if (at == nullptr) {
    return;
  }
  const auto& members = at->driver->raft()->members();
  v1::ChangeMembersRequest request;
  const auto kind = random.below(4);
  if (kind == 0 && members.members.size() < 6) {
    const MemberId id = next_id_++;
    managers[id] = std::make_unique<Manager>(*this, id);
    managers[id]->boot(false);
    auto& added = *request.add_add();
    added.set_id(id);
    added.set_learner(true);
  } else if (kind == 1) {
    for (const Member& member : members.members) {
      if (member.learner) {
        request.add_add()->set_id(member.id);
      }
    }
  } else if (kind == 2 && members.voters().size() > 3) {
    const auto voters = members.voters();
    request.add_remove(*std::next(voters.begin(), static_cast<std::ptrdiff_t>(random.below(voters.size()))));
  } else if (members.voters().size() > 1) {
    v1::TransferLeadershipRequest transfer;
    const auto voters = members.voters();
    transfer.set_to(*std::next(voters.begin(), static_cast<std::ptrdiff_t>(random.below(voters.size()))));
    ++stats.transfers;
    at->driver->transfer_leadership(transfer, [](const auto&) {});
    return;
  }
  if (request.add_size() + request.remove_size() > 0) {
    at->driver->change_members(request, [this](const Result<v1::ChangeMembersResponse>& reply) {
      stats.changes += reply ? 1 : 0;
    });
  }
}

void World::fault() {
  auto it = std::next(managers.begin(), static_cast<std::ptrdiff_t>(random.below(managers.size())));
  Manager& victim = *it->second;
  switch (random.below(11)) {
    case 0:
    case 1:
      if (victim.running()) {
        victim.crash();
      } else {
        victim.boot(victim.id <= 3);
      }
      break;
    case 2: cut_some(); break;
    case 3: cut.clear(); break;
    case 4: loss_percent = random.below(40); break;
    case 5: delay_max = Duration(random.below(400'000'000)); break;
    case 6:
      if (victim.running()) {
        ++stats.disk_errors;
        victim.disk.fail_call(1 + random.below(6), {Code::kInternal, "Input/output error"});
      }
      break;
    case 7: change_members(); break;
    case 8:
      ++stats.full;
      victim.disk.set_capacity(random.chance(30) ? UINT64_MAX : UINT64_MAX - *victim.disk.free_bytes("/"));
      break;
    case 9:
      ++stats.slow;
      victim.slow_disk.sync_takes = random.chance(30) ? 0ms : Duration(random.below(3'000'000'000));
      break;
    default: victim.sync_state(); break;
  }
  // A poisoned member is started again, as its agent would be.
  for (auto& [id, manager] : managers) {
    if (manager->running() && !manager->driver->consensus_status().error().empty()) {
      manager->crash();
    }
  }
}

bool World::healed() {
  Manager* at = leader();
  if (at == nullptr) {
    return false;
  }
  for (const Member& member : at->driver->raft()->members().members) {
    const auto found = managers.find(member.id);
    if (found == managers.end() || found->second->state.size() != history.size() ||
        found->second->driver->raft()->leader() != at->id) {
      return false;
    }
  }
  return at->state.size() == history.size() && at->driver->raft()->members().outgoing.empty();
}

std::string World::describe() const {
  std::string text = "history " + std::to_string(history.size()) + "\n";
  for (const auto& [id, manager] : managers) {
    const auto status = manager->driver->consensus_status();
    text += std::to_string(id) + ": term " + std::to_string(status.term()) + " leader " +
            std::to_string(status.leader()) + " commit " + std::to_string(status.commit_index()) +
            " last " + std::to_string(status.last_index()) + " state " +
            std::to_string(manager->state.size()) + " " + show(manager->driver->raft()->members()) +
            (manager->driver->raft()->awaits_state() ? " awaits state " : " ") + status.error() + "\n";
  }
  return text;
}

void World::run() {
  for (; next_id_ <= 3; ++next_id_) {
    managers[next_id_] = std::make_unique<Manager>(*this, next_id_);
    managers[next_id_]->boot(true);
  }
  for (int step = 0; step < 120; ++step) {
    loop.advance(Duration(random.below(600'000'000)));
    write_some();
    if (random.chance(50)) {
      fault();
    }
    if (::testing::Test::HasFatalFailure()) {
      return;
    }
  }
  cut.clear();
  loss_percent = 0;
  delay_max = 2ms;
  for (auto& [id, manager] : managers) {
    manager->disk.fail_call(0, {});
    manager->disk.set_capacity(UINT64_MAX);
    manager->slow_disk.sync_takes = 0ms;
    if (manager->running() && !manager->driver->status().healthy()) {
      manager->crash();
    }
    if (!manager->running()) {
      manager->boot(id <= 3);
    }
  }
  loop.advance(5s);
  write_some();
  EXPECT_TRUE(loop.run_until([this] { return healed(); }, 60s)) << "seed " << seed << ": not healed\n" << describe();
  // Every write that any manager saw committed is in every state.
  for (const auto& [data, index] : acknowledged) {
    ASSERT_EQ(leader() == nullptr ? data : leader()->state[index - 1].data(), data) << "seed " << seed;
  }
}

std::uint64_t from_environment(const char* name, std::uint64_t fallback) {
  const char* text = std::getenv(name);
  return text == nullptr ? fallback : std::strtoull(text, nullptr, 10);
}

TEST(RaftCluster, KeepsItsPromisesUnderFaults) {
  log::set_sink([](LogLevel, std::string_view) {});
  const std::uint64_t first = from_environment("SKEP_FIRST_SEED", 1);
  const std::uint64_t count = from_environment("SKEP_SEEDS", 60);
  Stats total;
  for (std::uint64_t seed = first; seed < first + count && !HasFailure(); ++seed) {
    auto world = std::make_unique<World>(seed);
    world->run();
    const Stats& one = world->stats;
    total.crashes += one.crashes;
    total.disk_errors += one.disk_errors;
    total.cuts += one.cuts;
    total.elections += one.elections;
    total.fetches += one.fetches;
    total.changes += one.changes;
    total.acknowledged += one.acknowledged;
    total.messages += one.messages;
    total.lost += one.lost;
    total.transfers += one.transfers;
    total.full += one.full;
    total.slow += one.slow;
    for (auto& [id, manager] : world->managers) {
      manager->driver.reset();
    }
    world->loop.clear();
  }
  log::set_sink([](LogLevel, std::string_view line) {
    std::fprintf(stderr, "%.*s\n", static_cast<int>(line.size()), line.data());
  });
  std::printf("seeds %llu crashes %llu disk errors %llu cuts %llu elections %llu fetches %llu changes %llu "
              "transfers %llu writes %llu messages %llu lost %llu full %llu slow %llu\n",
              static_cast<unsigned long long>(count), static_cast<unsigned long long>(total.crashes),
              static_cast<unsigned long long>(total.disk_errors), static_cast<unsigned long long>(total.cuts),
              static_cast<unsigned long long>(total.elections), static_cast<unsigned long long>(total.fetches),
              static_cast<unsigned long long>(total.changes), static_cast<unsigned long long>(total.transfers),
              static_cast<unsigned long long>(total.acknowledged), static_cast<unsigned long long>(total.messages),
              static_cast<unsigned long long>(total.lost), static_cast<unsigned long long>(total.full),
              static_cast<unsigned long long>(total.slow));
  if (count >= 20) {
    EXPECT_GT(total.acknowledged, count * 10);
    EXPECT_GT(total.crashes, count);
    EXPECT_GT(total.fetches, 0U);
    EXPECT_GT(total.changes, 0U);
  }
}

}  // namespace
}  // namespace skep::raft
