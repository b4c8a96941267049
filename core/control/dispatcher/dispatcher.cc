#include "core/control/dispatcher/dispatcher.h"

#include <algorithm>
#include <utility>

#include "core/control/ca/ca.h"
#include "core/control/ca/root_rotation.h"
#include "core/model/defaults.h"
#include "core/model/ids.h"
#include "core/model/task_state.h"
#include "core/model/validate_task.h"
#include "skep/log.h"
#include "skep/mutant.h"

namespace skep::control {
namespace {

using namespace std::chrono_literals;
using model::v1::Node;
using model::v1::Task;

constexpr Duration kWritePause = 500ms;  // after a failed write
constexpr Duration kPeriodMin = 100ms;

model::v1::NodeStatus with_state(const Node* node, model::v1::NodeState state,
                                 std::string message) {
  model::v1::NodeStatus status;
  if (node != nullptr) {
    status = node->status();
  }
  status.set_state(state);
  status.set_message(std::move(message));
  return status;
}

template <class T>
void append(Effects& effects, T effect) {
  effects.emplace_back(std::move(effect));
}

}  // namespace

Dispatcher::Dispatcher(const store::View& view, Random& random, Settings settings)
    : view_(view), random_(random), settings_(std::move(settings)) {}
Dispatcher::~Dispatcher() = default;

Error Dispatcher::unknown_session() {
  return Error{Code::kNotFound, "this session is over; open a new one", "SESSION_UNKNOWN"};
}

Duration Dispatcher::period() const {
  const auto cluster = view_.cluster();
  if (cluster == nullptr || cluster->spec().heartbeat_period() <= 0) {
    return model::kHeartbeatPeriod;
  }
  return std::max<Duration>(Duration{cluster->spec().heartbeat_period()}, kPeriodMin);
}

Effects Dispatcher::start(TimePoint now) {
  for (const auto& [id, node] : view_.all<Node>()) {
    if (node->status().state() == model::v1::NODE_STATE_DOWN) {
      orphan_at_.emplace(now + model::kOrphanAfter, id);
    } else {
      give_until(id, now + (SKEP_MUTANT(kNoGraceForNewLeader)
                                ? Duration{1}
                                : std::max<Duration>(model::kLeaderChangeGrace, 3 * period())));
    }
  }
  return {};
}

void Dispatcher::give_until(const std::string& node_id, TimePoint deadline) {
  forget_deadline(node_id);
  deadline_of_[node_id] = deadline;
  deadlines_.emplace(deadline, node_id);
}

void Dispatcher::forget_deadline(const std::string& node_id) {
  if (const auto it = deadline_of_.find(node_id); it != deadline_of_.end()) {
    deadlines_.erase({it->second, node_id});
    deadline_of_.erase(it);
  }
}

Dispatcher::Session* Dispatcher::find(const std::string& session_id) {
  const auto it = sessions_.find(session_id);
  return it == sessions_.end() ? nullptr : &it->second;
}

std::string Dispatcher::node_of(const std::string& session_id) const {
  const auto it = sessions_.find(session_id);
  return it == sessions_.end() ? std::string() : it->second.node_id;
}

void Dispatcher::end_session(const std::string& session_id, Error error, Effects& effects) {
  const auto it = sessions_.find(session_id);
  if (it == sessions_.end()) {
    return;
  }
  session_of_node_.erase(it->second.node_id);
  std::erase_if(sends_, [&](const auto& entry) { return entry.second == session_id; });
  sessions_.erase(it);
  append(effects, effect::EndSession{session_id, std::move(error)});
}

Result<std::string> Dispatcher::open_session(const dispatch::v1::SessionRequest& request,
                                             TimePoint now, Effects& effects) {
  const auto node = view_.get<Node>(request.node_id());
  if (node == nullptr) {
    return Error{Code::kNotFound,
                 "node '" + request.node_id() + "' is not part of this swarm (was it removed?)",
                 "NODE_UNKNOWN"};
  }
  if (const auto old = session_of_node_.find(request.node_id()); old != session_of_node_.end()) {
    const Session& session = sessions_.at(old->second);
    // A process that ended closes its stream, and one whose machine vanished misses its heartbeats.
    if (session.stream_open && !session.restarting && !session.boot_id.empty() &&
        session.boot_id != request.boot_id() && now - session.last_heard < 2 * period()) {
      Error error = identity_in_use(*node);
      flush(now, effects);
      return error;
    }
    end_session(std::string(old->second),
                Error{Code::kConflict, "the node opened a newer session", "SESSION_REPLACED"},
                effects);
  }
  const std::string session_id = model::new_id(random_);
  Session& session = sessions_[session_id];
  session.node_id = request.node_id();
  session.boot_id = request.boot_id();
  session.last_heard = now;
  session_of_node_[session.node_id] = session_id;
  std::erase_if(orphan_at_, [&](const auto& entry) { return entry.second == session.node_id; });
  give_until(session.node_id, now + 3 * period() + model::kHeartbeatJitter);
  writes_.put_node_status(session.node_id, with_state(node.get(), model::v1::NODE_STATE_READY, ""));
  if (request.has_description()) {
    writes_.put_description(session.node_id, request.description());
  }
  send_session(session_id, session, effects);
  flush(now, effects);
  return session_id;
}

Error Dispatcher::identity_in_use(const Node& node) {
  constexpr const char* kAlarm =
      "another agent claims to be this node: two machines have the same state directory or "
      "certificate";
  if (node.status().message() != kAlarm) {
    // It tries again every second; once told is enough.
    SKEP_ERROR("an agent was refused: it has the identity of a node that is alive",
               {"node", node.id()}, {"hostname", node.description().hostname()});
    writes_.put_node_status(node.id(), with_state(&node, node.status().state(), kAlarm));
  }
  return Error{
      Code::kAlreadyExists,
      "node '" + node.id() +
          "' is alive elsewhere: this agent has a copy of its identity. Stop one of the two; "
          "'agentctl swarm leave --force' on the copy, then join it anew",
      "IDENTITY_IN_USE"};
}

const dispatch::v1::SessionMessage& Dispatcher::certificate_wishes() const {
  const auto cluster = view_.cluster();
  if (cluster != nullptr && cluster->meta().version() != wishes_version_) {
    wishes_version_ = cluster->meta().version();
    wishes_.Clear();
    wishes_.set_roots(trusted_roots(cluster->root_ca()));
    wishes_.set_root_version(cluster->root_ca().version());
    wishes_.set_certificate_life(certificate_life(cluster->spec()).count());
    if (const auto issuer = link::as_issuer(wanted_root(cluster->root_ca()))) {
      wishes_.set_issuer_public_key(issuer->public_key);
    }
  }
  return wishes_;
}

void Dispatcher::send_session(const std::string& session_id, Session& session, Effects& effects) {
  const auto node = view_.get<Node>(session.node_id);
  dispatch::v1::SessionMessage message = certificate_wishes();
  message.set_session_id(session_id);
  message.set_heartbeat_period(period().count());
  if (node != nullptr) {
    *message.mutable_node() = *node;
    session.node_spec_sent = model::deterministic_bytes(node->spec());
  }
  for (const auto& manager : settings_.managers) {
    message.add_managers(manager);
  }
  message.set_leader_epoch(settings_.leader_epoch);
  message.set_incarnation(settings_.incarnation);
  message.set_leader(settings_.self);
  append(effects, effect::SendSession{session_id, std::move(message)});
}

Effects Dispatcher::set_managers(std::vector<std::string> managers) {
  Effects effects;
  if (managers == settings_.managers) {
    return effects;
  }
  settings_.managers = std::move(managers);
  for (auto& [id, session] : sessions_) {
    send_session(id, session, effects);
  }
  return effects;
}

Effects Dispatcher::session_closed(const std::string& session_id, TimePoint now) {
  Session* session = find(session_id);
  if (session != nullptr) {
    session->stream_open = false;
    session->assignments.reset();
    const TimePoint deadline =
        now + (session->restarting ? model::kNodeRestartGrace : model::kSessionLostGrace);
    const auto current = deadline_of_.find(session->node_id);
    // A closed stream shortens the wait; the word that the node restarts lengthens it.
    if (session->restarting || current == deadline_of_.end() || deadline < current->second) {
      give_until(std::string(session->node_id), deadline);
    }
  }
  return {};
}

Result<dispatch::v1::HeartbeatResponse> Dispatcher::heartbeat(
    const dispatch::v1::HeartbeatRequest& request, TimePoint now) {
  Session* session = find(request.session_id());
  if (session == nullptr || !session->stream_open) {
    return unknown_session();
  }
  session->restarting = request.restarting();
  session->last_heard = now;
  if (std::exchange(session->stopping, request.stopping()) != request.stopping()) {
    // Down: its tasks are replaced at once. It is told to end them as long as its session lives.
    const auto state = request.stopping() ? model::v1::NODE_STATE_DOWN : model::v1::NODE_STATE_READY;
    writes_.put_node_status(session->node_id,
                            with_state(view_.get<Node>(session->node_id).get(), state,
                                       request.stopping() ? "it stops and handed its tasks over" : ""));
  }
  give_until(session->node_id,
             now + (request.restarting() ? model::kNodeRestartGrace
                                         : 3 * period() + model::kHeartbeatJitter));
  // The jitter keeps nodes that started together from beating together.
  const auto jitter = static_cast<std::int64_t>(
      random_.below(static_cast<std::uint64_t>(
                        std::min<Duration>(model::kHeartbeatJitter, period() / 10).count()) +
                    1));
  dispatch::v1::HeartbeatResponse response;
  response.set_period(period().count() - jitter);
  return response;
}

Status Dispatcher::update_tasks(const dispatch::v1::UpdateTaskStatusRequest& request,
                                std::uint64_t token, TimePoint now, Effects& effects) {
  const Session* session = find(request.session_id());
  if (session == nullptr) {
    return unknown_session();
  }
  for (const auto& update : request.updates()) {
    const auto task = view_.get<Task>(update.task_id());
    if (task != nullptr && task->node_id() != session->node_id) {
      return Error{
          Code::kPermissionDenied,
          "task '" + update.task_id() + "' is not assigned to node '" + session->node_id + "'",
          "NOT_YOUR_TASK"};
    }
    SKEP_TRY_ASSIGN(const auto state,
                    model::parse_task_state(static_cast<int>(update.status().state())));
    if (state < model::v1::TASK_STATE_ASSIGNED || state > model::v1::TASK_STATE_REJECTED) {
      return Error{
          Code::kInvalidArgument,
          "a node cannot report state '" + std::string(model::task_state_name(state)) + "'",
          "BAD_TASK_STATE"};
    }
  }
  for (const auto& update : request.updates()) {
    writes_.put_status(update.task_id(), update.status());
  }
  writes_.answer(token);
  flush(now, effects);
  return ok();
}

Status Dispatcher::update_description(const dispatch::v1::UpdateDescriptionRequest& request,
                                      std::uint64_t token, TimePoint now, Effects& effects) {
  const Session* session = find(request.session_id());
  if (session == nullptr) {
    return unknown_session();
  }
  writes_.put_description(session->node_id, request.description());
  writes_.answer(token);
  flush(now, effects);
  return ok();
}

Effects Dispatcher::on_time(TimePoint now) {
  Effects effects;
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
    const std::string node_id = deadlines_.begin()->second;
    forget_deadline(node_id);
    if (const auto it = session_of_node_.find(node_id); it != session_of_node_.end()) {
      end_session(
          std::string(it->second),
          Error{Code::kTimeout, "the manager heard no heartbeat in time", "HEARTBEAT_MISSED"},
          effects);
    }
    node_missed(node_id, now);
  }
  while (!orphan_at_.empty() && orphan_at_.begin()->first <= now) {
    const std::string node_id = orphan_at_.begin()->second;
    orphan_at_.erase(orphan_at_.begin());
    orphan_tasks(node_id, "its node has been down for more than 24 hours");
  }
  while (!sends_.empty() && sends_.begin()->first <= now) {
    const std::string session_id = sends_.begin()->second;
    sends_.erase(sends_.begin());
    if (Session* session = find(session_id); session != nullptr) {
      send_assignments(session_id, *session, now, effects);
    }
  }
  flush(now, effects);
  return effects;
}

void Dispatcher::node_missed(const std::string& node_id, TimePoint now) {
  const auto node = view_.get<Node>(node_id);
  if (node == nullptr) {
    return;
  }
  SKEP_WARN("node is down", {"node", node_id}, {"hostname", node->description().hostname()});
  writes_.put_node_status(node_id,
                          with_state(node.get(), model::v1::NODE_STATE_DOWN, "heartbeat failure"));
  orphan_at_.emplace(now + model::kOrphanAfter, node_id);
}

void Dispatcher::orphan_tasks(const std::string& node_id, const std::string& why) {
  for (const auto& [id, task] : view_.tasks_of_node(node_id)) {
    if (!model::is_terminal(task->status().state())) {
      model::v1::TaskStatus status = task->status();
      status.set_state(model::v1::TASK_STATE_ORPHANED);
      status.set_message(why);
      writes_.put_status(id, status);
    }
  }
}

void Dispatcher::flush(TimePoint now, Effects& effects) {
  if (now < paused_until_) {
    return;
  }
  std::vector<ObservedWrites::Reply> replies;
  auto transactions = writes_.take(view_, replies);
  for (auto& transaction : transactions) {
    append(effects, effect::Propose{std::move(transaction)});
  }
  for (auto& reply : replies) {
    append(effects, effect::Reply{reply.token, std::move(reply.status)});
  }
}

Effects Dispatcher::committed(const Result<std::uint64_t>& result, TimePoint now) {
  Effects effects;
  for (auto& reply : writes_.committed(result)) {
    append(effects, effect::Reply{reply.token, std::move(reply.status)});
  }
  if (writes_.should_pause()) {
    paused_until_ = now + kWritePause;
  }
  flush(now, effects);
  return effects;
}

TimePoint Dispatcher::next_wakeup() const {
  TimePoint next = TimePoint::max();
  for (const Timers* timers : {&deadlines_, &orphan_at_, &sends_}) {
    if (!timers->empty()) {
      next = std::min(next, timers->begin()->first);
    }
  }
  if (writes_.has_work()) {
    next = std::min(next, paused_until_);
  }
  return next;
}

}  // namespace skep::control
