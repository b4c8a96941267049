#pragma once

// Finding what people name: services, tasks and nodes by id, name or unambiguous id prefix; and the
// numbers `service ls` shows. Pure.

#include <map>
#include <string>
#include <string_view>

#include "core/store/view.h"
#include "skep/control.pb.h"
#include "skep/result.h"

namespace skep::control {

/// Full id, exact name, or the only id that begins with `ref`. kNotFound, or kInvalidArgument when
/// several ids match.
Result<store::Ptr<model::v1::Service>> find_service(const store::View& view, std::string_view ref);
Result<store::Ptr<model::v1::Secret>> find_secret(const store::View& view, std::string_view ref);
/// Full id, "SERVICE.SLOT" or "SERVICE.SLOT.ID", or id prefix.
Result<store::Ptr<model::v1::Task>> find_task(const store::View& view, std::string_view ref);
/// Full id, "self", host name (when only one node has it), or id prefix.
Result<store::Ptr<model::v1::Node>> find_node(const store::View& view, std::string_view ref,
                                              std::string_view self);

/// "web.1", or "web.NODE" for global services.
std::string task_name(const model::v1::Task& task);

/// Running: observed and desired running. Desired: replicas, or nodes a global service is wanted
/// on, or what a job has at once. Completed: tasks of the present iteration of a job that
/// succeeded.
control::v1::ServiceCounts count_tasks(const store::View& view, const model::v1::Service& service);

}  // namespace skep::control
