#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "api_rig.h"
#include "core/control/api/control_api.h"
#include "core/control/api/task_room.h"
#include "core/control/orchestrator/modes.h"

namespace skep::control {
namespace {

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
    rpc::call<methods::CreateService>(
        *api.user, "core", web(), {},
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
  request.mutable_spec()->mutable_task()->mutable_container()->add_env("A=" +
                                                                       std::string(200'000, 'x'));
  EXPECT_EQ(api.ask<methods::CreateService>(request).error().reason, "SPEC_TOO_LARGE");
  v1::ListServicesRequest list;
  list.add_filters()->set_key("colour");
  const auto answer = api.ask<methods::ListServices>(list);
  EXPECT_EQ(answer.error().message,
            "unknown filter 'colour'; there are id, name, label, mode, runtime");
}

TEST(ControlApi, MoreTasksThanManagersCanHoldAreRefused) {
  Api api;
  const Service made = api.create(web());
  const auto refusal = [&](const std::string& name, std::uint64_t replicas) {
    auto request = web(name);
    request.mutable_spec()->mutable_replicated()->set_replicas(replicas);
    const auto answer = api.ask<methods::CreateService>(request);
    return answer ? "" : answer.error().reason;
  };
  EXPECT_EQ(refusal("huge", 100'000'000'000), "TOO_MANY_TASKS");
  EXPECT_EQ(refusal("huge", std::numeric_limits<std::uint64_t>::max()), "TOO_MANY_TASKS");
  auto job = web("job");
  job.mutable_spec()->mutable_replicated_job()->set_total_completions(100'000'000'000);
  EXPECT_EQ(api.ask<methods::CreateService>(job).error().reason, "TOO_MANY_TASKS");
  auto update = api.update_of(made);
  update.mutable_spec()->mutable_replicated()->set_replicas(100'000'000'000);
  const auto refused = api.ask<methods::UpdateService>(update);
  EXPECT_EQ(refused.error().code, Code::kResourceExhausted);
  EXPECT_THAT(refused.error().message, ::testing::HasSubstr("use fewer replicas"));

  const std::uint64_t half = kAllTasksBytesMax / kTaskBytes / 2;
  EXPECT_EQ(refusal("half", half), "");
  EXPECT_EQ(refusal("too-much", half), "TOO_MANY_TASKS") << "beside the first half";
  update.mutable_spec()->mutable_replicated()->set_replicas(2);
  EXPECT_TRUE(api.ask<methods::UpdateService>(update)) << "less is always possible";
}

TEST(Orchestrator, CreatesTasksInPortions) {
  Api api;
  Service service = api.create(web());
  for (const bool job : {false, true}) {
    if (job) {
      service.mutable_spec()->mutable_replicated_job()->set_total_completions(100'000'000'000);
    } else {
      service.mutable_spec()->mutable_replicated()->set_replicas(100'000'000'000);
    }
    const Decision decision = reconcile_service(
        {.view = api.view(), .service = service, .now = api.world.env.clock.wall_now(), .random = api.world.random});
    EXPECT_GE(decision.units.size(), kNewTasksAtOnce);
    EXPECT_LE(decision.units.size(), kNewTasksAtOnce + 10) << "and those of the first three that change";
  }
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
  auto request = api.update_self();
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

}  // namespace
}  // namespace skep::control
