#include "core/node/step_performer.h"

#include <chrono>
#include <utility>

#include "core/node/task_requests.h"
#include "skep/network.methods.h"
#include "skep/runtime.methods.h"
#include "skep/volume.methods.h"

namespace skep::node {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr seconds kQueryDeadline{10};
constexpr seconds kNetworkDeadline{30};
constexpr seconds kContainerDeadline{60};
constexpr seconds kVolumeDeadline{120};  ///< an NFS server in its grace period answers after 90 s
constexpr std::chrono::hours kPullDeadline{1};
constexpr seconds kStopSlack{30};  ///< for the driver, on top of the task's grace

constexpr auto kNothing = [](const auto&, StepOutcome&) {};

std::string runtime_of(const v1::TaskRecord& record) { return "runtime/" + record.runtime(); }

Status write_text(Disk& disk, const std::string& path, const std::string& text) {
  // Bound into the container by inode: never replaced by rename, and not worth a sync.
  SKEP_TRY_ASSIGN(const std::unique_ptr<File> file, disk.open(path, OpenMode::kCreate));
  SKEP_TRY(file->truncate(0));
  return file->write(0, text);
}

}  // namespace

std::string driver_of(const v1::TaskRecord& record, const Step& step) {
  switch (step.kind) {
    case StepKind::kInspectImage:
    case StepKind::kPullImage:
    case StepKind::kCreateContainer:
    case StepKind::kStartContainer:
    case StepKind::kInspectContainer:
    case StepKind::kStopContainer:
    case StepKind::kRemoveContainer:
      return runtime_of(record);
    case StepKind::kCreateVolume:
    case StepKind::kMountVolume:
    case StepKind::kUnmountVolume:
    case StepKind::kRemoveVolume:
      return "volume/" + record.volumes(step.index).driver();
    case StepKind::kMakeNetwork:
    case StepKind::kCreateEndpoint:
    case StepKind::kJoinEndpoint:
    case StepKind::kPublishPorts:
    case StepKind::kUnpublishPorts:
    case StepKind::kLeaveEndpoint:
    case StepKind::kDeleteEndpoint:
    case StepKind::kDeleteNetwork:
      return "network/" + record.endpoints(step.index).driver();
    case StepKind::kCheckBind:
    case StepKind::kMakeSandbox:
    case StepKind::kWriteFiles:
    case StepKind::kRemoveSandbox:
    case StepKind::kRemoveFiles:
    case StepKind::kForget:
      return {};
  }
  SKEP_UNREACHABLE();
}

std::string operation_id(const v1::TaskRecord& record, const Step& step) {
  return record.task().id() + "/" + std::string(step_name(step.kind)) + "/" +
         std::to_string(step.index);
}

StepPerformer::StepPerformer(Env& env, rpc::Caller& caller, const NodeConfig& config,
                             NodeParts parts)
    : env_(env), caller_(caller), config_(config), parts_(parts) {}

StepPerformer::~StepPerformer() { *alive_ = false; }

template <class M, class Fill>
StepPerformer::Abandon StepPerformer::call(const v1::TaskRecord& record, const Step& step,
                                           const typename M::Request& request,
                                           milliseconds deadline, Done done, Fill fill) {
  const auto id = rpc::call<M>(caller_, driver_of(record, step), request,
                               {.deadline = deadline, .operation_id = operation_id(record, step)},
                               [done = std::move(done), fill](Result<typename M::Response> reply) {
                                 StepOutcome outcome;
                                 if (reply) {
                                   fill(*reply, outcome);
                                 } else {
                                   outcome.status = std::move(reply).error();
                                 }
                                 done(std::move(outcome));
                               });
  return [this, id] { caller_.cancel(id); };
}

StepPerformer::Abandon StepPerformer::perform(const v1::TaskRecord& record, const Step& step,
                                              Done done) {
  const std::string driver = driver_of(record, step);
  if (driver.empty()) {
    return perform_local(record, step, std::move(done));
  }
  if (step.kind == StepKind::kInspectImage || step.kind == StepKind::kPullImage) {
    return perform_image(record, step, std::move(done));
  }
  if (driver.starts_with("volume/")) {
    return perform_volume(record, step, std::move(done));
  }
  return driver.starts_with("network/") ? perform_network(record, step, std::move(done))
                                        : perform_container(record, step, std::move(done));
}

StepPerformer::Abandon StepPerformer::perform_image(const v1::TaskRecord& record, const Step& step,
                                                    Done done) {
  const auto& spec = record.task().spec().container();
  if (step.kind == StepKind::kInspectImage) {
    runtime::v1::InspectImageRequest request;
    request.set_image(spec.image());
    return call<runtime::v1::methods::InspectImage>(
        record, step, request, kQueryDeadline, std::move(done),
        [](const auto& reply, StepOutcome& outcome) { outcome.image = reply.image(); });
  }
  runtime::v1::PullRequest request;
  request.set_image(spec.image());
  request.set_registry_auth(spec.registry_auth());
  auto image = std::make_shared<std::optional<runtime::v1::Image>>();
  auto stream = rpc::open<runtime::v1::methods::Pull>(
      caller_, driver_of(record, step), request,
      {.deadline = kPullDeadline, .operation_id = operation_id(record, step)},
      [image](const runtime::v1::PullProgress& progress) {
        if (progress.has_image()) {
          *image = progress.image();
        }
      },
      [image, name = spec.image(), done](Status status) {
        StepOutcome outcome;
        outcome.status = std::move(status);
        outcome.image = std::move(*image);
        if (outcome.status && !outcome.image) {
          outcome.status = Error{Code::kInternal, "pull of image '" + name +
                                                      "' ended without telling the image"};
        }
        done(std::move(outcome));
      });
  return [stream] { stream->cancel(); };
}

StepPerformer::Abandon StepPerformer::perform_volume(const v1::TaskRecord& record,
                                                     const Step& step, Done done) {
  namespace methods = volume::v1::methods;
  const auto& use = record.volumes(step.index);
  if (step.kind == StepKind::kCreateVolume) {
    return call<methods::Create>(record, step, volume_request(use, config_), kVolumeDeadline,
                                 std::move(done), kNothing);
  }
  if (step.kind == StepKind::kMountVolume) {
    volume::v1::MountRequest request;
    request.set_name(use.name());
    request.set_mount_id(record.task().id());
    return call<methods::Mount>(
        record, step, request, kVolumeDeadline, std::move(done),
        [](const auto& reply, StepOutcome& outcome) { outcome.path = reply.mountpoint(); });
  }
  if (step.kind == StepKind::kUnmountVolume) {
    volume::v1::UnmountRequest request;
    request.set_name(use.name());
    request.set_mount_id(record.task().id());
    return call<methods::Unmount>(record, step, request, kVolumeDeadline, std::move(done),
                                  kNothing);
  }
  volume::v1::RemoveRequest request;
  request.set_name(use.name());
  return call<methods::Remove>(record, step, request, kVolumeDeadline, std::move(done), kNothing);
}

StepPerformer::Abandon StepPerformer::perform_network(const v1::TaskRecord& record,
                                                      const Step& step, Done done) {
  namespace methods = network::v1::methods;
  const auto& use = record.endpoints(step.index);
  const auto endpoint_call = [&]<class M>(M) {
    typename M::Request request;
    request.set_network_id(use.network_id());
    request.set_endpoint_id(record.task().id());
    return call<M>(record, step, request, kNetworkDeadline, std::move(done), kNothing);
  };
  if (step.kind == StepKind::kMakeNetwork) {
    network::v1::CreateNetworkRequest request;
    request.set_network_id(use.network_id());
    request.set_name(use.network_name());
    *request.mutable_options() = use.options();
    return call<methods::CreateNetwork>(record, step, request, kNetworkDeadline, std::move(done),
                                        kNothing);
  }
  if (step.kind == StepKind::kCreateEndpoint) {
    return call<methods::CreateEndpoint>(
        record, step, endpoint_request(record, use), kNetworkDeadline, std::move(done),
        [](const auto& reply, StepOutcome& outcome) {
          outcome.addresses.assign(reply.addresses().begin(), reply.addresses().end());
        });
  }
  if (step.kind == StepKind::kJoinEndpoint) {
    return call<methods::Join>(record, step, join_request(record, use), kNetworkDeadline,
                               std::move(done), kNothing);
  }
  if (step.kind == StepKind::kPublishPorts) {
    return call<methods::Publish>(record, step, publish_request(record, use), kNetworkDeadline,
                                  std::move(done), [](const auto& reply, StepOutcome& outcome) {
                                    outcome.ports.assign(reply.ports().begin(),
                                                         reply.ports().end());
                                  });
  }
  if (step.kind == StepKind::kDeleteNetwork) {
    network::v1::DeleteNetworkRequest request;
    request.set_network_id(use.network_id());
    return call<methods::DeleteNetwork>(record, step, request, kNetworkDeadline, std::move(done),
                                        kNothing);
  }
  if (step.kind == StepKind::kUnpublishPorts) {
    return endpoint_call(methods::Unpublish{});
  }
  return step.kind == StepKind::kLeaveEndpoint ? endpoint_call(methods::Leave{})
                                               : endpoint_call(methods::DeleteEndpoint{});
}

StepPerformer::Abandon StepPerformer::perform_container(const v1::TaskRecord& record,
                                                        const Step& step, Done done) {
  namespace methods = runtime::v1::methods;
  if (step.kind == StepKind::kCreateContainer) {
    return call<methods::Create>(record, step, create_request(record, config_),
                                 kContainerDeadline, std::move(done), kNothing);
  }
  if (step.kind == StepKind::kStartContainer) {
    runtime::v1::StartRequest request;
    request.set_container_id(record.container_id());
    return call<methods::Start>(
        record, step, request, kContainerDeadline, std::move(done),
        [](const auto& reply, StepOutcome& outcome) { outcome.pid = reply.pid(); });
  }
  if (step.kind == StepKind::kInspectContainer) {
    runtime::v1::InspectRequest request;
    request.set_container_id(record.container_id());
    return call<methods::Inspect>(
        record, step, request, kQueryDeadline, std::move(done),
        [](const auto& reply, StepOutcome& outcome) { outcome.container = reply.container(); });
  }
  if (step.kind == StepKind::kStopContainer) {
    const auto deadline =
        std::chrono::duration_cast<milliseconds>(stop_grace(record)) + milliseconds(kStopSlack);
    return call<methods::Stop>(
        record, step, stop_request(record), deadline, std::move(done),
        [](const auto& reply, StepOutcome& outcome) { outcome.exit = reply.exit(); });
  }
  runtime::v1::RemoveRequest request;
  request.set_container_id(record.container_id());
  request.set_force(true);
  return call<methods::Remove>(record, step, request, kContainerDeadline, std::move(done),
                               kNothing);
}

StepPerformer::Abandon StepPerformer::check_bind(const v1::VolumeUse& use, Done done) {
  auto outcome = std::make_shared<StepOutcome>();
  auto wanted = std::make_shared<bool>(true);
  const auto check = [&disk = env_.disk, path = use.name(),
                      create = use.mount().bind_create_source(), outcome] {
    if (disk.exists(path)) {
      return;
    }
    outcome->status =
        create ? disk.make_directories(path, 0755)
               : Error{Code::kInvalidArgument,
                       "invalid mount config for type \"bind\": bind source path does not exist: " +
                           path,
                       "BIND_SOURCE_MISSING"};
  };
  const auto finish = [outcome, wanted, alive = alive_, done] {
    if (*alive && *wanted) {
      done(std::move(*outcome));
    }
  };
  if (auto status = env_.workers.run(check, finish); !status) {
    outcome->status = std::move(status);
    env_.loop.post(finish);
  }
  return [wanted] { *wanted = false; };
}

Status StepPerformer::write_files(const v1::TaskRecord& record) {
  const std::string directory = task_directory(config_, record.task().id());
  SKEP_TRY(env_.disk.make_directories(directory, 0755));
  const auto of_node = [this](const char* path) {
    return env_.disk.read_file(path).value_or(std::string());
  };
  std::string resolv = of_node("/etc/resolv.conf");
  if (record.needs_sandbox() && only_loopback_servers(resolv)) {
    // A stub resolver on loopback: the servers behind it are what a sandbox can reach.
    if (const std::string real = of_node("/run/systemd/resolve/resolv.conf"); !real.empty()) {
      resolv = real;
    }
  }
  SKEP_TRY(write_text(env_.disk, directory + "/hosts", hosts_file(record, of_node("/etc/hosts"))));
  return write_text(env_.disk, directory + "/resolv.conf", resolv_file(record, resolv));
}

StepPerformer::Abandon StepPerformer::perform_local(const v1::TaskRecord& record, const Step& step,
                                                    Done done) {
  if (step.kind == StepKind::kCheckBind) {
    return check_bind(record.volumes(step.index), std::move(done));
  }
  auto wanted = std::make_shared<bool>(true);
  const auto answer = [this, wanted, alive = alive_, done](StepOutcome outcome) {
    env_.loop.post([wanted, alive, done, outcome = std::move(outcome)]() mutable {
      if (*alive && *wanted) {
        done(std::move(outcome));
      }
    });
  };
  if (step.kind == StepKind::kMakeSandbox) {
    parts_.sandboxes.make(record.task().id(), [answer](Result<std::string> path) {
      StepOutcome outcome;
      if (path) {
        outcome.path = *std::move(path);
      } else {
        outcome.status = std::move(path).error();
      }
      answer(std::move(outcome));
    });
  } else if (step.kind == StepKind::kRemoveSandbox) {
    parts_.sandboxes.remove(record.task().id(), [answer](Status status) {
      answer({.status = std::move(status)});
    });
  } else if (step.kind == StepKind::kWriteFiles) {
    answer({.status = write_files(record)});
  } else {
    SKEP_ASSERT(step.kind == StepKind::kRemoveFiles, "every other step belongs to a driver");
    answer({.status = env_.disk.remove_tree(task_directory(config_, record.task().id()))});
  }
  return [wanted] { *wanted = false; };
}

}  // namespace skep::node
