// A state from another manager takes the place of the present one, whole or not at all.

#include <gtest/gtest.h>

#include <filesystem>

#include "core/store/disk_state.h"
#include "core/store/leveldb_backend.h"
#include "core/store/memory_backend.h"
#include "core/store/transaction.h"
#include "skep/testing/manual_env.h"

namespace skep::store {
namespace {

using model::v1::Service;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

struct Side {
  explicit Side(std::shared_ptr<StateBackend> b) : backend(std::move(b)) { open(); }
  void open() {
    disk.reset();
    store = std::make_unique<Store>();
    disk = std::make_unique<DiskState>(env.env, backend, DiskState::Options{},
                                       DiskState::Handlers{[this](auto index, auto) { told += " synced " + std::to_string(index); },
                                                           [](const auto&) {}});
    Status loaded = Error{Code::kInternal, "no answer"};
    disk->load(*store, [&](Status status) { loaded = std::move(status); });
    env.loop.run_ready();
    ASSERT_TRUE(loaded) << loaded.error().message;
  }
  void put(const std::string& id, const std::string& name) {
    Transaction transaction;
    Service service;
    if (const auto known = store->view().get<Service>(id)) {
      service = *known;
    }
    service.set_id(id);
    service.mutable_spec()->set_name(name);
    transaction.put(service);
    ASSERT_TRUE(store->apply(store->applied_index() + 1, 1, *transaction.encode("p", 1)));
    env.loop.run_ready();
  }
  Status finish(v1::AppliedMark mark) {
    Status status = Error{Code::kInternal, "no answer"};
    disk->finish_install(std::move(mark), [&](Status answer) {
      status = std::move(answer);
      told = "answered";
    });
    env.loop.run_ready();
    return status;
  }

  testing::ManualEnv env;
  std::shared_ptr<StateBackend> backend;
  std::unique_ptr<Store> store;
  std::unique_ptr<DiskState> disk;
  std::string told;
};

/// Copies the state of one side to the other, row after row; the mark of it.
v1::AppliedMark copy(Side& from, Side& to) {
  DiskState::Cursor cursor;
  from.disk->snapshot(from.store->applied_index(), [&](Result<DiskState::Cursor> answer) {
    ASSERT_TRUE(answer);
    cursor = *answer;
  });
  from.env.loop.run_ready();
  EXPECT_NE(cursor, nullptr);
  from.put("later", "not in the snapshot");
  to.disk->begin_install([](const Status& status) { EXPECT_TRUE(status); });
  for (bool more = true; more;) {
    from.disk->read(cursor, 100, [&](Result<std::vector<StoredRow>> rows) {
      ASSERT_TRUE(rows);
      more = !rows->empty();
      to.disk->install(*std::move(rows), [](const Status& status) { EXPECT_TRUE(status); });
    });
    from.env.loop.run_ready();
    to.env.loop.run_ready();
  }
  return cursor->mark();
}

class Install : public ::testing::TestWithParam<bool> {
 protected:
  Install() {
    std::string pattern = (fs::temp_directory_path() / "skep-install-XXXXXX").string();
    directory_ = ::mkdtemp(pattern.data());
  }
  ~Install() override { fs::remove_all(directory_); }
  std::shared_ptr<StateBackend> backend(const std::string& name) {
    if (GetParam()) {
      return std::make_shared<LevelDbBackend>(path(name));
    }
    return std::make_shared<MemoryBackend>();
  }
  std::string path(const std::string& name) const { return directory_ + "/" + name; }

 private:
  std::string directory_;
};

TEST_P(Install, ReplacesTheWholeState) {
  Side from(backend("from"));
  Side to(backend("to"));
  for (int i = 0; i < 50; ++i) {
    from.put("s" + std::to_string(i), "name" + std::to_string(i));
  }
  const auto hash = from.store->state_hash();
  const auto index = from.store->applied_index();
  to.put("stale", "goes away");
  const auto mark = copy(from, to);
  ASSERT_EQ(mark.index(), index);
  ASSERT_TRUE(to.finish(mark));
  EXPECT_EQ(to.store->state_hash(), hash);
  EXPECT_EQ(to.store->applied_index(), index);
  EXPECT_EQ(to.store->view().get<Service>("stale"), nullptr);
  EXPECT_EQ(to.store->view().get<Service>("later"), nullptr);
  EXPECT_EQ(to.disk->synced_index(), index);
  EXPECT_EQ(to.told, "answered synced " + std::to_string(index)) << "what the log holds below may go";
  to.put("next", "goes on");
  to.disk->close([](const Status& status) { EXPECT_TRUE(status); });
  to.env.loop.run_ready();
  const auto after = to.store->state_hash();
  to.open();
  EXPECT_EQ(to.store->state_hash(), after);
  EXPECT_NE(to.store->view().get<Service>("next"), nullptr);
}

TEST_P(Install, WhoWaitsForAStateGetsTheOneThatWasInstalled) {
  Side from(backend("from"));
  Side to(backend("to"));
  from.put("s1", "one");
  from.put("s2", "two");
  bool given = false;
  to.disk->snapshot(2, [&](const auto& cursor) { given = cursor.has_value(); });
  ASSERT_TRUE(to.finish(copy(from, to)));
  EXPECT_TRUE(given) << "nothing may be written for a long time";
}

TEST_P(Install, WhatIsNotFinishedChangesNothing) {
  Side from(backend("from"));
  Side to(backend("to"));
  from.put("s1", "one");
  to.put("own", "stays");
  copy(from, to);
  to.disk->close([](const Status& status) { EXPECT_TRUE(status); });
  to.env.loop.run_ready();
  to.open();
  EXPECT_NE(to.store->view().get<Service>("own"), nullptr);
  EXPECT_EQ(to.store->view().get<Service>("s1"), nullptr);
}

TEST_P(Install, AStateThatIsNotWhatItsMarkSaysIsRefused) {
  Side from(backend("from"));
  Side to(backend("to"));
  from.put("s1", "one");
  auto mark = copy(from, to);
  mark.set_state_hash_0(mark.state_hash_0() + 1);
  const auto status = to.finish(mark);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Code::kDataLoss);
}

INSTANTIATE_TEST_SUITE_P(Backends, Install, ::testing::Bool());

TEST(LevelDbInstall, ASwapThatACrashInterruptedGoesOnOrBack) {
  std::string pattern = (fs::temp_directory_path() / "skep-install-XXXXXX").string();
  const std::string directory = ::mkdtemp(pattern.data());
  const std::string present = directory + "/manager.db";
  const auto named = [&](const std::string& at, const std::string& id) {
    Side side(std::make_shared<LevelDbBackend>(at));
    side.put(id, id);
    side.disk->close([](const Status&) {});
    side.env.loop.run_ready();
  };
  const auto holds = [&](const std::string& id) {
    Side side(std::make_shared<LevelDbBackend>(present));
    return side.store->view().get<Service>(id) != nullptr;
  };
  named(present, "a");
  named(directory + "/b", "b");
  fs::rename(directory + "/b", present + ".incoming");
  EXPECT_TRUE(holds("a")) << "not swapped: it may be incomplete";
  EXPECT_FALSE(fs::exists(present + ".incoming"));
  named(directory + "/b", "b");
  fs::rename(directory + "/b", present + ".incoming");
  fs::rename(present, present + ".old");
  EXPECT_TRUE(holds("b")) << "half way: goes on";
  EXPECT_FALSE(fs::exists(present + ".old"));
  fs::rename(present, present + ".old");
  EXPECT_TRUE(holds("b")) << "nothing else there: goes back";
  fs::remove_all(directory);
}

}  // namespace
}  // namespace skep::store
