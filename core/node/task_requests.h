#pragma once

// The messages to drivers that follow from a task's record. Pure.

#include "core/node/node.h"
#include "skep/network.pb.h"
#include "skep/node.pb.h"
#include "skep/runtime.pb.h"
#include "skep/volume.pb.h"

namespace skep::node {

/// Directory of what the node writes for one task (hosts, resolv.conf).
std::string task_directory(const NodeConfig& config, const std::string& task_id);

runtime::v1::CreateRequest create_request(const v1::TaskRecord& record, const NodeConfig& config);
runtime::v1::StopRequest stop_request(const v1::TaskRecord& record);
/// Stop grace of the task, 10 s when it names none.
std::chrono::nanoseconds stop_grace(const v1::TaskRecord& record);

volume::v1::CreateRequest volume_request(const v1::VolumeUse& use, const NodeConfig& config);

network::v1::CreateEndpointRequest endpoint_request(const v1::TaskRecord& record,
                                                    const v1::EndpointUse& use);
network::v1::JoinRequest join_request(const v1::TaskRecord& record, const v1::EndpointUse& use);
network::v1::PublishRequest publish_request(const v1::TaskRecord& record,
                                            const v1::EndpointUse& use);

/// Content of /etc/hosts: loopback, own name with its addresses, the spec's extra lines.
/// `of_node` is used when the task shares the node's namespace.
std::string hosts_file(const v1::TaskRecord& record, std::string_view of_node);
/// Content of /etc/resolv.conf from the node's own and the spec. Name servers on the node's loopback
/// are left out, unless the task shares the node's namespace: a sandbox cannot reach them.
std::string resolv_file(const v1::TaskRecord& record, std::string_view of_node);
/// True when `resolv` names no server a sandbox could reach.
bool only_loopback_servers(std::string_view resolv);

}  // namespace skep::node
