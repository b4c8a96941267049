#include "core/model/validate.h"

#include <algorithm>
#include <set>
#include <string>

#include "core/model/constraint.h"
#include "core/model/defaults.h"
#include "core/model/https_url.h"
#include "core/model/names.h"
#include "core/model/units.h"
#include "core/model/validate_task.h"

namespace skep::model {

namespace {

Error invalid(std::string message) {
  return Error{Code::kInvalidArgument, std::move(message), "INVALID_SPEC"};
}

Status validate_labels(const google::protobuf::Map<std::string, std::string>& labels) {
  for (const auto& [key, value] : labels) {
    SKEP_TRY(validate_label_key(key));
  }
  return ok();
}

Status validate_update(const v1::UpdateConfig& config, std::string_view which) {
  const std::string prefix(which);
  if (config.delay() < 0) {
    return invalid(prefix + "-delay cannot be negative");
  }
  if (config.monitor() < 0) {
    return invalid(prefix + "-monitor cannot be negative");
  }
  if (!(config.max_failure_ratio() >= 0 && config.max_failure_ratio() <= 1)) {
    return invalid(prefix + "-max-failure-ratio cannot be less than 0 or bigger than 1");
  }
  if (which == "rollback" && config.failure_action() == v1::UpdateConfig::ROLLBACK) {
    return invalid("rollback-failure-action cannot be rollback: use pause or continue");
  }
  return ok();
}

std::string_view protocol_name(v1::PublishedPort::Protocol protocol) {
  switch (static_cast<int>(protocol)) {
    case v1::PublishedPort::UDP: return "udp";
    case v1::PublishedPort::SCTP: return "sctp";
    case v1::PublishedPort::TCP:
    default: return "tcp";
  }
}

Status validate_endpoint(const v1::ServiceSpec& spec) {
  constexpr std::uint32_t kPortMax = 65535;
  std::set<std::string> published;
  for (const v1::PublishedPort& port : spec.endpoint().ports()) {
    if (port.target_port() == 0 || port.target_port() > kPortMax) {
      return invalid("target port " + std::to_string(port.target_port()) +
                     " is invalid: a port is a number from 1 to 65535");
    }
    if (port.published_port() > kPortMax) {
      return invalid("published port " + std::to_string(port.published_port()) +
                     " is invalid: a port is a number from 1 to 65535");
    }
    if (port.mode() == v1::PublishedPort::INGRESS &&
        spec.endpoint().mode() == v1::EndpointSpec::DNSRR) {
      return invalid(
          "port published with ingress mode can't be used with dnsrr mode: publish it with "
          "mode=host, or use --endpoint-mode vip");
    }
    if (port.published_port() == 0) {
      continue;
    }
    const std::string key = std::to_string(port.published_port()) + "/" +
                            std::string(protocol_name(port.protocol()));
    if (!published.insert(key).second) {
      return invalid("published port " + key +
                     " is given twice in one service: duplicate published ports are not allowed");
    }
  }
  return ok();
}

Status validate_mode(const v1::ServiceSpec& spec) {
  switch (spec.mode_case()) {
    case v1::ServiceSpec::kReplicatedJob:
    case v1::ServiceSpec::kGlobalJob:
      if (spec.has_update()) {
        return invalid("update config cannot be used with a job: a job runs to completion");
      }
      return ok();
    case v1::ServiceSpec::kGlobal:
      if (spec.task().placement().max_replicas_per_node() > 0) {
        return invalid("replicas-max-per-node can only be used with replicated services");
      }
      return ok();
    case v1::ServiceSpec::kReplicated: return ok();
    case v1::ServiceSpec::MODE_NOT_SET: break;
  }
  return invalid("service mode is missing: use replicated, global, replicated-job or global-job");
}

}  // namespace

Status validate_service_spec(const v1::ServiceSpec& spec) {
  SKEP_TRY(validate_service_name(spec.name()));
  SKEP_TRY(validate_labels(spec.labels()));
  SKEP_TRY(validate_mode(spec));
  SKEP_TRY(validate_task_spec(spec.task()));
  SKEP_TRY(validate_update(spec.update(), "update"));
  SKEP_TRY(validate_update(spec.rollback(), "rollback"));
  return validate_endpoint(spec);
}

Status validate_service_change(const v1::ServiceSpec& from, const v1::ServiceSpec& to) {
  if (from.name() != to.name()) {
    return Error{Code::kUnimplemented, "renaming services is not supported: remove and create it",
                 "RENAME_UNSUPPORTED"};
  }
  if (from.mode_case() != to.mode_case()) {
    return Error{Code::kUnimplemented,
                 "service mode change is not allowed: remove and create the service",
                 "MODE_CHANGE_UNSUPPORTED"};
  }
  return ok();
}

Status validate_node_spec(const v1::NodeSpec& spec) {
  SKEP_TRY(validate_node_name(spec.name()));
  SKEP_TRY(validate_labels(spec.labels()));
  if (!v1::NodeRole_IsValid(spec.role()) || !v1::Availability_IsValid(spec.availability())) {
    return invalid("role or availability is unknown to this version");
  }
  return ok();
}

Status validate_cluster_spec(const v1::ClusterSpec& spec) {
  // 0 is what nobody chose, everywhere here.
  const std::int64_t beat = spec.heartbeat_period();
  if (beat != 0 && (beat < kHeartbeatMin.count() || beat > kHeartbeatMax.count())) {
    return invalid("dispatcher-heartbeat is out of range: use 1s to 1h");
  }
  const std::int64_t expiry = spec.certificate_expiry();
  if (expiry != 0 && expiry < kCertificateExpiryMin.count()) {
    return invalid("cert-expiry is too short: the minimum is 1h");
  }
  if (expiry > kCertificateExpiryMax.count()) {
    return invalid("cert-expiry is too long: the maximum is 175200h, 20 years");
  }
  if (spec.snapshot_interval() > kSnapshotEntriesMax) {
    return invalid("snapshot-interval is out of range: use 1 to " + std::to_string(kSnapshotEntriesMax));
  }
  if (spec.snapshots_kept() > kSnapshotsKeptMax) {
    return invalid("max-snapshots is out of range: use 0 to " + std::to_string(kSnapshotsKeptMax));
  }
  if (spec.external_cas_size() > kExternalCasMax) {
    return invalid("external-ca is given more than " + std::to_string(kExternalCasMax) + " times");
  }
  for (const v1::ExternalCa& authority : spec.external_cas()) {
    SKEP_TRY(validate_external_ca(authority));
  }
  return validate_labels(spec.labels());
}

Status validate_network_spec(const v1::NetworkSpec& spec) {
  if (auto status = validate_service_name(spec.name()); !status) {
    std::string message = status.error().message;
    constexpr std::string_view kService = "service";
    message.replace(0, kService.size(), "network");
    return invalid(std::move(message));
  }
  return validate_labels(spec.labels());
}

Status validate_secret_spec(const v1::SecretSpec& spec, std::string_view noun) {
  SKEP_TRY(validate_config_name(spec.name()));
  SKEP_TRY(validate_labels(spec.labels()));
  const std::uint64_t bytes_max = noun == "config" ? kConfigBytesMax : kSecretBytesMax;
  if (spec.data().empty() || spec.data().size() >= bytes_max) {
    return invalid(std::string(noun) + " '" + spec.name() + "' holds " +
                   std::to_string(spec.data().size()) + " bytes: it must not be empty and be " +
                   "smaller than " + print_bytes(static_cast<std::int64_t>(bytes_max)));
  }
  return ok();
}

v1::TaskSpec comparable_task_spec(const v1::TaskSpec& spec) {
  v1::TaskSpec result = spec;
  result.clear_restart();
  // Placement decides where new tasks go; the constraint enforcer moves those that no longer fit.
  result.clear_placement();
  // A pull with fresh credentials changes nothing in a container that runs.
  result.mutable_container()->clear_registry_auth();
  result.set_runtime(std::string(runtime_driver(spec)));
  return result;
}

bool task_specs_equal(const v1::TaskSpec& left, const v1::TaskSpec& right) {
  return deterministic_bytes(comparable_task_spec(left)) ==
         deterministic_bytes(comparable_task_spec(right));
}

bool is_new_version(const v1::ServiceSpec& from, const v1::ServiceSpec& to) {
  return deterministic_bytes(from.task()) != deterministic_bytes(to.task()) ||
         deterministic_bytes(from.endpoint()) != deterministic_bytes(to.endpoint());
}

bool is_current_version(const v1::Service& service, const v1::Task& task) {
  return task.spec_version() == service.spec_version() ||
         task_specs_equal(task.spec(), service.spec().task());
}

bool needs_new_tasks(const v1::ServiceSpec& from, const v1::ServiceSpec& to) {
  const auto key = [](const v1::ServiceSpec& spec) {
    std::string bytes = deterministic_bytes(comparable_task_spec(spec.task()));
    for (const v1::PublishedPort& port : spec.endpoint().ports()) {
      if (port.mode() == v1::PublishedPort::HOST) {  // Ingress ports change without new tasks.
        bytes += deterministic_bytes(port);
      }
    }
    return bytes;
  };
  return key(from) != key(to);
}

}  // namespace skep::model
