#pragma once

// A dispatcher over a store whose proposals are committed by hand, in a time of its own.

#include <gtest/gtest.h>

#include "core/control/dispatcher/dispatcher.h"
#include "core/store/store.h"
#include "skep/testing/manual_env.h"

namespace skep::control {

using namespace std::chrono_literals;
using dispatch::v1::AssignmentsMessage;
using model::v1::Node;
using model::v1::Task;

/// A dispatcher whose proposals are committed by hand.
class DispatcherWorld {
 public:
  explicit DispatcherWorld(int nodes = 2) {
    store::Transaction transaction;
    for (int i = 1; i <= nodes; ++i) {
      Node node;
      node.set_id("n" + std::to_string(i));
      transaction.put(node);
    }
    EXPECT_TRUE(commit_directly(std::move(transaction)));
    dispatcher =
        std::make_unique<Dispatcher>(store.view(), random, Dispatcher::Settings{3, {"n1=a:1"}});
    take(dispatcher->start(now));
  }

  void take(Effects effects) {
    for (auto& variant : effects) {
      if (auto* propose = std::get_if<effect::Propose>(&variant)) {
        proposals.push_back(std::move(propose->transaction));
      } else if (auto* send = std::get_if<effect::SendAssignments>(&variant)) {
        for (auto& message : send->messages) {
          messages.push_back(std::move(message));
        }
        sent_to = send->session_id;
      } else if (auto* session = std::get_if<effect::SendSession>(&variant)) {
        session_messages.push_back(std::move(session->message));
      } else if (auto* end = std::get_if<effect::EndSession>(&variant)) {
        ended[end->session_id] = end->error.reason;
      } else if (auto* reply = std::get_if<effect::Reply>(&variant)) {
        replies[reply->token] = reply->status ? "ok" : reply->status.error().reason;
      }
    }
  }
  /// Commits (or answers with `error`) everything proposed so far, and what follows from it.
  void settle() {
    while (!proposals.empty()) {
      auto batch = std::exchange(proposals, {});
      for (auto& transaction : batch) {
        take(dispatcher->committed(commit_directly(std::move(transaction)), now));
      }
    }
  }
  Result<std::uint64_t> commit_directly(store::Transaction transaction) {
    store::Commit seen;
    const auto id = store.subscribe([&](const store::Commit& commit) { seen = commit; });
    const auto bytes = transaction.encode("p", 1);
    const auto result = store.apply(store.applied_index() + 1, 1, *bytes);
    store.unsubscribe(id);
    if (dispatcher != nullptr) {
      take(dispatcher->on_commit(seen, now));
    }
    if (result->outcome != store::Outcome::kApplied) {
      return Error{Code::kConflict, result->message, "VERSION_CONFLICT"};
    }
    return store.applied_index();
  }
  template <class T>
  void put(const T& object) {
    store::Transaction transaction;
    transaction.put(object);
    ASSERT_TRUE(commit_directly(std::move(transaction)));
  }
  void advance(Duration by) {
    const TimePoint until = now + by;
    while (dispatcher->next_wakeup() <= until) {
      now = std::max(now, dispatcher->next_wakeup());
      take(dispatcher->on_time(now));
      settle();
    }
    now = until;
  }
  std::string open(const std::string& node, const std::string& boot = "b") {
    dispatch::v1::SessionRequest request;
    request.set_node_id(node);
    request.set_boot_id(boot);
    Effects effects;
    const auto id = dispatcher->open_session(request, now, effects);
    EXPECT_TRUE(id);
    take(std::move(effects));
    settle();
    return *id;
  }
  void beat(const std::string& session, bool restarting = false) {
    dispatch::v1::HeartbeatRequest request;
    request.set_session_id(session);
    request.set_restarting(restarting);
    EXPECT_TRUE(dispatcher->heartbeat(request, now));
  }
  Status report(const std::string& session, const std::string& task, model::v1::TaskState state,
                std::uint64_t token) {
    dispatch::v1::UpdateTaskStatusRequest request;
    request.set_session_id(session);
    auto& update = *request.add_updates();
    update.set_task_id(task);
    update.mutable_status()->set_state(state);
    Effects effects;
    auto status = dispatcher->update_tasks(request, token, now, effects);
    take(std::move(effects));
    return status;
  }
  void add_task(const std::string& id, const std::string& node,
                model::v1::TaskState state = model::v1::TASK_STATE_ASSIGNED) {
    Task task;
    task.set_id(id);
    task.set_node_id(node);
    task.set_desired_state(model::v1::TASK_STATE_RUNNING);
    task.mutable_status()->set_state(state);
    put(task);
  }
  model::v1::NodeState state_of(const std::string& node) {
    return store.view().get<Node>(node)->status().state();
  }
  model::v1::TaskState task_state(const std::string& task) {
    return store.view().get<Task>(task)->status().state();
  }
  void open_assignments(const std::string& session) {
    Effects effects;
    ASSERT_TRUE(dispatcher->open_assignments(session, now, effects));
    take(std::move(effects));
  }
  void sent(const std::string& session) { take(dispatcher->assignments_sent(session, now)); }

  store::Store store;
  testing::SeededRandom random{1};
  std::unique_ptr<Dispatcher> dispatcher;
  TimePoint now{1h};
  std::vector<store::Transaction> proposals;
  std::vector<AssignmentsMessage> messages;
  std::string sent_to;
  std::vector<dispatch::v1::SessionMessage> session_messages;
  std::map<std::string, std::string> ended;
  std::map<std::uint64_t, std::string> replies;
};

}  // namespace skep::control
