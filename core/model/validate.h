#pragma once

// Validation of what people ask for, with Docker's rules. Called once at the edge (control API and
// agentctl); behind it specs are trusted. Every message says what is wrong, why, and what to do.

#include "skep/model.pb.h"
#include "skep/result.h"

namespace skep::model {

/// A whole service: name, mode, task, update policies, endpoint. kInvalidArgument with the first
/// mistake. The name may not be empty: give unnamed services one with random_name() before.
Status validate_service_spec(const v1::ServiceSpec& spec);
/// What an update may not do: change the name, change the kind of mode. kUnimplemented, as Docker.
Status validate_service_change(const v1::ServiceSpec& from, const v1::ServiceSpec& to);
Status validate_task_spec(const v1::TaskSpec& spec);
Status validate_node_spec(const v1::NodeSpec& spec);
Status validate_cluster_spec(const v1::ClusterSpec& spec);
Status validate_network_spec(const v1::NetworkSpec& spec);
/// Name and size; `noun` is "config" or "secret".
Status validate_secret_spec(const v1::SecretSpec& spec, std::string_view noun);

/// True when `to` asks for new tasks: image, command, mounts, networks, ports and so on differ.
/// A change of replicas, labels of the service, placement or update policies alone needs none.
bool needs_new_tasks(const v1::ServiceSpec& from, const v1::ServiceSpec& to);
/// True when `to` makes a new version (spec_version): anything of the task or the endpoint differs.
bool is_new_version(const v1::ServiceSpec& from, const v1::ServiceSpec& to);
/// The task is of the service's present version, or of one that differs in nothing a task feels.
bool is_current_version(const v1::Service& service, const v1::Task& task);
/// A copy without what leaves a running task untouched; equal bytes mean the task is up to date.
v1::TaskSpec comparable_task_spec(const v1::TaskSpec& spec);
/// Equal but for what leaves a running task untouched.
bool task_specs_equal(const v1::TaskSpec& left, const v1::TaskSpec& right);

}  // namespace skep::model
