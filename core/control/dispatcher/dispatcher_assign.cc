// What nodes are told to have, and what commits mean for that. See dispatcher.h.

#include <algorithm>
#include <utility>

#include "core/control/dispatcher/dispatcher.h"
#include "core/model/defaults.h"
#include "core/model/validate_task.h"
#include "skep/mutant.h"

namespace skep::control {
namespace {

using namespace std::chrono_literals;
using model::v1::Node;
using model::v1::Task;

constexpr Duration kBatchTime = 100ms;      // between two assignment messages to one node
constexpr std::size_t kBatchChanges = 100;  // unless so many changes wait

}  // namespace

Status Dispatcher::open_assignments(const std::string& session_id, TimePoint now,
                                    Effects& effects) {
  Session* session = find(session_id);
  if (session == nullptr || !session->stream_open) {
    return unknown_session();
  }
  session->assignments = std::make_unique<AssignmentSet>(session->node_id);
  session->sending = false;
  send_assignments(session_id, *session, now, effects);
  return ok();
}

void Dispatcher::send_assignments(const std::string& session_id, Session& session, TimePoint now,
                                  Effects& effects) {
  if (session.assignments == nullptr || session.sending) {
    return;
  }
  auto messages = session.assignments->build(view_);
  if (!messages.empty()) {
    session.sending = true;
    session.last_sent = now;
    effects.emplace_back(effect::SendAssignments{session_id, std::move(messages)});
  }
}

Effects Dispatcher::assignments_sent(const std::string& session_id, TimePoint now) {
  Session* session = find(session_id);
  if (session != nullptr) {
    session->sending = false;
    if (session->assignments != nullptr && session->assignments->dirty() &&
        !SKEP_MUTANT(kAssignmentsForgotten)) {
      sends_.emplace(std::max(now, session->last_sent + kBatchTime), session_id);
    }
  }
  return {};
}

void Dispatcher::assignments_closed(const std::string& session_id) {
  if (Session* session = find(session_id); session != nullptr) {
    session->assignments.reset();
    session->sending = false;
  }
}

Effects Dispatcher::on_commit(const store::Commit& commit, TimePoint now) {
  Effects effects;
  std::map<std::string, std::vector<const std::string*>> touched;  // node id -> its changed tasks
  for (const auto& event : commit.events) {
    if (event.table == store::Table::kNode) {
      touched[event.id];
      if (event.action == store::Action::kCreated) {
        give_until(event.id, now + model::kLeaderChangeGrace);
      }
    } else if (const auto* task =
                   event.after != nullptr ? event.after_as<Task>() : event.before_as<Task>();
               task != nullptr && !task->node_id().empty()) {
      touched[task->node_id()].push_back(&event.id);
    }
  }
  if (std::any_of(commit.events.begin(), commit.events.end(),
                  [](const auto& event) { return event.table == store::Table::kCluster; })) {
    // Heartbeats, roots and lives of certificates: everybody is told, and a shorter period counts from now on.
    const TimePoint latest = now + 3 * period() + model::kHeartbeatJitter;
    for (auto& [id, session] : sessions_) {
      if (!session.stream_open) {
        continue;
      }
      send_session(id, session, effects);
      const auto deadline = deadline_of_.find(session.node_id);
      if (!session.restarting && deadline != deadline_of_.end() && latest < deadline->second) {
        give_until(session.node_id, latest);
      }
    }
  }
  for (const auto& [node_id, tasks] : touched) {
    node_changed(node_id, tasks, now, effects);
  }
  return effects;
}

void Dispatcher::node_changed(const std::string& node_id,
                              const std::vector<const std::string*>& tasks, TimePoint now,
                              Effects& effects) {
  const auto it = session_of_node_.find(node_id);
  const auto node = view_.get<Node>(node_id);
  if (node == nullptr) {
    forget_deadline(node_id);
    std::erase_if(orphan_at_, [&](const auto& entry) { return entry.second == node_id; });
    if (it != session_of_node_.end()) {
      end_session(std::string(it->second),
                  Error{Code::kNotFound, "the node was removed from the swarm", "NODE_REMOVED"},
                  effects);
    }
    orphan_tasks(node_id, "its node was removed from the swarm");
    flush(now, effects);
    return;
  }
  if (it == session_of_node_.end()) {
    return;
  }
  Session& session = sessions_.at(it->second);
  if (session.stream_open && model::deterministic_bytes(node->spec()) != session.node_spec_sent) {
    send_session(it->second, session, effects);
  }
  if (session.assignments == nullptr) {
    return;
  }
  for (const std::string* id : tasks) {
    session.assignments->mark(*id);
  }
  if (session.assignments->dirty() && !session.sending) {
    const bool at_once = session.assignments->changes() >= kBatchChanges;
    sends_.emplace(at_once ? now : std::max(now, session.last_sent + kBatchTime), it->second);
  }
}

}  // namespace skep::control
