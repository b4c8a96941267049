#include "core/agentd/data_key.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/agentd/credentials.h"
#include "core/base/unlock_key.h"
#include "skep/testing/manual_env.h"

namespace skep::agentd {
namespace {

using ::testing::HasSubstr;

class DataKeys : public ::testing::Test {
 protected:
  DataKeys() { EXPECT_TRUE(disk.make_directories(paths.state_dir, 0700)); }
  std::string at(const std::string& name) const { return paths.state_dir + "/" + name; }
  /// As after a restart.
  DataKey reopened() {
    DataKey key(paths, disk, random);
    const auto status = key.open();
    EXPECT_TRUE(status) << status.error().message;
    return key;
  }
  bool on_disk(const std::string& text) {
    for (const char* name :
         {"data.key", "data.key.copy", "local.key", "local.key.copy", "node.key"}) {
      if (disk.exists(at(name)) && disk.content(at(name)).find(text) != std::string::npos) {
        return true;
      }
    }
    return false;
  }

  testing::MemoryDisk disk;
  testing::SeededRandom random{1};
  const Paths paths{"/r"};
};

TEST_F(DataKeys, OpensByItselfWhenTheSwarmIsNotLocked) {
  DataKey made(paths, disk, random);
  ASSERT_TRUE(made.make(""));
  const std::string key = made.sealer()->key();
  EXPECT_FALSE(on_disk(key));
  const DataKey again = reopened();
  EXPECT_FALSE(again.locked());
  EXPECT_EQ(again.sealer()->key(), key);
}

TEST_F(DataKeys, NeedsTheUnlockKeyWhenTheSwarmIsLocked) {
  const std::string unlock_key = base::new_unlock_key(random);
  DataKey made(paths, disk, random);
  ASSERT_TRUE(made.make(unlock_key));
  EXPECT_FALSE(disk.exists(at("local.key")));
  EXPECT_FALSE(disk.exists(at("local.key.copy")));
  EXPECT_FALSE(on_disk(made.sealer()->key()));
  DataKey again = reopened();
  EXPECT_TRUE(again.locked());
  EXPECT_EQ(again.sealer(), nullptr);
  EXPECT_EQ(again.unlock("SWMKEY-1-short").error().reason, "BAD_UNLOCK_KEY");
  const auto wrong = again.unlock(base::new_unlock_key(random));
  EXPECT_EQ(wrong.error().reason, "WRONG_UNLOCK_KEY");
  EXPECT_THAT(wrong.error().message,
              HasSubstr("swarm could not be unlocked: invalid key provided"));
  EXPECT_TRUE(again.locked());
  ASSERT_TRUE(again.unlock(unlock_key + "\n"));
  EXPECT_EQ(again.sealer()->key(), made.sealer()->key());
}

TEST_F(DataKeys, AManagerThatWasAwayDuringARotationTakesTheKeyItKnew) {
  const std::string before = base::new_unlock_key(random);
  const std::string after = base::new_unlock_key(random);
  DataKey made(paths, disk, random);
  ASSERT_TRUE(made.make(before));
  DataKey away = reopened();
  EXPECT_EQ(away.unlock(after).error().reason, "WRONG_UNLOCK_KEY");
  ASSERT_TRUE(away.unlock(before));
  ASSERT_TRUE(away.wrap(after, 7));  // as its store tells it, once it runs
  DataKey later = reopened();
  EXPECT_FALSE(later.unlock(before));
  ASSERT_TRUE(later.unlock(after));
  ASSERT_TRUE(later.wrap("", 9));  // autolock off
  EXPECT_EQ(reopened().sealer()->key(), made.sealer()->key());
  DataKey locked_again = reopened();
  ASSERT_TRUE(locked_again.wrap(before, 12));
  EXPECT_FALSE(disk.exists(at("local.key")));
  EXPECT_TRUE(reopened().locked());
  // A log that is replayed tells what was wanted long ago.
  DataKey replaying = reopened();
  ASSERT_TRUE(replaying.unlock(before));
  ASSERT_TRUE(replaying.wrap("", 9));
  EXPECT_TRUE(reopened().locked());
}

TEST_F(DataKeys, AManagerThatJoinedIsNotMisledByTheLogFromBefore) {
  const std::string unlock_key = base::new_unlock_key(random);
  const std::string given = base::Sealer::make_new(random)->key();
  DataKey key(paths, disk, random);
  ASSERT_TRUE(key.take(given, unlock_key, 12));
  ASSERT_TRUE(key.wrap("", 3));
  ASSERT_TRUE(key.wrap(base::new_unlock_key(random), 5));
  DataKey again = reopened();
  EXPECT_TRUE(again.locked());
  ASSERT_TRUE(again.unlock(unlock_key));
  EXPECT_EQ(again.sealer()->key(), given);
}

TEST_F(DataKeys, LostAndDamagedFilesSayTheWayOut) {
  DataKey made(paths, disk, random);
  ASSERT_TRUE(made.make(""));
  const auto complaint = [this] {
    DataKey key(paths, disk, random);
    const auto status = key.open();
    return status ? std::string("opened") : status.error().reason + ": " + status.error().message;
  };
  for (const std::string name : {"data.key", "local.key"}) {
    const std::string whole = disk.content(at(name));
    ASSERT_TRUE(disk.remove(at(name)));
    EXPECT_EQ(complaint(), "opened") << "the copy heals it";
    ASSERT_TRUE(disk.write_file_atomic(at(name), "junk", 0600));
    ASSERT_TRUE(disk.write_file_atomic(at(name) + ".copy", "junk", 0600));
    EXPECT_THAT(complaint(), HasSubstr("DAMAGED_FILE"));
    EXPECT_THAT(complaint(), HasSubstr("restore the file from a backup"));
    ASSERT_TRUE(disk.remove(at(name)));
    ASSERT_TRUE(disk.remove(at(name) + ".copy"));
    EXPECT_THAT(complaint(), HasSubstr(name));
    ASSERT_TRUE(disk.write_file_atomic(at(name), whole, 0600));
  }
  // The local key of another machine.
  const std::string kept = disk.content(at("data.key"));
  DataKey other(paths, disk, random);
  ASSERT_TRUE(other.forget());
  ASSERT_TRUE(other.make(""));
  ASSERT_TRUE(disk.write_file_atomic(at("data.key"), kept, 0600));
  EXPECT_THAT(complaint(), HasSubstr("does not open it"));
}

TEST_F(DataKeys, NothingOfItStaysOnAWorkerWhereverItsRemovalIsInterrupted) {
  const std::vector<std::string> rest{"local.key.tmp17", "data.key.tmp17"};
  for (const bool locked : {false, true}) {
    for (std::uint64_t call = 1;; ++call) {
      DataKey made(paths, disk, random);
      ASSERT_TRUE(made.make(locked ? base::new_unlock_key(random) : ""));
      for (const std::string& name : rest) {  // of writes that were interrupted
        ASSERT_TRUE(disk.write_file_atomic(at(name), "half", 0600));
      }
      ASSERT_TRUE(disk.write_file_atomic(at("node.key"), "not his", 0600));
      disk.fail_call(call, {Code::kUnavailable, "no"});
      const bool whole = static_cast<bool>(made.forget());
      disk.fail_call(0, {});
      DataKey again(paths, disk, random);
      if (!whole && again.present()) {
        ASSERT_TRUE(again.forget());
      }
      EXPECT_EQ(*disk.list_directory(paths.state_dir), std::vector<std::string>{"node.key"});
      EXPECT_FALSE(again.present());
      EXPECT_EQ(made.sealer(), nullptr);
      if (whole) {
        EXPECT_GT(call, locked ? 4U : 6U) << "every file was removed by a call";
        break;
      }
    }
  }
}

TEST_F(DataKeys, WhatWasRemovedDoesNotComeBackWithAPowerFailure) {
  DataKey made(paths, disk, random);
  ASSERT_TRUE(made.make(""));
  ASSERT_TRUE(made.forget());
  disk.crash(random);
  EXPECT_FALSE(DataKey(paths, disk, random).present());
}

TEST_F(DataKeys, TheNodesKeyIsSealedOnAManager) {
  const auto root = *link::make_root(1'800'000'000'000'000'000);
  const auto request = *link::make_request();
  link::Credentials credentials;
  credentials.roots = root.certificate;
  credentials.pair.key = request.key;
  credentials.pair.certificate =
      *link::sign_request(root, request.request, {"n1", link::Role::kManager, "c1"},
                          1'800'000'000'000'000'000, link::kCertificateLife);
  DataKey key(paths, disk, random);
  ASSERT_TRUE(key.make(""));
  ASSERT_TRUE(save_credentials(paths, disk, random, key.sealer().get(), credentials));
  EXPECT_FALSE(on_disk("PRIVATE KEY"));
  EXPECT_TRUE(node_key_sealed(paths, disk));
  auto loaded = load_credentials(paths, disk, key.sealer().get());
  ASSERT_TRUE(loaded && *loaded);
  EXPECT_EQ((*loaded)->pair.key, request.key);
  EXPECT_EQ(load_credentials(paths, disk, nullptr).error().reason, "DAMAGED_FILE");
  ASSERT_TRUE(key.forget());
  ASSERT_TRUE(key.make(""));
  loaded = load_credentials(paths, disk, key.sealer().get());
  ASSERT_FALSE(loaded);
  EXPECT_THAT(loaded.error().message, HasSubstr("was sealed with key"));
  // A worker's lies open, readable by root alone.
  ASSERT_TRUE(save_credentials(paths, disk, random, nullptr, credentials));
  EXPECT_TRUE(on_disk("PRIVATE KEY"));
  EXPECT_FALSE(node_key_sealed(paths, disk));
  EXPECT_TRUE(*load_credentials(paths, disk, nullptr));
}

}  // namespace
}  // namespace skep::agentd
