#include "core/store/disk_state.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <random>

#include "core/store/leveldb_backend.h"
#include "core/store/memory_backend.h"
#include "core/store/transaction.h"
#include "skep/testing/manual_env.h"

namespace skep::store {
namespace {

using model::v1::Service;
using namespace std::chrono_literals;

std::string temp_directory() {
  std::string pattern = (std::filesystem::temp_directory_path() / "skep-store-XXXXXX").string();
  return ::mkdtemp(pattern.data());
}

std::string random_set(std::mt19937_64& random, const View& view) {
  Transaction transaction;
  const auto count = random() % 5 + 1;
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::string id = "s" + std::to_string(random() % 20);
    const auto current = view.get<Service>(id);
    Service service;
    service.set_id(id);
    if (current != nullptr) {
      service = *current;
    }
    if (random() % 10 == 0) {
      service.mutable_meta()->set_version(random() % 30);  // perhaps a conflict
    }
    if (random() % 4 == 0 && service.meta().version() != 0) {
      transaction.remove(service);
      continue;
    }
    service.mutable_spec()->set_name("name" + std::to_string(random() % 1'000));
    transaction.put(service);
  }
  if (transaction.empty()) {
    return {};
  }
  return *transaction.encode("n:" + std::to_string(random()),
                             static_cast<std::int64_t>(random() % 1'000));
}

struct Rig {
  explicit Rig(std::shared_ptr<StateBackend> b) : backend(std::move(b)) { open(); }
  void open() {
    store = std::make_unique<Store>();
    disk = std::make_unique<DiskState>(
        env.env, backend, DiskState::Options{},
        DiskState::Handlers{[this](std::uint64_t index, std::uint64_t) { synced = index; },
                            [this](const std::string& reason) { trouble = reason; }});
    load_status = Error{Code::kInternal, "not called"};
    disk->load(*store, [this](Status status) { load_status = std::move(status); });
    env.loop.run_ready();
  }
  void drop() {
    disk.reset();
    store.reset();
    env.loop.clear();
  }
  void apply(const std::string& bytes) {
    ASSERT_TRUE(store->apply(store->applied_index() + 1, 1, bytes));
  }
  /// With id "s1".
  void apply_service() {
    Transaction transaction;
    Service service;
    service.set_id("s1");
    transaction.put(service);
    apply(*transaction.encode("p", 1));
  }
  testing::ManualEnv env;
  std::shared_ptr<StateBackend> backend;
  std::unique_ptr<Store> store;
  std::unique_ptr<DiskState> disk;
  Status load_status = ok();
  std::uint64_t synced = 0;
  std::string trouble;
};

TEST(DiskState, ReportsWhatIsSyncedAfterAWhile) {
  Rig rig(std::make_shared<MemoryBackend>());
  ASSERT_TRUE(rig.load_status);
  std::mt19937_64 random(1);
  rig.apply({});
  rig.apply(random_set(random, rig.store->view()));
  rig.env.loop.run_ready();
  EXPECT_EQ(rig.synced, 0U);
  rig.env.loop.advance(5s);
  EXPECT_EQ(rig.synced, 2U);
  rig.env.loop.advance(60s);
  EXPECT_EQ(rig.env.loop.pending(), 0U) << "an idle manager has no timer here";
}

TEST(DiskState, TriesAgainWhenTheDiskIsFullAndLosesNothing) {
  auto backend = std::make_shared<MemoryBackend>();
  Rig rig(backend);
  std::mt19937_64 random(2);
  backend->fail_next(3, Error{Code::kResourceExhausted, "no space left", "DISK_FULL"});
  rig.apply(random_set(random, rig.store->view()));
  rig.env.loop.run_ready();
  EXPECT_EQ(rig.trouble, "no space left");
  rig.apply(random_set(random, rig.store->view()));
  rig.env.loop.advance(60s);
  EXPECT_EQ(rig.trouble, "");
  EXPECT_EQ(rig.synced, 2U);
  const auto hash = rig.store->state_hash();
  rig.drop();
  rig.open();
  ASSERT_TRUE(rig.load_status);
  EXPECT_EQ(rig.store->state_hash(), hash);
}

TEST(DiskState, NobodyWaitsForAStateThatWasFoundDamaged) {
  auto backend = std::make_shared<MemoryBackend>();
  Rig rig(backend);
  rig.apply_service();
  rig.env.loop.advance(60s);
  ASSERT_EQ(rig.synced, 1U);
  testing::SeededRandom random(1);
  ASSERT_TRUE(backend->flip_bit(random, MemoryBackend::FlipIs::kNoticed));
  backend->fail_next(1, Error{Code::kInternal, "input/output error", "IO"});
  rig.apply({});
  Status before = ok();
  rig.disk->snapshot(2, [&](const auto& cursor) { before = cursor.error(); });
  rig.env.loop.advance(60s);
  EXPECT_NE(rig.trouble.find("docs/recovery.md"), std::string::npos) << rig.trouble;
  ASSERT_FALSE(before);
  EXPECT_EQ(before.error().code, Code::kDataLoss) << "another manager may have it";
  Status after = ok();
  rig.disk->snapshot(2, [&](const auto& cursor) { after = cursor.error(); });
  rig.env.loop.run_ready();
  EXPECT_FALSE(after);
}

TEST(DiskState, CloseWritesAndSyncsTheRest) {
  auto backend = std::make_shared<MemoryBackend>();
  Rig rig(backend);
  std::mt19937_64 random(3);
  rig.apply(random_set(random, rig.store->view()));
  bool closed = false;
  rig.disk->close([&](Status status) { closed = status.has_value(); });
  rig.env.loop.run_ready();
  EXPECT_TRUE(closed);
  EXPECT_EQ(backend->unsynced(), 0U);
  EXPECT_EQ(rig.synced, 1U);
}

TEST(DiskState, FindsAHoleByTheHash) {
  auto backend = std::make_shared<MemoryBackend>();
  Rig rig(backend);
  rig.apply_service();
  rig.env.loop.advance(10s);
  rig.drop();
  backend->lose_row(static_cast<std::uint32_t>(Table::kService), "s1");
  rig.open();
  ASSERT_FALSE(rig.load_status);
  EXPECT_EQ(rig.load_status.error().code, Code::kDataLoss);
  EXPECT_EQ(rig.store->applied_index(), 0U);
  Status aside = Error{Code::kInternal, ""};
  rig.disk->set_aside([&](Status status) { aside = std::move(status); });
  rig.env.loop.run_ready();
  ASSERT_TRUE(aside);
  rig.drop();
  rig.open();
  EXPECT_TRUE(rig.load_status);
}

TEST(DiskState, FindsAFlippedBitByAChecksumOrTheHash) {
  for (const auto how : {MemoryBackend::FlipIs::kNoticed, MemoryBackend::FlipIs::kSilent}) {
    auto backend = std::make_shared<MemoryBackend>();
    Rig rig(backend);
    rig.apply_service();
    EXPECT_FALSE(backend->flip_bit(rig.env.random, how)) << "nothing is at rest yet";
    rig.env.loop.advance(10s);
    rig.drop();
    ASSERT_TRUE(backend->flip_bit(rig.env.random, how));
    EXPECT_TRUE(backend->is_flipped());
    rig.open();
    ASSERT_FALSE(rig.load_status);
    EXPECT_EQ(rig.load_status.error().reason, "STATE_DAMAGED");
    EXPECT_EQ(rig.store->applied_index(), 0U);
    rig.disk->set_aside([](const Status&) {});
    rig.env.loop.run_ready();
    EXPECT_FALSE(backend->is_flipped());
    rig.drop();
    rig.open();
    EXPECT_TRUE(rig.load_status);
  }
}

/// Random log, random crashes: the state on disk plus the log from its mark on is the same state.
TEST(DiskState, CrashAndReplayGiveTheSameState) {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    auto backend = std::make_shared<MemoryBackend>();
    Rig rig(backend);
    Store twin;
    std::vector<std::string> log;
    for (int step = 0; step < 200; ++step) {
      log.push_back(random() % 8 == 0 ? std::string() : random_set(random, rig.store->view()));
      rig.apply(log.back());
      ASSERT_TRUE(twin.apply(log.size(), 1, log.back()));
      ASSERT_EQ(rig.store->state_hash(), twin.state_hash());
      if (random() % 3 == 0) {
        rig.env.loop.run_ready();
      }
      if (random() % 10 == 0) {
        rig.env.loop.advance(std::chrono::milliseconds(random() % 8'000));
      }
      if (random() % 25 == 0) {
        rig.drop();
        backend->crash(rig.env.random);
        rig.open();
        ASSERT_TRUE(rig.load_status) << rig.load_status.error().message;
        ASSERT_GE(rig.store->applied_index(), rig.synced);
        for (auto next = rig.store->applied_index(); next < log.size(); ++next) {
          rig.apply(log[next]);
        }
        ASSERT_EQ(rig.store->state_hash(), twin.state_hash());
      }
    }
  }
}

TEST(LevelDbBackend, KeepsTheStateOverARestart) {
  const std::string directory = temp_directory();
  StateHash hash{};
  {
    Rig rig(std::make_shared<LevelDbBackend>(directory + "/manager.db"));
    ASSERT_TRUE(rig.load_status) << rig.load_status.error().message;
    std::mt19937_64 random(5);
    for (int i = 0; i < 300; ++i) {
      rig.apply(random_set(random, rig.store->view()));
      rig.env.loop.run_ready();
    }
    rig.env.loop.advance(10s);
    EXPECT_EQ(rig.synced, 300U);
    hash = rig.store->state_hash();
  }
  Rig again(std::make_shared<LevelDbBackend>(directory + "/manager.db"));
  ASSERT_TRUE(again.load_status) << again.load_status.error().message;
  EXPECT_EQ(again.store->state_hash(), hash);
  EXPECT_EQ(again.store->applied_index(), 300U);
  std::filesystem::remove_all(directory);
}

/// A SIGKILL leaves what the kernel has: the files as they are at any moment, copied while open.
TEST(LevelDbBackend, AfterAKillTheLogCompletesWhatIsOnDisk) {
  const std::string directory = temp_directory();
  Rig rig(std::make_shared<LevelDbBackend>(directory + "/manager.db"));
  Store twin;
  std::vector<std::string> log;
  std::mt19937_64 random(7);
  for (int round = 0; round < 10; ++round) {
    for (int i = 0; i < 50; ++i) {
      log.push_back(random_set(random, rig.store->view()));
      rig.apply(log.back());
      ASSERT_TRUE(twin.apply(log.size(), 1, log.back()));
      if (random() % 4 == 0) {
        rig.env.loop.run_ready();
      }
    }
    const std::string copy = directory + "/copy-" + std::to_string(round);
    std::filesystem::copy(directory + "/manager.db", copy);
    Rig killed(std::make_shared<LevelDbBackend>(copy));
    ASSERT_TRUE(killed.load_status) << killed.load_status.error().message;
    ASSERT_GE(killed.store->applied_index(), rig.synced);
    for (auto next = killed.store->applied_index(); next < log.size(); ++next) {
      killed.apply(log[next]);
    }
    ASSERT_EQ(killed.store->state_hash(), twin.state_hash());
  }
  rig.drop();
  std::filesystem::remove_all(directory);
}

TEST(LevelDbBackend, NamesTheFileWhenItIsDamagedAndCanSetItAside) {
  const std::string directory = temp_directory();
  const std::string path = directory + "/manager.db";
  {
    Rig rig(std::make_shared<LevelDbBackend>(path));
    std::mt19937_64 random(6);
    for (int i = 0; i < 200; ++i) {
      rig.apply(random_set(random, rig.store->view()));
      rig.env.loop.run_ready();
    }
  }
  for (const auto& entry : std::filesystem::directory_iterator(path)) {
    if (entry.path().extension() == ".log" && entry.file_size() > 4'000) {
      std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
      file.seekp(2'000);
      file.put('\x7e');
      file.seekp(2'001);
      file.put('\x01');
    }
  }
  Rig rig(std::make_shared<LevelDbBackend>(path));
  ASSERT_FALSE(rig.load_status);
  EXPECT_EQ(rig.load_status.error().code, Code::kDataLoss) << rig.load_status.error().message;
  EXPECT_NE(rig.load_status.error().message.find(path), std::string::npos);
  Status aside = Error{Code::kInternal, ""};
  rig.disk->set_aside([&](Status status) { aside = std::move(status); });
  rig.env.loop.run_ready();
  EXPECT_TRUE(aside);
  EXPECT_TRUE(std::filesystem::exists(path + ".damaged-1"));
  std::filesystem::remove_all(directory);
}

TEST(LevelDbBackend, SaysWhenAnotherAgentUsesIt) {
  const std::string directory = temp_directory();
  {
    Rig first(std::make_shared<LevelDbBackend>(directory + "/manager.db"));
    Rig second(std::make_shared<LevelDbBackend>(directory + "/manager.db"));
    ASSERT_FALSE(second.load_status);
    EXPECT_EQ(second.load_status.error().reason, "STATE_IN_USE")
        << second.load_status.error().message;
  }
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace skep::store
