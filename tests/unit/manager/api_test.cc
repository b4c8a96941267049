#include <gtest/gtest.h>

#include "rig.h"
#include "skep/control.methods.h"
#include "skep/dispatch.methods.h"
#include "skep/runtime.methods.h"

namespace skep::control {
namespace {

namespace methods = control::v1::methods;
using model::v1::Service;
using model::v1::Task;

v1::CreateServiceRequest web(const std::string& name = "web") {
  v1::CreateServiceRequest request;
  auto& spec = *request.mutable_spec();
  spec.set_name(name);
  spec.mutable_replicated()->set_replicas(3);
  spec.mutable_task()->mutable_container()->set_image("web:1");
  return request;
}

/// A swarm with a service, and direct access to the store for what loops would do.
struct Api : Rig {
  Api() { init(); }
  const store::View& view() { return manager->store().view(); }
  template <class T>
  void put(T object) {
    store::Transaction transaction;
    transaction.put(std::move(object));
    bool done = false;
    manager->proposer().propose(std::move(transaction), [&](Result<std::uint64_t> result) {
      EXPECT_TRUE(result);
      done = true;
    });
    ASSERT_TRUE(world.loop.run_until([&] { return done; }, 10s));
  }
  Service create(const v1::CreateServiceRequest& request) {
    auto made = ask<methods::CreateService>(request);
    EXPECT_TRUE(made) << made.error().message;
    return made ? made->service() : Service();
  }
  Task task(const std::string& id, const Service& service, std::uint64_t slot, model::v1::TaskState state) {
    Task made;
    made.set_id(id);
    made.set_service_id(service.id());
    made.set_service_name(service.spec().name());
    made.set_slot(slot);
    made.set_node_id("n1");
    made.set_desired_state(model::v1::TASK_STATE_RUNNING);
    made.mutable_status()->set_state(state);
    return made;
  }
  v1::UpdateServiceRequest update_of(const Service& service) {
    v1::UpdateServiceRequest request;
    request.set_ref(service.id());
    request.set_version(service.meta().version());
    *request.mutable_spec() = service.spec();
    return request;
  }
};

TEST(ControlApi, CreatesAServiceAndFindsItEveryWay) {
  Api api;
  const Service made = api.create(web());
  EXPECT_EQ(made.id().size(), 25U);
  EXPECT_GT(made.meta().version(), 0U);
  for (const std::string& ref : {std::string("web"), made.id(), made.id().substr(0, 6)}) {
    v1::GetServiceRequest request;
    request.set_ref(ref);
    const auto got = api.ask<methods::GetService>(request);
    ASSERT_TRUE(got) << ref;
    EXPECT_EQ(got->service().id(), made.id());
  }
  v1::GetServiceRequest unknown;
  unknown.set_ref("nothing");
  EXPECT_EQ(api.ask<methods::GetService>(unknown).error().code, Code::kNotFound);
}

TEST(ControlApi, NamesAreUniqueAlsoInFlight) {
  Api api;
  std::vector<Result<v1::CreateServiceResponse>> answers;
  for (int i = 0; i < 3; ++i) {
    rpc::call<methods::CreateService>(*api.user, "core", web(), {},
                                      [&](Result<v1::CreateServiceResponse> reply) { answers.push_back(std::move(reply)); });
  }
  api.world.loop.run_until([&] { return answers.size() == 3; }, 10s);
  int made = 0;
  for (const auto& answer : answers) {
    made += answer ? 1 : 0;
    EXPECT_TRUE(answer || answer.error().code == Code::kAlreadyExists);
  }
  EXPECT_EQ(made, 1);
  EXPECT_EQ(api.ask<methods::CreateService>(web()).error().reason, "NAME_IN_USE");
}

TEST(ControlApi, ARepeatWithTheSameOperationIdIsTheSameService) {
  Api api;
  auto request = web();
  request.mutable_spec()->clear_name();
  const auto first = api.ask<methods::CreateService>(request, {.operation_id = "op-1"});
  const auto again = api.ask<methods::CreateService>(request, {.operation_id = "op-1"});
  ASSERT_TRUE(first && again);
  EXPECT_FALSE(first->service().spec().name().empty());
  EXPECT_EQ(first->service().id(), again->service().id());
  const auto other = api.ask<methods::CreateService>(request, {.operation_id = "op-2"});
  EXPECT_NE(other->service().id(), first->service().id());

  v1::RemoveServiceRequest remove;
  remove.set_ref(other->service().id());
  EXPECT_TRUE(api.ask<methods::RemoveService>(remove, {.operation_id = "op-3"}));
  EXPECT_TRUE(api.ask<methods::RemoveService>(remove, {.operation_id = "op-3"}));
  EXPECT_EQ(api.ask<methods::RemoveService>(remove).error().code, Code::kNotFound);
}

TEST(ControlApi, RefusesWhatIsWrong) {
  Api api;
  auto request = web();
  request.mutable_spec()->mutable_task()->mutable_container()->clear_image();
  EXPECT_EQ(api.ask<methods::CreateService>(request).error().code, Code::kInvalidArgument);
  request = web();
  request.mutable_spec()->mutable_task()->add_networks()->set_target("nowhere");
  EXPECT_EQ(api.ask<methods::CreateService>(request).error().reason, "NETWORK_UNKNOWN");
  request = web();
  request.mutable_spec()->mutable_task()->mutable_container()->add_env("A=" + std::string(200'000, 'x'));
  EXPECT_EQ(api.ask<methods::CreateService>(request).error().reason, "SPEC_TOO_LARGE");
  v1::ListServicesRequest list;
  list.add_filters()->set_key("colour");
  const auto answer = api.ask<methods::ListServices>(list);
  EXPECT_EQ(answer.error().message, "unknown filter 'colour'; there are id, name, label, mode, runtime");
}

TEST(ControlApi, AnUpdateNamesTheVersionItRead) {
  Api api;
  const Service made = api.create(web());
  auto request = api.update_of(made);
  request.mutable_spec()->mutable_replicated()->set_replicas(5);
  const auto scaled = api.ask<methods::UpdateService>(request);
  ASSERT_TRUE(scaled) << scaled.error().message;
  EXPECT_EQ(scaled->service().spec().replicated().replicas(), 5U);
  EXPECT_EQ(scaled->service().previous_spec().replicated().replicas(), 3U);
  EXPECT_EQ(scaled->service().spec_version(), made.spec_version()) << "scaling makes no new tasks";
  const auto stale = api.ask<methods::UpdateService>(request);
  EXPECT_EQ(stale.error().code, Code::kConflict);

  request = api.update_of(scaled->service());
  request.mutable_spec()->mutable_task()->mutable_container()->set_image("web:2");
  const auto updated = api.ask<methods::UpdateService>(request);
  ASSERT_TRUE(updated);
  EXPECT_GT(updated->service().spec_version(), made.spec_version());

  v1::UpdateServiceRequest back;
  back.set_ref("web");
  back.set_version(updated->service().meta().version());
  back.set_rollback(true);
  const auto rolled = api.ask<methods::UpdateService>(back);
  ASSERT_TRUE(rolled) << rolled.error().message;
  EXPECT_EQ(rolled->service().spec().task().container().image(), "web:1");
  EXPECT_EQ(rolled->service().update_status().state(), model::v1::UpdateStatus::ROLLBACK_STARTED);
}

TEST(ControlApi, RegistryCredentialsAreKeptButNeverShown) {
  Api api;
  auto request = web();
  request.mutable_spec()->mutable_task()->mutable_container()->set_registry_auth("c2VjcmV0");
  const Service made = api.create(request);
  EXPECT_TRUE(made.spec().task().container().registry_auth().empty());
  auto update = api.update_of(made);
  update.mutable_spec()->mutable_replicated()->set_replicas(4);
  ASSERT_TRUE(api.ask<methods::UpdateService>(update));
  const auto stored = api.view().service_by_name("web");
  EXPECT_EQ(stored->spec().task().container().registry_auth(), "c2VjcmV0");
  EXPECT_EQ(stored->spec_version(), made.spec_version());
}

TEST(ControlApi, CountsAndFiltersTasks) {
  Api api;
  const Service made = api.create(web());
  api.put(api.task("t1", made, 1, model::v1::TASK_STATE_RUNNING));
  api.put(api.task("t2", made, 2, model::v1::TASK_STATE_FAILED));
  const auto services = api.ask<methods::ListServices>({});
  ASSERT_TRUE(services);
  EXPECT_EQ(services->counts().at(made.id()).running(), 1U);
  EXPECT_EQ(services->counts().at(made.id()).desired(), 3U);

  v1::ListTasksRequest list;
  auto& by_service = *list.add_filters();
  by_service.set_key("service");
  by_service.set_value("web");
  auto& by_node = *list.add_filters();
  by_node.set_key("node");
  by_node.set_value("self");
  EXPECT_EQ(api.ask<methods::ListTasks>(list)->tasks_size(), 2);
  auto& by_name = *list.add_filters();
  by_name.set_key("name");
  by_name.set_value("web.1");
  ASSERT_EQ(api.ask<methods::ListTasks>(list)->tasks_size(), 1);
  v1::GetTaskRequest get;
  get.set_ref("web.2");
  EXPECT_EQ(api.ask<methods::GetTask>(get)->task().id(), "t2");
}

TEST(ControlApi, UpdatesANodeButKeepsTheLastManager) {
  Api api;
  v1::GetNodeRequest get;
  get.set_ref("self");
  const auto self = api.ask<methods::GetNode>(get);
  ASSERT_TRUE(self);
  v1::UpdateNodeRequest request;
  request.set_ref("self");
  request.set_version(self->node().meta().version());
  *request.mutable_spec() = self->node().spec();
  request.mutable_spec()->set_availability(model::v1::AVAILABILITY_DRAIN);
  const auto drained = api.ask<methods::UpdateNode>(request);
  ASSERT_TRUE(drained) << drained.error().message;
  request.set_version(drained->node().meta().version());
  request.mutable_spec()->set_role(model::v1::NODE_ROLE_WORKER);
  EXPECT_EQ(api.ask<methods::UpdateNode>(request).error().reason, "LAST_MANAGER");
}

TEST(ControlApi, WorkersMayNotAsk) {
  Api api;
  rpc::MethodTable none;
  auto& worker = api.bus.attach("worker", "n1", {}, none, principal("node", "n2", "worker"));
  const auto answer = api.ask<methods::ListServices>({}, {}, &worker);
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, Code::kPermissionDenied);
  api.bus.detach("worker");
}

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
  auto stream = rpc::open<methods::Watch>(*api.user, "core", request, {.deadline = 0ms}, note, [](Status) {});
  api.world.loop.advance(10ms);
  api.create(web("db"));
  v1::RemoveServiceRequest remove;
  remove.set_ref("web");
  ASSERT_TRUE(api.ask<methods::RemoveService>(remove));
  api.world.loop.advance(10ms);
  EXPECT_EQ(seen, (std::vector<std::string>{"present service", "synced ", "created service", "removed service"}));
  stream->cancel();

  seen.clear();
  request.set_resume_after(last - 1);
  bool done = false;
  auto resumed = rpc::open<methods::Watch>(*api.user, "core", request, {.deadline = 0ms}, note, [&](Status) { done = true; });
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

TEST(ControlApi, AWatcherThatDoesNotReadIsToldWhereToResume) {
  Api api;
  const Service made = api.create(web());
  v1::WatchRequest request;
  Status ended = ok();
  std::size_t events = 0;
  auto stream = rpc::open<methods::Watch>(*api.user, "core", request, {.deadline = 0ms},
                                          [&](const v1::WatchEvent&) { ++events; },
                                          [&](Status status) { ended = std::move(status); });
  stream->hold_credit(true);
  for (int round = 0; round < 80 && ended; ++round) {
    store::Batch batch;
    for (int i = 0; i < 190; ++i) {
      batch.put(api.task("t" + std::to_string(round) + "-" + std::to_string(i), made, 1, model::v1::TASK_STATE_NEW));
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
  runtime.on_stream<runtime::v1::methods::Logs>([&](const runtime::v1::LogsRequest& request, auto stream) {
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
  EXPECT_EQ(lines[0], "(log of task web.2 cannot be read: node 'n9' cannot be asked from this manager)");
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

TEST(DispatcherService, SessionsEndWithTheLeadership) {
  Api api;
  namespace d = dispatch::v1;
  d::SessionRequest open;
  open.set_node_id("n1");
  Status ended = ok();
  auto stream = rpc::open<d::methods::Session>(*api.caller, "core", open, {.deadline = 0ms},
                                               [](const d::SessionMessage&) {},
                                               [&](Status status) { ended = std::move(status); });
  api.world.loop.advance(10ms);
  api.stop_raft();
  api.manager->consensus_restarted();
  api.world.loop.advance(10ms);
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error().reason, "NO_LEADER");
}

}  // namespace
}  // namespace skep::control
