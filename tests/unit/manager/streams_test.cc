// What the manager streams: watches, logs, sessions and assignments.

#include <gtest/gtest.h>

#include "api_rig.h"
#include "skep/dispatch.methods.h"
#include "skep/runtime.methods.h"

namespace skep::control {
namespace {

TEST(ControlApi, AWatchGivesWhatIsThereAndThenChanges) {
  Api api;
  const Service made = api.create(web());
  v1::WatchRequest request;
  request.add_tables("service");
  std::vector<std::string> seen;
  std::uint64_t last = 0;
  const auto note = [&](const v1::WatchEvent& event) {
    seen.push_back(event.action() + " " + event.table());
    last = event.version();
  };
  auto stream =
      rpc::open<methods::Watch>(*api.user, "core", request, {.deadline = 0ms}, note, [](Status) {});
  api.world.loop.advance(10ms);
  api.create(web("db"));
  v1::RemoveServiceRequest remove;
  remove.set_ref("web");
  ASSERT_TRUE(api.ask<methods::RemoveService>(remove));
  api.world.loop.advance(10ms);
  EXPECT_EQ(seen, (std::vector<std::string>{"present service", "synced ", "created service",
                                            "removed service"}));
  stream->cancel();

  seen.clear();
  request.set_resume_after(last - 1);
  bool done = false;
  auto resumed = rpc::open<methods::Watch>(*api.user, "core", request, {.deadline = 0ms}, note,
                                           [&](Status) { done = true; });
  api.world.loop.advance(10ms);
  EXPECT_EQ(seen, (std::vector<std::string>{"removed service"}));
  resumed->cancel();
  request.set_resume_after(last + 100);
  Status ended = ok();
  auto future = rpc::open<methods::Watch>(*api.user, "core", request, {.deadline = 0ms}, note,
                                          [&](Status status) { ended = std::move(status); });
  api.world.loop.advance(10ms);
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error().reason, "SNAPSHOT_AGAIN");
}

/// The objects of `table` as a watcher gets them. T: their type.
template <class T>
std::vector<T> watched(Api& api, const std::string& table) {
  std::vector<T> seen;
  v1::WatchRequest request;
  request.add_tables(table);
  auto stream = rpc::open<methods::Watch>(
      *api.user, "core", request, {.deadline = 0ms},
      [&](const v1::WatchEvent& event) {
        if (event.table() == table) {
          EXPECT_TRUE(seen.emplace_back().ParseFromString(event.object()));
        }
      },
      [](const Status& status) { ADD_FAILURE() << status.error().message; });
  api.world.loop.advance(10ms);
  stream->cancel();
  return seen;
}

TEST(ControlApi, AWatchShowsNoKeysOfTheSwarm) {
  Api api;
  model::v1::Cluster cluster = *api.view().cluster();
  cluster.set_unlock_key("unlock");
  cluster.mutable_root_ca()->set_certificate("certificate");
  cluster.mutable_root_ca()->set_key("key");
  cluster.mutable_root_ca()->set_worker_secret("worker");
  cluster.mutable_root_ca()->set_manager_secret("manager");
  cluster.mutable_root_ca()->mutable_rotation()->set_key("next");
  api.put(cluster);
  const auto seen = watched<model::v1::Cluster>(api, "cluster");
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].spec().name(), "default");
  EXPECT_EQ(seen[0].unlock_key(), "");
  EXPECT_EQ(seen[0].root_ca().certificate(), "certificate") << "that is for everybody";
  EXPECT_EQ(seen[0].root_ca().key(), "");
  EXPECT_EQ(seen[0].root_ca().worker_secret(), "");
  EXPECT_EQ(seen[0].root_ca().manager_secret(), "");
  EXPECT_EQ(seen[0].root_ca().rotation().key(), "");
}

TEST(ControlApi, AWatchDoesNotTellWhichNodesWereRemoved) {
  Api api;
  std::set<std::string> tables;
  auto stream = rpc::open<methods::Watch>(
      *api.user, "core", v1::WatchRequest{}, {.deadline = 0ms},
      [&](const v1::WatchEvent& event) { tables.insert(event.table()); },
      [](const Status& status) { ADD_FAILURE() << status.error().message; });
  api.world.loop.advance(10ms);
  model::v1::RemovedNode gone;
  gone.set_id("gone");
  api.put(gone);
  api.create(web());
  api.world.loop.advance(10ms);
  stream->cancel();
  EXPECT_TRUE(tables.contains("service"));
  EXPECT_FALSE(tables.contains("removed_node")) << "they grow with every node that ever was";
}

TEST(ControlApi, AWatchShowsTheLargestServiceToo) {
  Api api;
  auto request = web();
  (*request.mutable_spec()->mutable_labels())["filler"] = std::string(130'900, 'x');
  const Service made = api.create(request);
  auto update = api.update_of(made);
  update.mutable_spec()->mutable_task()->set_force_update(1);
  ASSERT_TRUE(api.ask<methods::UpdateService>(update));
  ASSERT_TRUE(api.view().service_by_name("web")->has_previous_spec());
  const auto seen = watched<Service>(api, "service");
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].spec().labels().at("filler").size(), 130'900U);
  EXPECT_FALSE(seen[0].has_previous_spec()) << "both do not fit one event";
}

TEST(ControlApi, LabelsOfANodeHaveABound) {
  Api api;
  auto request = api.update_self();
  (*request.mutable_spec()->mutable_labels())["filler"] = std::string(70'000, 'x');
  const auto refused = api.ask<methods::UpdateNode>(request);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().reason, "SPEC_TOO_LARGE");
  (*request.mutable_spec()->mutable_labels())["filler"] = std::string(60'000, 'x');
  EXPECT_TRUE(api.ask<methods::UpdateNode>(request));
}

TEST(ControlApi, AWatcherThatDoesNotReadIsToldWhereToResume) {
  Api api;
  const Service made = api.create(web());
  v1::WatchRequest request;
  Status ended = ok();
  std::size_t events = 0;
  auto stream = rpc::open<methods::Watch>(
      *api.user, "core", request, {.deadline = 0ms}, [&](const v1::WatchEvent&) { ++events; },
      [&](Status status) { ended = std::move(status); });
  stream->hold_credit(true);
  for (int round = 0; round < 80 && ended; ++round) {
    store::Batch batch;
    for (int i = 0; i < 190; ++i) {
      batch.put(api.task("t" + std::to_string(round) + "-" + std::to_string(i), made, 1,
                         model::v1::TASK_STATE_NEW));
    }
    for (auto& transaction : batch.take()) {
      api.manager->proposer().propose(std::move(transaction), [](Result<std::uint64_t>) {});
    }
    api.world.loop.advance(1ms);
  }
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error().reason, "WATCH_TOO_SLOW");
}

TEST(ControlApi, LogsOfAServiceComeFromItsContainers) {
  Api api;
  rpc::MethodTable runtime;
  std::vector<std::string> asked;
  runtime.on_stream<runtime::v1::methods::Logs>(
      [&](const runtime::v1::LogsRequest& request, auto stream) {
        asked.push_back(request.container_id());
        runtime::v1::LogLine line;
        line.set_stream(1);
        line.set_data("half ");
        line.set_partial(true);
        EXPECT_TRUE(stream.send(line));
        line.set_data("line of " + request.container_id());
        line.set_partial(false);
        EXPECT_TRUE(stream.send(line));
        stream.finish(ok());
      });
  api.bus.attach("oci", "n1", {"runtime/oci"}, runtime, principal("plugin", "oci"));
  const Service made = api.create(web());
  Task first = api.task("t1", made, 1, model::v1::TASK_STATE_RUNNING);
  first.mutable_status()->mutable_container()->set_container_id("c1");
  api.put(first);
  Task remote = api.task("t2", made, 2, model::v1::TASK_STATE_RUNNING);
  remote.set_node_id("n9");
  remote.mutable_status()->mutable_container()->set_container_id("c2");
  api.put(remote);

  v1::ServiceLogsRequest request;
  request.set_ref("web");
  std::vector<std::string> lines;
  bool done = false;
  auto stream = rpc::open<methods::ServiceLogs>(
      *api.user, "core", request, {.deadline = 0ms},
      [&](const v1::ServiceLogLine& line) { lines.push_back(line.data()); },
      [&](Status status) { done = status.has_value(); });
  ASSERT_TRUE(api.world.loop.run_until([&] { return done; }, 5s));
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(lines[0],
            "(log of task web.2 cannot be read: node 'n9' cannot be asked from this manager)");
  EXPECT_EQ(lines[1], "half line of c1");

  // Following: a task that gets its container later joins.
  request.set_follow(true);
  lines.clear();
  auto follow = rpc::open<methods::ServiceLogs>(
      *api.user, "core", request, {.deadline = 0ms},
      [&](const v1::ServiceLogLine& line) { lines.push_back(line.data()); }, [](Status) {});
  api.world.loop.advance(10ms);
  Task later = api.task("t3", made, 3, model::v1::TASK_STATE_RUNNING);
  later.mutable_status()->mutable_container()->set_container_id("c3");
  api.put(later);
  api.world.loop.advance(10ms);
  EXPECT_EQ(lines.back(), "half line of c3");
  follow->cancel();
  api.bus.detach("oci");
}

TEST(DispatcherService, ANodeWorksOverItsStreams) {
  Api api;
  namespace d = dispatch::v1;
  const Service made = api.create(web());
  api.put(api.task("t1", made, 1, model::v1::TASK_STATE_ASSIGNED));
  d::SessionRequest open;
  open.set_node_id("n1");
  open.mutable_description()->set_hostname("alpha");
  std::string session;
  Status ended = ok();
  auto stream = rpc::open<d::methods::Session>(
      *api.caller, "core", open, {.deadline = 0ms},
      [&](const d::SessionMessage& message) { session = message.session_id(); },
      [&](Status status) { ended = std::move(status); });
  ASSERT_TRUE(api.world.loop.run_until([&] { return !session.empty(); }, 5s));
  api.world.loop.advance(10ms);
  EXPECT_EQ(api.view().get<model::v1::Node>("n1")->status().state(), model::v1::NODE_STATE_READY);
  EXPECT_EQ(api.view().nodes_by_hostname("alpha").size(), 1U);

  d::AssignmentsRequest assignments;
  assignments.set_session_id(session);
  std::vector<d::AssignmentsMessage> messages;
  auto second = rpc::open<d::methods::Assignments>(
      *api.caller, "core", assignments, {.deadline = 0ms},
      [&](const d::AssignmentsMessage& message) { messages.push_back(message); }, [](Status) {});
  ASSERT_TRUE(api.world.loop.run_until([&] { return !messages.empty(); }, 5s));
  EXPECT_EQ(messages[0].tasks_size(), 1);

  d::UpdateTaskStatusRequest report;
  report.set_session_id(session);
  auto& update = *report.add_updates();
  update.set_task_id("t1");
  update.mutable_status()->set_state(model::v1::TASK_STATE_RUNNING);
  ASSERT_TRUE(api.ask<d::methods::UpdateTaskStatus>(report, {}, api.caller));
  EXPECT_EQ(api.view().get<Task>("t1")->status().state(), model::v1::TASK_STATE_RUNNING);
  EXPECT_EQ(api.ask<d::methods::UpdateTaskStatus>(report).error().code, Code::kPermissionDenied)
      << "people may not speak for a node";

  d::HeartbeatRequest beat;
  beat.set_session_id(session);
  EXPECT_TRUE(api.ask<d::methods::Heartbeat>(beat, {}, api.caller));
  stream->cancel();
  api.world.loop.advance(4s);
  EXPECT_EQ(api.view().get<model::v1::Node>("n1")->status().state(), model::v1::NODE_STATE_DOWN);
}

TEST(DispatcherService, ANodeThatStopsIsDownAtOnceAndBackWhenItStays) {
  Api api;
  namespace d = dispatch::v1;
  d::SessionRequest open;
  open.set_node_id("n1");
  std::string session;
  auto stream = rpc::open<d::methods::Session>(
      *api.caller, "core", open, {.deadline = 0ms},
      [&](const d::SessionMessage& message) { session = message.session_id(); }, [](const Status&) {});
  api.world.loop.advance(10ms);
  const auto state = [&] { return api.view().get<model::v1::Node>("n1")->status().state(); };
  EXPECT_EQ(state(), model::v1::NODE_STATE_READY);
  d::HeartbeatRequest beat;
  beat.set_session_id(session);
  beat.set_stopping(true);
  ASSERT_TRUE(api.ask<d::methods::Heartbeat>(beat, {}, api.caller));
  api.world.loop.advance(10ms);
  EXPECT_EQ(state(), model::v1::NODE_STATE_DOWN);
  ASSERT_TRUE(api.ask<d::methods::Heartbeat>(beat, {}, api.caller)) << "the session lives on";
  beat.set_stopping(false);
  ASSERT_TRUE(api.ask<d::methods::Heartbeat>(beat, {}, api.caller));
  api.world.loop.advance(10ms);
  EXPECT_EQ(state(), model::v1::NODE_STATE_READY);
}

TEST(DispatcherService, ASecondLiveAgentWithOneIdentityIsRefused) {
  Api api;
  namespace d = dispatch::v1;
  std::map<std::string, std::string> told;  // boot id -> session id, or why not
  const auto open = [&](const std::string& boot) {
    d::SessionRequest request;
    request.set_node_id("n1");
    request.set_boot_id(boot);
    auto stream = rpc::open<d::methods::Session>(
        *api.caller, "core", request, {.deadline = 0ms},
        [&told, boot](const d::SessionMessage& message) { told[boot] = message.session_id(); },
        [&told, boot](const Status& status) { told[boot] = status ? "" : status.error().reason; });
    api.world.loop.advance(10ms);
    return stream;
  };
  const auto first = open("a");
  const std::string session = told["a"];
  const auto second = open("b");
  EXPECT_EQ(told["b"], "IDENTITY_IN_USE");
  EXPECT_EQ(told["a"], session) << "who was first stays";
  const auto again = open("a");
  EXPECT_EQ(told["a"].size(), 25U) << "the same agent comes back";
  again->cancel();
  api.world.loop.advance(10ms);
  const auto later = open("b");
  EXPECT_EQ(told["b"].size(), 25U) << "a restart is another boot, and its old connection is closed";
}

TEST(DispatcherService, SessionsEndWithTheLeadership) {
  Api api;
  namespace d = dispatch::v1;
  d::SessionRequest open;
  open.set_node_id("n1");
  Status ended = ok();
  auto stream = rpc::open<d::methods::Session>(
      *api.caller, "core", open, {.deadline = 0ms}, [](const d::SessionMessage&) {},
      [&](Status status) { ended = std::move(status); });
  api.world.loop.advance(10ms);
  api.stop_raft();
  api.manager->consensus_restarted();
  api.world.loop.advance(10ms);
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error().reason, "NOT_LEADER");
}

}  // namespace
}  // namespace skep::control
