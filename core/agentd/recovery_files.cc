#include "core/agentd/recovery_files.h"

#include <filesystem>
#include <memory>

#include "core/agentd/address.h"
#include "core/link/tcp_socket.h"
#include "core/store/leveldb_backend.h"
#include "core/store/sealed_backend.h"
#include "skep/posix_env.h"

namespace skep::agentd {
namespace {

namespace fs = std::filesystem;

std::string state_path(const Paths& paths) {
  return paths.state_dir + "/manager.db";
}

Error failed(const std::string& path, const std::error_code& why) {
  return errno_error(why.value(), path);
}

}  // namespace

std::string recovered_path(const Paths& paths) {
  return state_path(paths) + ".recovered";
}

Status remove_recovered(const Paths& paths) {
  std::error_code failure;
  for (const char* suffix : {"", ".incoming", ".old"}) {
    if (const std::string path = recovered_path(paths) + suffix;
        fs::remove_all(path, failure), failure) {
      return failed(path, failure);
    }
  }
  return ok();
}

Status may_recover(const std::optional<agent::v1::SwarmMembership>& membership) {
  if (!membership || membership->leaving()) {
    return Error{Code::kFailedPrecondition,
                 "this node holds no state of a swarm: 'agentctl swarm init' without "
                 "--force-new-cluster makes a new "
                 "swarm, 'agentctl backup restore FILE' brings one back",
                 "NOT_IN_SWARM"};
  }
  if (!membership->manager()) {
    return Error{Code::kFailedPrecondition,
                 "this node is a worker and holds no state of the swarm: run this on a node that "
                 "is a manager, or "
                 "'agentctl backup restore' where there is a backup",
                 "NOT_A_MANAGER"};
  }
  return ok();
}

Status copy_manager_state(const Paths& paths) {
  SKEP_TRY(remove_recovered(paths));
  const std::string from = state_path(paths);
  std::error_code failure;
  if (!fs::exists(from, failure)) {
    return ok();  // the log may begin at its first entry
  }
  fs::copy(from, recovered_path(paths), fs::copy_options::recursive, failure);
  return failure ? Status(failed(from + ": copy to " + recovered_path(paths), failure)) : ok();
}

std::shared_ptr<store::StateBackend> sealed_state(const std::string& path, const SealerRef& sealer,
                                                  Random& random) {
  auto lying = std::make_shared<store::LevelDbBackend>(path);
  if (sealer == nullptr) {
    return lying;
  }
  return std::make_shared<store::SealedBackend>(std::move(lying), sealer, random);
}

Status choose_addresses(const std::string& advertise, const std::string& listen,
                        agent::v1::SwarmMembership& membership) {
  if (advertise.empty() && listen.empty()) {
    return ok();
  }
  SKEP_TRY_ASSIGN(const auto addresses, machine_addresses());
  std::string told = advertise.empty() ? membership.advertise_address() : advertise;
  // A node that stays at its address, but listens at another port, tells that port.
  const auto listened = link::parse_host_port(listen, 0);
  if (advertise.empty() && listened && listened->port != 0) {
    told.resize(told.rfind(':'));
  }
  SKEP_TRY_ASSIGN(const auto chosen, choose_node_addresses({told, listen, ""}, addresses));
  membership.set_advertise_address(chosen.advertise);
  membership.set_listen_address(chosen.listen);
  return ok();
}

Status rewrite_recovered(store::StateBackend& recovered,
                         const agent::v1::SwarmMembership& membership, WallTime now) {
  control::Incarnation wanted;
  wanted.cluster_id = membership.cluster_id();
  wanted.node_id = membership.node_id();
  wanted.member_id = membership.member_id();
  wanted.address = membership.advertise_address();
  wanted.now = now;
  return control::apply_incarnation(recovered, wanted);
}

Status put_recovered_in_place(const Paths& paths, Disk& disk) {
  if (!disk.exists(recovered_path(paths))) {
    return ok();
  }
  for (const char* suffix : {".incoming", ".old", ""}) {
    SKEP_TRY(disk.remove_tree(state_path(paths) + suffix));
  }
  SKEP_TRY(disk.rename(recovered_path(paths), state_path(paths)));
  return disk.sync_directory(paths.state_dir);
}

agent::v1::SwarmMembership recovered_membership(agent::v1::SwarmMembership membership,
                                                Random& random, WallTime now) {
  membership.set_member_id(random.next() | 1);  // never 0
  membership.set_manager(true);
  membership.set_bootstrapped(false);
  membership.set_log_made(false);
  membership.set_leaving(false);
  membership.set_incarnation(control::next_incarnation(membership.incarnation(), now));
  membership.set_recovering(true);
  membership.clear_managers();
  membership.clear_recover_at_start();
  return membership;
}

}  // namespace skep::agentd
