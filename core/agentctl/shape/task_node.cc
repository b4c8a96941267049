#include "core/agentctl/auth.h"
#include "core/agentctl/shape/shape.h"
#include "core/agentctl/text.h"
#include "core/model/task_state.h"

namespace skep::ctl {

using model::v1::ManagerStatus;
using model::v1::Node;
using model::v1::Task;

Value task_shape(const Task& task) {
  Value shape = Value::object();
  shape.set("ID", task.id());
  add_meta(shape, task.meta());
  shape.set("Labels", Value::object()).set("Spec", task_spec_shape(task.spec()));
  shape.set("ServiceID", task.service_id())
      .set_given("Slot", task.slot())
      .set_given("NodeID", task.node_id());
  Value status = Value::object();
  status.set("Timestamp", print_time(task.status().timestamp()));
  status.set("State", model::task_state_name(task.status().state()))
      .set("Message", task.status().message());
  status.set_given("Err", task.status().error());
  if (task.status().has_container()) {
    const auto& container = task.status().container();
    status.set("ContainerStatus", Value::object()
                                      .set("ContainerID", container.container_id())
                                      .set("PID", container.pid())
                                      .set("ExitCode", container.exit_code()));
  }
  Value ports = Value::object();
  status.set("PortStatus", ports.set_given("Ports", ports_shape(task.status().ports().ports())));
  shape.set("Status", status).set("DesiredState", model::task_state_name(task.desired_state()));
  Value networks = Value::list();
  for (const auto& network : task.networks()) {
    Value one = Value::object();
    one.set("Network", Value::object()
                           .set("ID", network.network_id())
                           .set("Spec", Value::object().set("Name", network.network_name())));
    networks.add(one.set("Addresses", strings_shape(network.addresses())));
  }
  return shape.set_given("NetworksAttachments", networks);
}

namespace {
std::string_view reachability_name(const ManagerStatus& status) {
  return status.reachability() == 2   ? "reachable"
         : status.reachability() == 1 ? "unreachable"
                                      : "unknown";
}
}  // namespace

Value node_shape(const Node& node) {
  Value shape = Value::object();
  shape.set("ID", node.id());
  add_meta(shape, node.meta());
  Value spec = Value::object();
  spec.set_given("Name", node.spec().name()).set("Labels", map_shape(node.spec().labels()));
  spec.set("Role", node.spec().role() == model::v1::NODE_ROLE_MANAGER ? "manager" : "worker");
  shape.set("Spec", spec.set("Availability", model::availability_name(node.spec().availability())));
  const auto& from = node.description();
  Value resources = Value::object();
  resources.set("NanoCPUs", from.resources().nano_cpus())
      .set("MemoryBytes", from.resources().memory_bytes());
  Value plugins = Value::list();
  for (const std::string& driver : from.engine().drivers()) {
    const std::size_t slash = driver.find('/');
    std::string kind = driver.substr(0, slash);
    kind.front() = static_cast<char>(
        std::toupper(static_cast<unsigned char>(kind.empty() ? ' ' : kind.front())));
    plugins.add(Value::object()
                    .set("Type", kind)
                    .set("Name", slash == std::string::npos ? "" : driver.substr(slash + 1)));
  }
  Value engine = Value::object();
  engine.set("EngineVersion", from.engine().version())
      .set_given("Labels", map_shape(from.engine().labels()));
  Value description = Value::object();
  description.set("Hostname", from.hostname())
      .set("Platform", Value::object()
                           .set("Architecture", from.platform().architecture())
                           .set("OS", from.platform().os()));
  description.set("Resources", resources).set("Engine", engine.set("Plugins", plugins));
  description.set("TLSInfo", Value::object()
                                 .set("TrustRoot", from.tls().trust_root())
                                 .set("CertIssuerSubject", encode_base64(from.tls().issuer_subject()))
                                 .set("CertIssuerPublicKey", encode_base64(from.tls().issuer_public_key())));
  shape.set("Description", description);
  Value status = Value::object();
  status.set("State", model::node_state_name(node.status().state()))
      .set_given("Message", node.status().message());
  shape.set("Status", status.set("Addr", node.status().address()));
  if (node.has_manager_status()) {
    Value manager = Value::object();
    manager.set_given("Leader", node.manager_status().leader());
    manager.set("Reachability", reachability_name(node.manager_status()));
    shape.set("ManagerStatus", manager.set("Addr", node.manager_status().address()));
  }
  return shape;
}

}  // namespace skep::ctl
