#include "core/agentd/backup_command.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>

#include "core/agentd/data_key.h"
#include "core/agentd/identity.h"
#include "core/agentd/recovery_files.h"
#include "core/base/unlock_key.h"
#include "core/control/ca/ca.h"
#include "core/store/backup/backup_file.h"
#include "core/store/backup/backup_key.h"
#include "core/store/disk_state.h"
#include "core/store/sealed_backend.h"
#include "skep/posix_env.h"
#include "skep/testing/manual_env.h"

namespace skep::agentd {
namespace {

namespace fs = std::filesystem;

class BackupCommand : public ::testing::Test {
 protected:
  BackupCommand() : directory_(make_directory()), paths_(directory_ + "/root") {
    file_ = directory_ + "/backup";
    write(file_, "c1");
  }
  ~BackupCommand() override { fs::remove_all(directory_); }
  static std::string make_directory() {
    std::string name = fs::temp_directory_path().string() + "/skep-backup-XXXXXX";
    EXPECT_NE(::mkdtemp(name.data()), nullptr);
    return name;
  }

  /// A backup of a swarm with the managers n1 and n2, and a service.
  /// Sealed by `sealer`, unless it is nullptr; locked with `unlock_key`, unless that is empty.
  void write(const std::string& path, const std::string& cluster_id,
             const SealerRef& sealer = nullptr, const std::string& unlock_key = "") {
    std::vector<store::StoredRow> rows;
    const auto put = [&rows](store::Table table, const auto& object) {
      store::StoredRow row;
      row.table = static_cast<std::uint32_t>(table);
      row.id = object.id();
      row.object.set_version(7);
      row.object.set_object(object.SerializeAsString());
      rows.push_back(row);
    };
    model::v1::Cluster cluster;
    cluster.set_id(cluster_id);
    cluster.set_unlock_key(unlock_key);
    *cluster.mutable_root_ca() = *control::new_root_ca(random_, clock_.wall_now());
    put(store::Table::kCluster, cluster);
    for (const char* id : {"n1", "n2"}) {
      model::v1::Node node;
      node.set_id(id);
      node.mutable_spec()->set_role(model::v1::NODE_ROLE_MANAGER);
      put(store::Table::kNode, node);
    }
    model::v1::Service service;
    service.set_id("s1");
    put(store::Table::kService, service);
    store::StateHash hash{};
    for (const auto& row : rows) {
      store::add_digest(hash, store::digest_of(row));
    }
    store::v1::BackupHeader header;
    header.set_cluster_id(cluster_id);
    header.set_node_id("n1");
    header.set_advertise_address("10.0.0.1:2377");
    header.set_listen_address("0.0.0.0:2377");
    header.mutable_mark()->set_index(70);
    header.mutable_mark()->set_term(3);
    header.mutable_mark()->set_state_hash_0(hash[0]);
    header.mutable_mark()->set_state_hash_1(hash[1]);
    if (sealer != nullptr) {
      ASSERT_TRUE(store::put_data_key(header, *sealer, unlock_key, random_));
      for (auto& row : rows) {
        store::seal_row(*sealer, row, random_);
      }
    }
    store::BackupWriter writer;
    std::string bytes = writer.header(header);
    bytes += writer.rows(rows);
    ASSERT_TRUE(disk_.write_file_atomic(path, bytes + writer.end(), 0600));
  }
  std::string restore(bool replace = false, const std::string& unlock_key = "") {
    RestoreOptions options;
    options.file = file_;
    options.unlock_key = unlock_key;
    options.replace = replace;
    const auto said = restore_backup(world_, paths_, options);
    return said ? "restored" : said.error().reason + ": " + said.error().message;
  }
  agent::v1::SwarmMembership membership() {
    const auto loaded = load_membership(paths_, disk_);
    EXPECT_TRUE(loaded && *loaded);
    return loaded && *loaded ? **loaded : agent::v1::SwarmMembership();
  }

  /// manager.db as the data key of this root opens it.
  Result<store::LoadedState> state(const std::string& unlock_key = "") {
    DataKey key(paths_, disk_, random_);
    SKEP_TRY(key.open());
    if (key.locked()) {
      SKEP_TRY(key.unlock(unlock_key));
    }
    return sealed_state(paths_.state_dir + "/manager.db", key.sealer(), random_)->open();
  }
  /// That nothing of a swarm came to be.
  void expect_nothing() {
    const auto loaded = load_membership(paths_, disk_);
    EXPECT_TRUE(loaded && !*loaded);
    EXPECT_FALSE(disk_.exists(recovered_path(paths_)));
    EXPECT_FALSE(disk_.exists(paths_.state_dir + "/data.key"));
  }

  const std::string directory_;
  const Paths paths_;
  std::string file_;
  PosixDisk disk_;
  PosixRandom random_;
  PosixClock clock_;
  const BackupWorld world_{disk_, random_, clock_};
};

TEST_F(BackupCommand, SaysWhatIsInItAndLoadsItReally) {
  const auto inspected = inspect_backup(world_, file_, "");
  ASSERT_TRUE(inspected) << inspected.error().message;
  for (const char* words :
       {"c1", "n1 at 10.0.0.1:2377", "70 (term 3)", "1 cluster", "2 nodes", "1 service"}) {
    EXPECT_NE(inspected->find(words), std::string::npos) << words << " in\n" << *inspected;
  }
  const auto verified = verify_backup(world_, file_, directory_, "");
  ASSERT_TRUE(verified) << verified.error().message;
  EXPECT_NE(verified->find("The backup is good"), std::string::npos);
  EXPECT_EQ(std::distance(fs::directory_iterator(directory_), {}), 1) << "no scratch is left";
}

TEST_F(BackupCommand, RestoresANewIncarnationWithOneManager) {
  ASSERT_EQ(restore(), "restored");
  const auto restored = membership();
  EXPECT_EQ(restored.cluster_id(), "c1");
  EXPECT_EQ(restored.node_id(), "n1");
  EXPECT_EQ(restored.advertise_address(), "10.0.0.1:2377");
  EXPECT_TRUE(restored.manager() && restored.recovering() && !restored.bootstrapped());
  EXPECT_GT(restored.incarnation(), 0U);
  EXPECT_NE(restored.member_id(), 0U);
  ASSERT_TRUE(put_recovered_in_place(paths_, disk_));
  ASSERT_TRUE(put_recovered_in_place(paths_, disk_)) << "again after a crash";
  const auto loaded = state();
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(loaded->mark.index(), 70 + control::kIncarnationIndexGap);
  store::Store store;
  store.load(loaded->mark.index(), loaded->mark.term(), loaded->rows);
  EXPECT_EQ(store.state_hash(), store::hash_of(loaded->mark));
  EXPECT_EQ(store.view().get<model::v1::Node>("n1")->spec().role(), model::v1::NODE_ROLE_MANAGER);
  EXPECT_EQ(store.view().get<model::v1::Node>("n2")->spec().role(), model::v1::NODE_ROLE_WORKER);
  EXPECT_NE(store.view().get<model::v1::Service>("s1"), nullptr);
}

TEST_F(BackupCommand, NeverOverwritesALivingSwarmUnasked) {
  ASSERT_EQ(restore(), "restored");
  const auto first = membership();
  EXPECT_EQ(restore().substr(0, 16), "ALREADY_IN_SWARM");
  ASSERT_EQ(restore(/*replace=*/true), "restored");
  EXPECT_GT(membership().incarnation(), first.incarnation());
  write(file_, "c2");
  EXPECT_EQ(restore(/*replace=*/true).substr(0, 13), "WRONG_CLUSTER");
  EXPECT_EQ(membership().cluster_id(), "c1");
  const auto running = RootLock::take(paths_);
  ASSERT_TRUE(running);
  EXPECT_EQ(restore(/*replace=*/true).substr(0, 11), "ROOT_IN_USE");
}

TEST_F(BackupCommand, ADamagedFileChangesNothing) {
  const std::string whole = *disk_.read_file(file_);
  testing::MemoryDisk memory;
  const auto refused = [&](const std::string& bytes) {
    EXPECT_TRUE(memory.write_file_atomic("/backup", bytes, 0600));
    const auto inspected = inspect_backup({memory, random_, clock_}, "/backup", "");
    return inspected ? "accepted" : inspected.error().reason;
  };
  for (std::size_t size = 0; size < whole.size(); ++size) {
    ASSERT_EQ(refused(whole.substr(0, size)), size < 8 ? "NOT_A_BACKUP" : "BACKUP_DAMAGED") << size;
  }
  for (std::size_t at = 0; at < whole.size(); ++at) {
    std::string bytes = whole;
    bytes[at] = static_cast<char>(bytes[at] ^ (1 << (at % 8)));
    const std::string reason = refused(bytes);
    ASSERT_TRUE(reason == "BACKUP_DAMAGED" || (reason == "NOT_A_BACKUP" && at < 8) ||
                reason == "BACKUP_FORMAT")
        << at << ": " << reason;
  }
  ASSERT_EQ(refused(whole + "more"), "BACKUP_DAMAGED");
  std::string flipped = whole;
  flipped[whole.size() / 2] = static_cast<char>(flipped[whole.size() / 2] ^ 4);
  ASSERT_TRUE(disk_.write_file_atomic(file_, flipped, 0600));
  EXPECT_EQ(restore().substr(0, 14), "BACKUP_DAMAGED");
  EXPECT_EQ(verify_backup(world_, file_, directory_, "").error().reason, "BACKUP_DAMAGED");
  expect_nothing();
  // The way out: the file from elsewhere.
  ASSERT_TRUE(disk_.write_file_atomic(file_, whole, 0600));
  EXPECT_EQ(restore(), "restored");
}

TEST_F(BackupCommand, ASealedBackupOpensWithTheKeyItHolds) {
  const auto sealer = base::Sealer::make_new(random_);
  write(file_, "c1", sealer);
  EXPECT_NE(inspect_backup(world_, file_, "")->find("not locked"), std::string::npos);
  ASSERT_TRUE(verify_backup(world_, file_, directory_, ""));
  ASSERT_EQ(restore(), "restored");
  ASSERT_TRUE(put_recovered_in_place(paths_, disk_));
  DataKey key(paths_, disk_, random_);
  ASSERT_TRUE(key.open());
  EXPECT_EQ(key.sealer()->key(), sealer->key()) << "node.key of this root stays of use";
  const auto loaded = state();
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(loaded->rows.size(), 4U);
}

TEST_F(BackupCommand, ALockedBackupOpensWithTheUnlockKeyOnly) {
  const std::string unlock_key = base::new_unlock_key(random_);
  const auto sealer = base::Sealer::make_new(random_);
  write(file_, "c1", sealer, unlock_key);
  const std::string bytes = *disk_.read_file(file_);
  EXPECT_EQ(bytes.find("BEGIN"), std::string::npos) << "no key lies open";
  EXPECT_EQ(bytes.find(sealer->key()), std::string::npos);
  const auto inspected = inspect_backup(world_, file_, "");
  ASSERT_TRUE(inspected) << inspected.error().message;
  EXPECT_NE(inspected->find("locked: to be verified"), std::string::npos) << *inspected;
  EXPECT_NE(inspected->find("2 nodes"), std::string::npos) << *inspected;
  EXPECT_NE(inspect_backup(world_, file_, unlock_key)->find("opens it"), std::string::npos);
  EXPECT_EQ(verify_backup(world_, file_, directory_, "").error().reason, "BACKUP_LOCKED");
  EXPECT_TRUE(verify_backup(world_, file_, directory_, unlock_key));
  EXPECT_EQ(restore().substr(0, 13), "BACKUP_LOCKED");
  EXPECT_EQ(restore(false, base::new_unlock_key(random_)).substr(0, 16), "WRONG_UNLOCK_KEY");
  EXPECT_EQ(restore(false, "SWMKEY-1-short").substr(0, 14), "BAD_UNLOCK_KEY");
  expect_nothing();
  ASSERT_EQ(restore(false, unlock_key + "\n"), "restored");
  ASSERT_TRUE(put_recovered_in_place(paths_, disk_));
  DataKey key(paths_, disk_, random_);
  ASSERT_TRUE(key.open());
  EXPECT_TRUE(key.locked()) << "as it was";
  const auto loaded = state(unlock_key);
  ASSERT_TRUE(loaded) << loaded.error().message;
}

TEST_F(BackupCommand, ForceNewClusterWithoutAnAgentIsLeftToTheNextStart) {
  const auto force = [&](const std::string& advertise) {
    const auto said = force_at_start(world_, paths_, advertise, "");
    return said ? *said : said.error().reason;
  };
  EXPECT_EQ(force(""), "NOT_IN_SWARM");
  ASSERT_EQ(restore(), "restored");
  auto worker = membership();
  worker.set_manager(false);
  ASSERT_TRUE(save_membership(paths_, disk_, worker));
  EXPECT_EQ(force(""), "NOT_A_MANAGER");
  worker.set_manager(true);
  ASSERT_TRUE(save_membership(paths_, disk_, worker));
  EXPECT_NE(force("no-such-interface"), "");
  EXPECT_FALSE(membership().has_recover_at_start()) << "an address that is none is told at once";
  const std::string said = force("127.0.0.1");
  EXPECT_NE(said.find("as soon as agentd is started"), std::string::npos) << said;
  EXPECT_EQ(said.find("unlocked"), std::string::npos) << said;
  EXPECT_EQ(membership().recover_at_start().advertise_address(), "127.0.0.1");
  EXPECT_FALSE(recovered_membership(membership(), random_, 0).has_recover_at_start());
  auto before = membership();
  before.set_log_made(true);
  EXPECT_FALSE(recovered_membership(before, random_, 0).log_made()) << "the new member has no log yet";
  const auto running = RootLock::take(paths_);
  ASSERT_TRUE(running);
  EXPECT_EQ(force(""), "ROOT_IN_USE");
}

}  // namespace
}  // namespace skep::agentd
