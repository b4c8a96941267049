// What changes nodes: update, promote, demote, rm, stop.
#include <fmt/format.h>

#include <memory>
#include <optional>
#include <ostream>

#include "core/agentctl/context.h"
#include "core/agentctl/nouns/node.h"
#include "core/agentctl/nouns/nouns.h"
#include "core/agentctl/text.h"
#include "core/model/units.h"
#include "skep/agent.methods.h"
#include "skep/control.methods.h"

namespace skep::ctl {
namespace {

using model::v1::Node;

constexpr int kTries = 5;  // a node's object also changes when the node reports

/// `change` answers false when there is nothing to change.
template <class Change>
Result<bool> change_node(Client& agent, const std::string& reference, Change change) {
  for (int i = 1;; ++i) {
    SKEP_TRY_ASSIGN(const Node node, get_node(agent, reference));
    control::v1::UpdateNodeRequest request;
    request.set_ref(node.id());
    request.set_version(node.meta().version());
    *request.mutable_spec() = node.spec();
    SKEP_TRY_ASSIGN(const bool changed, change(*request.mutable_spec()));
    if (!changed) {
      return false;
    }
    auto answer = agent.call<control::v1::methods::UpdateNode>(kCore, request);
    if (answer) {
      return true;
    }
    if (answer.error().code != Code::kConflict || i == kTries) {
      return std::move(answer).error();
    }
  }
}

struct UpdateOptions {
  std::optional<std::string> availability;
  std::optional<std::string> role;
  std::vector<std::string> label_add;
  std::vector<std::string> label_rm;
};

Status change(model::v1::NodeSpec& spec, const UpdateOptions& options) {
  if (options.availability) {
    const std::string& wanted = *options.availability;
    if (wanted != "active" && wanted != "pause" && wanted != "drain") {
      return Error{
          Code::kInvalidArgument,
          fmt::format("--availability: '{}' is unknown: use active, pause or drain", wanted),
          "USAGE"};
    }
    spec.set_availability(wanted == "active"  ? model::v1::AVAILABILITY_ACTIVE
                          : wanted == "pause" ? model::v1::AVAILABILITY_PAUSE
                                              : model::v1::AVAILABILITY_DRAIN);
  }
  if (options.role) {
    if (*options.role != "worker" && *options.role != "manager") {
      return Error{Code::kInvalidArgument,
                   fmt::format("--role: '{}' is unknown: use worker or manager", *options.role),
                   "USAGE"};
    }
    spec.set_role(*options.role == "manager" ? model::v1::NODE_ROLE_MANAGER
                                             : model::v1::NODE_ROLE_WORKER);
  }
  for (const std::string& key : options.label_rm) {
    if (spec.mutable_labels()->erase(key) == 0) {
      return Error{Code::kNotFound, fmt::format("--label-rm: the node has no label '{}'", key)};
    }
  }
  for (const std::string& label : options.label_add) {
    SKEP_TRY_ASSIGN(const auto pair, parse_pair(label));
    (*spec.mutable_labels())[pair.first] = pair.second;
  }
  return ok();
}

Result<int> update(Context& context, const UpdateOptions& options, const std::string& reference) {
  SKEP_TRY_ASSIGN(Client * agent, context.agent());
  SKEP_TRY(change_node(*agent, reference, [&](model::v1::NodeSpec& spec) -> Result<bool> {
    SKEP_TRY(change(spec, options));
    return true;
  }));
  context.out << reference << '\n';
  return 0;
}

void add_update(Command& node) {
  auto options = std::make_shared<UpdateOptions>();
  node.add("update", "Change a node")
      .arguments("[OPTIONS] NODE", 1, 1)
      .completes("node")
      .text("--availability", options->availability, "string",
            "active, pause (no new tasks) or drain (none at all)")
      .text("--role", options->role, "string", "worker or manager")
      .list("--label-add", options->label_add, "Add or change a label: KEY=VALUE")
      .list("--label-rm", options->label_rm, "Remove a label by its key")
      .run([options](Context& context, const auto& arguments) {
        return update(context, *options, arguments.front());
      });
}

Result<int> set_role(Context& context, bool manager, const std::vector<std::string>& references) {
  SKEP_TRY_ASSIGN(Client * agent, context.agent());
  return for_each_reference(context, references, [&](const std::string& reference) -> Status {
    const auto role = manager ? model::v1::NODE_ROLE_MANAGER : model::v1::NODE_ROLE_WORKER;
    SKEP_TRY_ASSIGN(const bool changed,
                    change_node(*agent, reference, [role](model::v1::NodeSpec& spec) -> Result<bool> {
                      const bool differs = spec.role() != role;
                      spec.set_role(role);
                      return differs;
                    }));
    if (!changed) {
      context.out << fmt::format("Node {} is already a {}.\n", reference, manager ? "manager" : "worker");
    } else if (manager) {
      context.out << fmt::format("Node {} promoted to a manager in the swarm.\n", reference);
    } else {
      context.out << fmt::format("Manager {} demoted in the swarm.\n", reference);
    }
    return ok();
  });
}

Result<int> remove(Context& context, bool force, const std::vector<std::string>& references) {
  SKEP_TRY_ASSIGN(Client * agent, context.agent());
  return for_each_reference(context, references, [&](const std::string& reference) -> Status {
    control::v1::RemoveNodeRequest request;
    request.set_ref(reference);
    request.set_force(force);
    SKEP_TRY(agent->call<control::v1::methods::RemoveNode>(kCore, request));
    context.out << reference << '\n';
    return ok();
  });
}

Result<int> stop(Context& context, Duration patience) {
  agent::v1::StopRequest request;
  request.set_patience(patience.count());
  SKEP_TRY_ASSIGN(Client * agent, context.agent());
  const auto deadline =
      std::chrono::duration_cast<std::chrono::milliseconds>(patience) + std::chrono::seconds(10);
  SKEP_TRY(agent->call<agent::v1::methods::Stop>(kCore, request, deadline));
  context.out << "The tasks of this node were handed over; its agent stops.\n";
  return 0;
}

}  // namespace

void add_node_changes(Command& node) {
  add_update(node);
  node.add("promote", "Make nodes managers")
      .arguments("NODE [NODE...]", 1)
      .completes("node")
      .run([](Context& context, const auto& nodes) { return set_role(context, true, nodes); });
  node.add("demote", "Make managers workers")
      .arguments("NODE [NODE...]", 1)
      .completes("node")
      .run([](Context& context, const auto& nodes) { return set_role(context, false, nodes); });
  auto force = std::make_shared<bool>(false);
  node.add("rm,remove", "Remove nodes from the swarm")
      .arguments("[OPTIONS] NODE [NODE...]", 1)
      .completes("node")
      .toggle("--force,-f", *force, "Also nodes that are not down")
      .run([force](Context& context, const auto& nodes) { return remove(context, *force, nodes); });
  auto patience = std::make_shared<Duration>(std::chrono::minutes(2));
  node.add("stop", "Hand this node's tasks over to others, then stop its agent")
      .arguments("[OPTIONS]", 0, 0)
      .parsed("--wait", "duration", "How long tasks may take to end here (default 2m)",
              [patience](const std::string& text) -> Status {
                SKEP_TRY_ASSIGN(*patience, model::parse_duration(text));
                return patience->count() > 0
                           ? ok()
                           : Status(Error{Code::kInvalidArgument,
                                          fmt::format("'{}' is not longer than zero", text)});
              })
      .run([patience](Context& context, const auto&) { return stop(context, *patience); });
}

}  // namespace skep::ctl
