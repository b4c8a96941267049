#include "core/store/sealed_backend.h"

#include <gtest/gtest.h>

#include "core/store/disk_state.h"
#include "core/store/memory_backend.h"
#include "core/store/transaction.h"
#include "skep/testing/manual_env.h"

namespace skep::store {
namespace {

using model::v1::Service;

constexpr const char* kSecret = "nobody-may-read-this-name";

class SealedState : public ::testing::Test {
 protected:
  /// A state with one service, written through a DiskState.
  Status run(const std::shared_ptr<StateBackend>& backend, bool write) {
    store = std::make_unique<Store>();
    DiskState disk(env.env, backend, {}, {[](auto, auto) {}, [](const auto&) {}});
    Status loaded = Error{Code::kInternal, "no answer"};
    disk.load(*store, [&](Status status) { loaded = std::move(status); });
    env.loop.run_ready();
    if (loaded && write) {
      Transaction transaction;
      for (const char* id : {"s1", "s2"}) {
        Service service;
        service.set_id(id);
        service.mutable_spec()->set_name(std::string(kSecret) + id);
        transaction.put(service);
      }
      EXPECT_TRUE(store->apply(store->applied_index() + 1, 1, *transaction.encode("p", 1)));
      env.loop.run_ready();
    }
    disk.close([](const Status&) {});
    env.loop.run_ready();
    return loaded;
  }
  std::shared_ptr<SealedBackend> sealed(const std::shared_ptr<const base::Sealer>& with) {
    return std::make_shared<SealedBackend>(inner, with, random);
  }

  testing::ManualEnv env;
  testing::SeededRandom random{1};
  std::shared_ptr<MemoryBackend> inner = std::make_shared<MemoryBackend>();
  const std::shared_ptr<const base::Sealer> key = base::Sealer::make_new(random);
  std::unique_ptr<Store> store;
};

TEST_F(SealedState, IsReadBackButNotOnTheDisk) {
  ASSERT_TRUE(run(sealed(key), true));
  const auto hash = store->state_hash();
  const auto raw = inner->open();
  ASSERT_TRUE(raw);
  ASSERT_EQ(raw->rows.size(), 2U);
  for (const auto& row : raw->rows) {
    EXPECT_TRUE(base::looks_sealed(row.object.object()));
    EXPECT_EQ(row.object.SerializeAsString().find(kSecret), std::string::npos);
  }
  const auto status = run(sealed(key), false);
  ASSERT_TRUE(status) << status.error().message;
  EXPECT_EQ(store->state_hash(), hash);
  EXPECT_EQ(store->view().get<Service>("s2")->spec().name(), std::string(kSecret) + "s2");
}

TEST_F(SealedState, AWrongKeyIsNoDamage) {
  ASSERT_TRUE(run(sealed(key), true));
  const auto status = run(sealed(base::Sealer::make_new(random)), false);
  ASSERT_FALSE(status);
  // kDataLoss would have the state set aside.
  EXPECT_EQ(status.error().code, Code::kFailedPrecondition);
  EXPECT_EQ(status.error().reason, "WRONG_SEAL_KEY");
  EXPECT_NE(status.error().message.find("row 3/s1"), std::string::npos) << status.error().message;
}

TEST_F(SealedState, RowsCannotBeSwappedOrChanged) {
  ASSERT_TRUE(run(sealed(key), true));
  auto raw = inner->open();
  ASSERT_TRUE(raw);
  StateBatch batch;
  batch.mark = raw->mark;
  batch.rows[{3, "s1"}] = raw->rows[1].object;
  batch.rows[{3, "s2"}] = raw->rows[0].object;
  ASSERT_TRUE(inner->write(batch));
  auto status = run(sealed(key), false);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Code::kDataLoss);
  EXPECT_EQ(status.error().reason, "STATE_DAMAGED");
}

TEST_F(SealedState, IsTransferredPlainAndInstalledSealed) {
  ASSERT_TRUE(run(sealed(key), true));
  const auto source = sealed(key);
  ASSERT_TRUE(source->open());
  auto cursor = source->snapshot();
  ASSERT_TRUE(cursor);
  const auto rows = (*cursor)->read(1 << 20);
  ASSERT_TRUE(rows);
  EXPECT_NE(rows->front().object.object().find(kSecret), std::string::npos);
  auto target = std::make_shared<MemoryBackend>();
  SealedBackend other(target, key, random);
  ASSERT_TRUE(other.open());
  ASSERT_TRUE(other.begin_install());
  ASSERT_TRUE(other.install(*rows));
  const auto loaded = other.finish_install((*cursor)->mark());
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(loaded->rows.size(), 2U);
  EXPECT_TRUE(base::looks_sealed(target->open()->rows[0].object.object()));
}

}  // namespace
}  // namespace skep::store
