#pragma once

// Helpers around TaskRecord: ids and names derived from a task, what goes into a container's labels
// and back. Pure.

#include <map>
#include <string>

#include "core/node/node.h"
#include "skep/model.pb.h"
#include "skep/node.pb.h"
#include "skep/result.h"

namespace skep::node {

inline constexpr const char* kInstallationLabel = "skep.installation";
inline constexpr const char* kRecordLabel = "skep.record";

/// "SERVICE.SLOT.TASKID", "SERVICE.NODEID.TASKID" for tasks without a slot.
std::string task_name(const model::v1::Task& task);

/// 64 hex digits that follow from installation and task alone, so that no crash, lost write or lost
/// reply can ever lead to a second container of one task.
std::string container_id_for(const std::string& installation_id, const std::string& task_id);

/// The record of a newly assigned task, in state accepted.
v1::TaskRecord make_record(const model::v1::Task& task, const NodeConfig& config, WallTime now);

/// The record as it may reach a disk: without registry credential.
v1::TaskRecord without_credentials(const v1::TaskRecord& record);

/// The spec's labels, com.docker.swarm.*, the installation and what a rebuilt node.db needs.
std::map<std::string, std::string> container_labels(const v1::TaskRecord& record,
                                                    const NodeConfig& config);

/// The record a container's labels carry. kNotFound: it bears no or another installation.
/// kDataLoss: the label is damaged.
Result<v1::TaskRecord> record_from_container(const runtime::v1::ContainerInfo& container,
                                             const NodeConfig& config);

/// The record carried by a label wins where this one knows less, because a write was lost.
void merge_facts(v1::TaskRecord& record, const v1::TaskRecord& from_label);

}  // namespace skep::node
