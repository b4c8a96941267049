#pragma once

// What `container` needs beside its tables: exec and its terminal, ports, finding one.

#include <map>
#include <string>
#include <vector>

#include "core/agentctl/client.h"
#include "skep/plugin.pb.h"
#include "skep/runtime.pb.h"

namespace skep::ctl {

class Command;
struct Context;

void add_container_exec(Command& parent);

/// What network drivers published for each task of this node, by task id: "0.0.0.0:32768->80/tcp". Those of `plugins`
/// are asked; one that does not answer is told on stderr.
std::map<std::string, std::string> published_ports(Context& context, Client& agent,
                                                   const std::vector<plugin::v1::PluginInfo>& plugins);

/// By id, name or unambiguous id prefix, over every runtime driver of this node. kNotFound,
/// kInvalidArgument (several match).
Result<runtime::v1::ContainerInfo> find_container(Client& agent, const std::string& reference);
/// "runtime/oci"
std::string runtime_target(const runtime::v1::ContainerInfo& container);

}  // namespace skep::ctl
