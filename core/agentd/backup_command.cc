#include "core/agentd/backup_command.h"

#include <unistd.h>

#include <algorithm>
#include <map>

#include "core/agentd/address.h"
#include "core/agentd/data_key.h"
#include "core/agentd/identity.h"
#include "core/agentd/recovery_files.h"
#include "core/link/certificate.h"
#include "core/store/backup/backup_file.h"
#include "core/store/backup/backup_key.h"
#include "core/store/disk_state.h"
#include "core/store/sealed_backend.h"

namespace skep::agentd {
namespace {

using TakeRows = std::function<Status(std::vector<store::StoredRow>&)>;

struct Contents {
  store::v1::BackupHeader header;
  std::map<std::string, std::uint64_t> rows;  // by table
  std::uint64_t bytes = 0;
  SealerRef sealer;     // nullptr: the rows lie open, or
  bool opened = false;  // false: nobody gave the key that opens them
};

/// Whether rows are wanted whose key was not given.
enum class Locked { kMayStay, kMustOpen };

struct Source {
  Disk& disk;
  const std::string& path;
  const std::string& unlock_key;
};

Error damaged(const std::string& file, const std::string& what) {
  return Error{Code::kDataLoss, file + ": " + what + "; take another backup", "BACKUP_DAMAGED"};
}

Status open_rows(const Source& source, const Contents& contents,
                 std::vector<store::StoredRow>& rows) {
  for (auto& row : rows) {
    if (contents.sealer == nullptr) {
      return ok();
    }
    if (auto opened = store::unseal_row(*contents.sealer, row); !opened) {
      return damaged(source.path, opened.error().message);
    }
  }
  return ok();
}

/// Reads to the end; every batch of rows goes to `take` before the checksum is known to be right.
Result<Contents> read_backup(const Source& source, Locked locked, const TakeRows& take) {
  SKEP_TRY_ASSIGN(const auto file, source.disk.open(source.path, OpenMode::kRead));
  Contents contents;
  store::BackupReader reader(*file, source.path);
  SKEP_TRY_ASSIGN(contents.header, reader.header());
  SKEP_TRY_ASSIGN(contents.bytes, file->size());
  auto sealer = store::backup_sealer(contents.header, source.unlock_key);
  contents.opened = sealer.has_value();
  if (sealer) {
    contents.sealer = *std::move(sealer);
  } else if (locked == Locked::kMustOpen || sealer.error().reason != "BACKUP_LOCKED") {
    return std::move(sealer).error().with_context(source.path);
  }
  store::StateHash hash{};
  for (;;) {
    SKEP_TRY_ASSIGN(auto rows, reader.rows());
    if (rows.empty()) {
      break;
    }
    SKEP_TRY(open_rows(source, contents, rows));
    for (const auto& row : rows) {
      const auto name = store::table_name(static_cast<store::Table>(row.table));
      ++contents.rows[name.empty() ? "table " + std::to_string(row.table) : std::string(name)];
      store::add_digest(hash, store::digest_of(row));
    }
    SKEP_TRY(take(rows));
  }
  if (contents.opened && hash != store::hash_of(contents.header.mark())) {
    return damaged(source.path, "its objects are not those of the state it was made of");
  }
  return contents;
}

Status nothing(std::vector<store::StoredRow>& /*rows*/) {
  return ok();
}

/// Gathers the rows in `backend`; what was there goes.
Status load_into(const Source& source, const Contents& contents, store::StateBackend& backend,
                 store::LoadedState& loaded) {
  SKEP_TRY(backend.open());  // a state that is there takes another in its place
  SKEP_TRY(backend.begin_install());
  SKEP_TRY(read_backup(source, Locked::kMustOpen, [&backend](std::vector<store::StoredRow>& rows) {
    return backend.install(rows);
  }));
  SKEP_TRY_ASSIGN(loaded, backend.finish_install(contents.header.mark()));
  return ok();
}

std::string describe(const std::string& file, const Contents& contents) {
  const auto& header = contents.header;
  std::string text =
      "File:            " + file + " (" + std::to_string(contents.bytes) + " bytes)\n";
  text += "Swarm:           " + header.cluster_id() + "\n";
  text += "Made by node:    " + header.node_id() + " at " + header.advertise_address() + "\n";
  text += "Made at:         " + link::date_text(header.made_at()) + "\n";
  text += "Made by version: " + header.version() + " (format " + std::to_string(header.format()) +
          ", feature level " + std::to_string(header.feature_level()) + ")\n";
  text += "Log index:       " + std::to_string(header.mark().index()) + " (term " +
          std::to_string(header.mark().term()) + ")\n";
  if (header.incarnation() != 0) {
    text += "Incarnation:     " + std::to_string(header.incarnation()) + "\n";
  }
  if (!header.data_key().empty()) {
    text +=
        std::string("Sealed:          ") +
        (!header.locked() ? "with a key that the file holds (the swarm was not locked)"
         : contents.opened
             ? "locked; the key that was given opens it"
             : "locked: to be verified and restored with '--unlock' and the swarm's unlock key") +
        "\n";
  }
  text += "Objects:        ";
  for (const auto& [table, count] : contents.rows) {
    text += " " + std::to_string(count) + " " + table + (count == 1 ? "" : "s");
  }
  return text + "\n";
}

Status check_certificate(const std::string& certificate) {
  const auto digest = link::certificate_digest(certificate);
  return digest ? ok() : Status(digest.error());
}

/// What a swarm cannot do without.
Status check_state(const std::string& file, const Contents& contents, const store::Store& store) {
  const auto cluster = store.view().cluster();
  if (cluster == nullptr || cluster->id() != contents.header.cluster_id()) {
    return damaged(file, "it holds no swarm");
  }
  const model::v1::RootCa& root = cluster->root_ca();
  const Status pair = root.key().empty() ? check_certificate(root.certificate())
                                         : link::check_pair({root.certificate(), root.key()});
  if (!pair) {
    return damaged(file, "its root certificate is of no use: " + pair.error().message);
  }
  return ok();
}

std::string when_unlocked(bool locked) {
  return locked ? " and unlocked ('agentctl swarm unlock')" : "";
}

/// Nobody else works on this root while the lock lives.
Result<RootLock> take_root(const BackupWorld& world, const Paths& paths) {
  SKEP_TRY(world.disk.make_directories(paths.state_dir, 0711));
  SKEP_TRY(world.disk.make_directories(paths.run_dir, 0711));
  return RootLock::take(paths);
}

/// Who the one manager is, and where.
Result<agent::v1::SwarmMembership> restored_membership(const BackupWorld& world, const Paths& paths,
                                                       const RestoreOptions& options,
                                                       const store::v1::BackupHeader& header) {
  agent::v1::SwarmMembership membership;
  auto present = load_membership(paths, world.disk);
  if (present && *present && !(*present)->leaving()) {
    membership = **present;
    if (!options.replace) {
      return Error{
          Code::kFailedPrecondition,
          "this agent belongs to swarm '" + membership.cluster_id() +
              "': '--replace' throws away what it holds of it and keeps its tasks, 'agentctl swarm "
              "leave "
              "--force' (with agentd running) ends both, and another --root leaves it alone",
          "ALREADY_IN_SWARM"};
    }
    if (membership.cluster_id() != header.cluster_id()) {
      return Error{Code::kFailedPrecondition,
                   options.file + " is a backup of swarm '" + header.cluster_id() +
                       "', and this agent belongs to '" + membership.cluster_id() +
                       "': 'agentctl swarm leave --force' first, or use another --root",
                   "WRONG_CLUSTER"};
    }
  } else if (!present && !options.replace) {
    return std::move(present).error().with_context("'--replace' restores over it");
  }
  if (membership.node_id().empty()) {
    membership.set_node_id(header.node_id());
    membership.set_cluster_id(header.cluster_id());
    membership.set_advertise_address(header.advertise_address());
    membership.set_listen_address(header.listen_address());
  }
  membership.set_incarnation(std::max(membership.incarnation(), header.incarnation()));
  SKEP_TRY(choose_addresses(options.advertise_address, options.listen_address, membership));
  return recovered_membership(std::move(membership), world.random, world.clock.wall_now());
}

}  // namespace

Result<std::string> inspect_backup(const BackupWorld& world, const std::string& file,
                                   const std::string& unlock_key) {
  SKEP_TRY_ASSIGN(const Contents contents,
                  read_backup({world.disk, file, unlock_key}, Locked::kMayStay, nothing));
  return describe(file, contents);
}

Result<std::string> verify_backup(const BackupWorld& world, const std::string& file,
                                  const std::string& scratch_parent,
                                  const std::string& unlock_key) {
  const Source source{world.disk, file, unlock_key};
  SKEP_TRY_ASSIGN(const Contents contents, read_backup(source, Locked::kMustOpen, nothing));
  const std::string scratch =
      scratch_parent + "/skep-verify-" + std::to_string(world.random.next());
  SKEP_TRY(world.disk.make_directories(scratch, 0700));
  auto verified = [&]() -> Result<std::string> {
    const auto backend = sealed_state(scratch + "/state", contents.sealer, world.random);
    store::LoadedState loaded;
    SKEP_TRY(load_into(source, contents, *backend, loaded));
    store::Store store;
    store.load(loaded.mark.index(), loaded.mark.term(), loaded.rows);
    if (store.state_hash() != store::hash_of(contents.header.mark())) {
      return damaged(file, "the state made of it is not the one it was made of");
    }
    SKEP_TRY(check_state(file, contents, store));
    return describe(file, contents) +
           "The backup is good: it was loaded whole, and can be restored.\n";
  }();
  SKEP_TRY(world.disk.remove_tree(scratch));
  return verified;
}

Result<std::string> restore_backup(const BackupWorld& world, const Paths& paths,
                                   const RestoreOptions& options) {
  SKEP_TRY_ASSIGN(const auto lock, take_root(world, paths));
  const Source source{world.disk, options.file, options.unlock_key};
  SKEP_TRY_ASSIGN(const Contents contents, read_backup(source, Locked::kMustOpen, nothing));
  SKEP_TRY_ASSIGN(const auto membership,
                  restored_membership(world, paths, options, contents.header));
  // A membership without it would be a lost file.
  SKEP_TRY(installation_id(paths, world.disk, world.random));
  SKEP_TRY(remove_recovered(paths));
  // A backup of an unsealed state gets a data key now.
  const SealerRef sealer = contents.sealer ? contents.sealer : base::Sealer::make_new(world.random);
  model::v1::Cluster cluster;
  {
    const auto backend = sealed_state(recovered_path(paths), sealer, world.random);
    store::LoadedState loaded;
    SKEP_TRY(load_into(source, contents, *backend, loaded));
    store::Store store;
    store.load(loaded.mark.index(), loaded.mark.term(), loaded.rows);
    SKEP_TRY(check_state(options.file, contents, store));
    cluster = *store.view().cluster();
  }
  SKEP_TRY(rewrite_recovered(*sealed_state(recovered_path(paths), sealer, world.random), membership,
                             world.clock.wall_now()));
  SKEP_TRY(world.disk.sync_directory(paths.state_dir));
  SKEP_TRY(DataKey(paths, world.disk, world.random)
               .take(sealer->key(), cluster.unlock_key(), cluster.meta().version()));
  SKEP_TRY(save_membership(paths, world.disk, membership));
  return "The swarm '" + membership.cluster_id() + "' is restored as of " +
         link::date_text(contents.header.made_at()) + ".\nThis node (" + membership.node_id() +
         ") is its one manager, at " + membership.advertise_address() +
         ", as soon as agentd is started" + when_unlocked(!cluster.unlock_key().empty()) +
         ".\nOther nodes come back by themselves when they reach that address; former managers "
         "come back as "
         "workers.\n";
}

Result<std::string> force_at_start(const BackupWorld& world, const Paths& paths,
                                   const std::string& advertise_address,
                                   const std::string& listen_address) {
  SKEP_TRY_ASSIGN(const auto lock, take_root(world, paths));
  SKEP_TRY_ASSIGN(auto membership, load_membership(paths, world.disk));
  SKEP_TRY(may_recover(membership));
  agent::v1::SwarmMembership checked = *membership;  // an address that is wrong is told now
  SKEP_TRY(choose_addresses(advertise_address, listen_address, checked));
  auto& wish = *membership->mutable_recover_at_start();
  wish.set_force_new_cluster(true);
  wish.set_advertise_address(advertise_address);
  wish.set_listen_address(listen_address);
  SKEP_TRY(save_membership(paths, world.disk, *membership));
  DataKey key(paths, world.disk, world.random);
  const bool locked = key.open() && key.locked();
  return "This node (" + membership->node_id() +
         ") makes the swarm anew, with itself as its one manager, as soon as "
         "agentd is started" +
         when_unlocked(locked) + ".\nOther nodes come back by themselves when they reach " +
         checked.advertise_address() +
         "; former managers come back as workers, and what only they knew is thrown "
         "away.\n";
}

}  // namespace skep::agentd
