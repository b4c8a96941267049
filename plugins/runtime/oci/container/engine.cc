#include "plugins/runtime/oci/container/engine.h"

#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "plugins/runtime/oci/container/name_files.h"
#include "plugins/runtime/oci/container/overlay.h"
#include "plugins/runtime/oci/container/process_args.h"
#include "plugins/runtime/oci/container/root_path.h"
#include "skep/log.h"
#include "skep/posix_env.h"

namespace skep::oci {
namespace {

constexpr std::size_t kShortId = 12;

/// Ids become file and cgroup names.
Status check_id(const std::string& id) {
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  };
  bool good = !id.empty() && id.size() <= 64 && id.front() != '-';
  for (const char c : id) {
    good = good && fits(c);
  }
  if (!good) {
    return Error{Code::kInvalidArgument,
                 "container id '" + id + "' is not made of 1 to 64 digits and lower-case letters",
                 "BAD_CONTAINER_ID"};
  }
  return ok();
}

std::string node_name() {
  std::array<char, 256> name{};
  ::gethostname(name.data(), name.size() - 1);
  return name.data();
}

}  // namespace

Engine::Engine(Env& env, EngineConfig config, Cgroups cgroups,
               std::shared_ptr<RootfsSource> source)
    : env_(env),
      config_(std::move(config)),
      cgroups_(std::move(cgroups)),
      source_(std::move(source)) {}

Status Engine::write_file(const std::string& path, std::string_view text, int mode) {
  // Renamed into place but not synced: after a power loss no container runs, and a damaged record
  // is taken for a leftover.
  const std::string temporary = path + ".new";
  {
    SKEP_TRY_ASSIGN(const auto file, env_.disk.open(temporary, OpenMode::kCreate));
    SKEP_TRY(file->truncate(0));
    SKEP_TRY(file->write(0, text));
  }
  if (::chmod(temporary.c_str(), static_cast<mode_t>(mode)) != 0) {
    return errno_error(errno, temporary + ": set mode");
  }
  return env_.disk.rename(temporary, path);
}

Status Engine::save(const ContainerRecord& record) {
  return write_file(layout().record(record.id), encode_record(record), 0600);
}

Status Engine::check_binds(const runtime::v1::CreateRequest& request) const {
  for (const auto& bind : request.binds()) {
    struct stat info {};
    if (::stat(bind.source().c_str(), &info) != 0) {
      return Error{Code::kInvalidArgument,
                   "mount '" + bind.target() + "': source path '" + bind.source() +
                       "' does not exist on this node: create it or mount another",
                   "BIND_SOURCE_MISSING"};
    }
  }
  return ok();
}

Result<ContainerRecord> Engine::create(const runtime::v1::CreateRequest& request) {
  const std::string& id = request.container_id();
  const auto& spec = request.spec();
  SKEP_TRY(check_id(id));
  if (env_.disk.exists(layout().record(id))) {
    return Error{Code::kFailedPrecondition,
                 "container '" + id + "' is there from before a restart: recover it first",
                 "RECOVER_FIRST"};
  }
  SKEP_TRY(check_binds(request));
  SKEP_TRY_ASSIGN(const Rootfs rootfs, source_->find(spec));
  ContainerRecord record;
  record.id = id;
  record.name = request.name();
  record.labels.insert(request.labels().begin(), request.labels().end());
  record.image = spec.image();
  record.image_id = rootfs.image.id();
  record.runtime = config_.driver;
  record.created_at = env_.clock.wall_now();
  record.stop_grace = spec.stop_grace();
  record.tty = spec.tty();
  record.open_stdin = spec.open_stdin();
  record.log_size_max = request.log_size_max() > 0 ? request.log_size_max() : config_.log_size_max;
  record.log_files_max = request.log_files_max() > 0 ? request.log_files_max() : config_.log_files_max;
  SKEP_TRY_ASSIGN(record.command, resolve_args(spec, rootfs.image));
  SKEP_TRY_ASSIGN(record.stop_signal, resolve_stop_signal(spec, rootfs.image));
  Status status = fill_bundle(request, rootfs, record);
  if (status) {
    status = save(record);
  }
  if (!status) {
    if (const auto purged = purge(id); !purged) {
      SKEP_WARN("container leftovers stay", {"container", id}, {"cause", purged.error().message});
    }
    return std::move(status).error();
  }
  return record;
}

Status Engine::fill_bundle(const runtime::v1::CreateRequest& request, const Rootfs& rootfs,
                           ContainerRecord& record) {
  const std::string& id = record.id;
  const std::string bundle = layout().bundle(id);
  SKEP_TRY(env_.disk.make_directories(layout().state(id), 0710));
  SKEP_TRY(env_.disk.make_directories(bundle, 0710));
  if (rootfs.bind.empty()) {
    SKEP_TRY(mount_overlay({.layers = rootfs.layers,
                            .upper = layout().state(id) + "/upper",
                            .work = layout().state(id) + "/work",
                            .target = layout().rootfs(id)}));
  } else {
    SKEP_TRY(mount_bind_read_only(rootfs.bind, layout().rootfs(id)));
  }
  SKEP_TRY_ASSIGN(const std::string passwd, read_in_root(layout().rootfs(id), "/etc/passwd"));
  SKEP_TRY_ASSIGN(const std::string group, read_in_root(layout().rootfs(id), "/etc/group"));
  const auto& spec = request.spec();
  SKEP_TRY_ASSIGN(const User user,
                  resolve_user(spec.user().empty() ? rootfs.image.user() : spec.user(),
                               {spec.groups().begin(), spec.groups().end()}, passwd, group));
  for (const auto& bind : request.binds()) {
    if (bind.copy_up()) {
      auto status = copy_up(layout().rootfs(id), bind.target(), bind.source());
      if (!status) {
        return std::move(status).error().with_context("mount '" + bind.target() + "'");
      }
    }
  }
  std::string hostname = request.hostname().empty() ? spec.hostname() : request.hostname();
  if (hostname.empty()) {
    hostname = request.sandbox().empty() ? node_name() : id.substr(0, kShortId);
  }
  SKEP_TRY(write_name_files(request, hostname));
  const auto or_own = [&bundle](const std::string& given, const char* own) {
    return given.empty() ? bundle + own : given;
  };
  const SpecInput input{.request = request,
                        .image = rootfs.image,
                        .user = user,
                        .machine = config_.machine,
                        .rootfs_path = layout().rootfs(id),
                        .root_read_only = !rootfs.bind.empty(),
                        .cgroups_path = layout().cgroup(id),
                        .hostname = hostname,
                        .hosts_path = or_own(request.hosts_path(), "/hosts"),
                        .resolv_path = or_own(request.resolv_path(), "/resolv.conf"),
                        .hostname_path = bundle + "/hostname",
                        .early_mounts = rootfs.early_mounts,
                        .masked_paths = rootfs.masked_paths};
  SKEP_TRY_ASSIGN(const std::string config, build_spec(input));
  return write_file(bundle + "/config.json", config, 0600);
}

Status Engine::write_name_files(const runtime::v1::CreateRequest& request,
                                const std::string& hostname) {
  const std::string bundle = layout().bundle(request.container_id());
  SKEP_TRY(write_file(bundle + "/hostname", hostname + "\n", 0644));
  if (request.hosts_path().empty()) {
    SKEP_TRY_ASSIGN(const std::string hosts, hosts_text(request.spec(), hostname));
    SKEP_TRY(write_file(bundle + "/hosts", hosts, 0644));
  }
  if (request.resolv_path().empty()) {
    const std::string node =
        env_.disk.read_file("/etc/resolv.conf").value_or(std::string("nameserver 127.0.0.1\n"));
    SKEP_TRY(write_file(bundle + "/resolv.conf", resolv_text(request.spec(), node), 0644));
  }
  return ok();
}

}  // namespace skep::oci
