#include "core/control/api/redact.h"

namespace skep::control {
namespace {

void redact(model::v1::TaskSpec& spec) {
  if (spec.has_container()) {
    spec.mutable_container()->clear_registry_auth();
  }
}

}  // namespace

void redact(model::v1::Service& service) {
  if (service.has_spec() && service.spec().has_task()) {
    redact(*service.mutable_spec()->mutable_task());
  }
  if (service.has_previous_spec() && service.previous_spec().has_task()) {
    redact(*service.mutable_previous_spec()->mutable_task());
  }
}

void redact(model::v1::Task& task) {
  if (task.has_spec()) {
    redact(*task.mutable_spec());
  }
}

void redact(model::v1::Secret& secret) {
  if (secret.has_spec()) {
    secret.mutable_spec()->clear_data();
  }
}

void redact(model::v1::Cluster& cluster) {
  cluster.clear_unlock_key();
  if (cluster.has_root_ca()) {
    cluster.mutable_root_ca()->clear_key();
    cluster.mutable_root_ca()->clear_worker_secret();
    cluster.mutable_root_ca()->clear_manager_secret();
    if (cluster.root_ca().has_rotation()) {
      cluster.mutable_root_ca()->mutable_rotation()->clear_key();
    }
  }
}

void keep_credentials(const model::v1::ServiceSpec& known, model::v1::ServiceSpec& spec) {
  const std::string& auth = known.task().container().registry_auth();
  if (!auth.empty() && spec.task().container().registry_auth().empty()) {
    spec.mutable_task()->mutable_container()->set_registry_auth(auth);
  }
}

}  // namespace skep::control
