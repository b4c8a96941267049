#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <memory>
#include <ostream>

#include "core/agentctl/command.h"
#include "core/agentctl/context.h"
#include "core/agentctl/nouns/node.h"
#include "core/agentctl/nouns/nouns.h"
#include "core/agentctl/output/list.h"
#include "core/agentctl/output/pretty.h"
#include "core/agentctl/shape/shape.h"
#include "core/model/names.h"
#include "core/model/task_state.h"
#include "skep/control.methods.h"

namespace skep::ctl {
namespace {

using model::v1::Node;

const ListShape kNodes{
    "{{.ID}} {{if .Self}}*{{else}} "
    "{{end}}\t{{.Hostname}}\t{{.Status}}\t{{.Availability}}\t{{.ManagerStatus}}\t{{.EngineVersion}"
    "}",
    {{"ID", "ID"},
     {"Self", ""},
     {"Hostname", "HOSTNAME"},
     {"Status", "STATUS"},
     {"Availability", "AVAILABILITY"},
     {"ManagerStatus", "MANAGER STATUS"},
     {"EngineVersion", "ENGINE VERSION"},
     {"TLSStatus", "TLS STATUS"}},
    "ID",
    "node_id: {{.ID}}\nhostname: {{.Hostname}}\nstatus: {{.Status}}\navailability: {{.Availability}}\n"
    "manager_status: {{.ManagerStatus}}\n",
    "node_id: {{.ID}}"};

std::string capitalised(std::string_view word) {
  std::string text(word);
  if (!text.empty()) {
    text.front() = static_cast<char>(std::toupper(static_cast<unsigned char>(text.front())));
  }
  return text;
}

std::string manager_status(const Node& node) {
  if (!node.has_manager_status()) {
    return "";
  }
  const auto& status = node.manager_status();
  return status.leader()              ? "Leader"
         : status.reachability() == 2 ? "Reachable"
         : status.reachability() == 1 ? "Unreachable"
                                      : "Unknown";
}

/// Docker's words: whether the node trusts the root that the swarm has, or is to have.
std::string tls_status(const Node& node, const model::v1::RootCa& root) {
  const std::string& trusts = node.description().tls().trust_root();
  if (trusts.empty() || root.certificate().empty()) {
    return "Unknown";
  }
  const std::string& wanted = root.has_rotation() ? root.rotation().certificate() : root.certificate();
  return trusts.find(wanted) == std::string::npos ? "Needs Rotation" : "Ready";
}

Result<int> list(Context& context, const ListOptions& options) {
  control::v1::ListNodesRequest request;
  SKEP_TRY(add_filters(request, options.filters,
                       {"id", "label", "node.label", "membership", "name", "role"}));
  SKEP_TRY_ASSIGN(Client * agent, context.agent());
  SKEP_TRY_ASSIGN(const auto answer, agent->list<control::v1::methods::ListNodes>(kCore, request));
  std::vector<Node> nodes(answer.nodes().begin(), answer.nodes().end());
  std::sort(nodes.begin(), nodes.end(), [](const Node& a, const Node& b) {
    return model::natural_less(a.description().hostname(), b.description().hostname());
  });
  const auto cluster = agent->call<control::v1::methods::GetCluster>(kCore, {});
  const model::v1::RootCa root = cluster ? cluster->cluster().root_ca() : model::v1::RootCa();
  std::vector<Value> rows;
  for (const Node& node : nodes) {
    Value row = Value::object();
    row.set("ID", node.id())
        .set("Self", node.id() == answer.self())
        .set("Hostname", node.description().hostname());
    row.set("Status", capitalised(model::node_state_name(node.status().state())));
    row.set("Availability", capitalised(model::availability_name(node.spec().availability())));
    row.set("ManagerStatus", manager_status(node))
        .set("EngineVersion", node.description().engine().version());
    row.set("TLSStatus", tls_status(node, root));
    row.set("Label", label_function({node.spec().labels().begin(), node.spec().labels().end()}));
    rows.push_back(std::move(row));
  }
  SKEP_TRY(print_list(context, kNodes, options, rows));
  return 0;
}

struct InspectOptions {
  std::string format;
  bool pretty = false;
};

Result<int> inspect(Context& context, const InspectOptions& options,
                    const std::vector<std::string>& references) {
  if (options.pretty && !options.format.empty()) {
    return Error{Code::kInvalidArgument, "--pretty and --format exclude each other: give one",
                 "USAGE"};
  }
  SKEP_TRY_ASSIGN(Client * agent, context.agent());
  std::vector<Value> objects;
  std::string pretty;
  const int exit_code =
      for_each_reference(context, references, [&](const std::string& reference) -> Status {
        SKEP_TRY_ASSIGN(const Node node, get_node(*agent, reference));
        pretty += (pretty.empty() ? "" : "\n") + pretty_node(node);
        objects.push_back(node_shape(node));
        return ok();
      });
  if (options.pretty) {
    context.out << pretty;
  } else {
    SKEP_TRY(print_inspection(context, objects, options.format, absent_fields()));
  }
  return exit_code;
}

struct PsOptions {
  ListOptions list;
  bool no_resolve = false;
};

Result<int> list_tasks(Context& context, const PsOptions& options,
                       const std::vector<std::string>& given) {
  const std::vector<std::string> references =
      given.empty() ? std::vector<std::string>{"self"} : given;
  control::v1::ListTasksRequest request;
  SKEP_TRY(add_filters(request, options.list.filters, {"id", "name", "label", "desired-state"}));
  SKEP_TRY_ASSIGN(Client * agent, context.agent());
  std::size_t found = 0;
  const int exit_code =
      for_each_reference(context, references, [&](const std::string& reference) -> Status {
        SKEP_TRY_ASSIGN(const Node node, get_node(*agent, reference));
        auto& filter = *request.add_filters();
        filter.set_key("node");
        filter.set_value(node.id());
        ++found;
        return ok();
      });
  if (found == 0) {
    return exit_code;
  }
  SKEP_TRY_ASSIGN(const auto answer, agent->list<control::v1::methods::ListTasks>(kCore, request));
  SKEP_TRY_ASSIGN(const auto nodes, node_names(*agent, !options.no_resolve));
  SKEP_TRY(
      print_tasks(context, {answer.tasks().begin(), answer.tasks().end()}, nodes, options.list));
  return exit_code;
}

}  // namespace

Result<model::v1::Node> get_node(Client& agent, const std::string& reference) {
  control::v1::GetNodeRequest request;
  request.set_ref(reference);
  auto answer = agent.call<control::v1::methods::GetNode>(kCore, request);
  if (!answer && answer.error().code == Code::kNotFound) {
    return Error{Code::kNotFound,
                 fmt::format("no such node: '{}'; 'agentctl node ls' lists them", reference)};
  }
  SKEP_TRY_ASSIGN(const auto found, std::move(answer));
  return found.node();
}

void add_node_commands(Command& root) {
  auto& node = root.add("node", "Nodes of the swarm");
  auto list_options = std::make_shared<ListOptions>();
  auto& ls = node.add("ls,list", "List nodes");
  ls.arguments("[OPTIONS]", 0, 0);
  add_list_flags(ls, *list_options, "id, label, node.label, membership, name, role");
  ls.run([list_options](Context& context, const auto&) { return list(context, *list_options); });

  auto inspect_options = std::make_shared<InspectOptions>();
  node.add("inspect", "Show nodes in full")
      .arguments("[OPTIONS] self|NODE [NODE...]", 1)
      .completes("node")
      .text("--format,-f", inspect_options->format, "string", "'json' or a Go template")
      .toggle("--pretty", inspect_options->pretty, "Print for people")
      .run([inspect_options](Context& context, const auto& references) {
        return inspect(context, *inspect_options, references);
      });

  auto ps_options = std::make_shared<PsOptions>();
  auto& ps = node.add("ps", "List the tasks of nodes (default: of this node)");
  ps.arguments("[OPTIONS] [NODE...]", 0).completes("node");
  add_list_flags(ps, ps_options->list, "id, name, label, desired-state", true);
  ps.toggle("--no-resolve", ps_options->no_resolve, "Print node ids instead of names");
  ps.run([ps_options](Context& context, const auto& references) {
    return list_tasks(context, *ps_options, references);
  });
  add_node_changes(node);
}

}  // namespace skep::ctl
