// The pure parts that prepare a task: templates, plan, requests, files, labels.

#include <gtest/gtest.h>

#include "core/node/gate.h"
#include "core/node/health.h"
#include "core/node/record.h"
#include "core/node/task_plan.h"
#include "core/node/task_requests.h"
#include "core/node/templates.h"

namespace skep::node {
namespace {

using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace)
using model::v1::Mount;
using model::v1::Task;

NodeConfig config() {
  NodeConfig result;
  result.node_id = "nodeid";
  result.installation_id = "inst1";
  result.run_dir = "/run/skep";
  return result;
}

NodeIdentity identity() {
  NodeIdentity node{.node_id = "nodeid", .hostname = "h1", .platform = {}};
  node.platform.set_os("linux");
  return node;
}

Task web_task() {
  Task task;
  task.set_id("taskid");
  task.set_service_id("svcid");
  task.set_service_name("web");
  task.set_slot(3);
  task.set_node_id("nodeid");
  (*task.mutable_service_labels())["tier"] = "front";
  task.mutable_spec()->mutable_container()->set_image("web:1");
  return task;
}

v1::TaskRecord planned(const Task& task, const runtime::v1::Image* image = nullptr) {
  auto record = make_record(task, config(), 1);
  const auto status = plan_task(record, image, config(), identity());
  EXPECT_TRUE(status) << status.error().message;
  return record;
}

std::string expand(const std::string& text) {
  auto result = expand_template(text, template_values(web_task(), identity()));
  return result ? *result : "error: " + result.error().message;
}

TEST(Template, ReplacesWhatItKnows) {
  EXPECT_EQ(expand("plain"), "plain");
  EXPECT_EQ(expand("{{.Service.Name}}-{{ .Task.Slot }}.{{.Node.Hostname}}"), "web-3.h1");
  EXPECT_EQ(expand("{{.Service.ID}} {{.Task.ID}} {{.Task.Name}}"), "svcid taskid web.3.taskid");
  EXPECT_EQ(expand("{{.Service.Labels.tier}}{{index .Service.Labels \"tier\"}}"), "frontfront");
  EXPECT_EQ(expand("{{.Service.Labels.none}}"), "");
}

TEST(Template, SaysWhatItDoesNotKnow) {
  EXPECT_NE(expand("{{.Service.Nope}}").find("'{{.Service.Nope}}' is not supported: use one of"),
            std::string::npos);
  EXPECT_NE(expand("a{{.Service.Name").find("is not closed"), std::string::npos);
  auto record = make_record(web_task(), config(), 1);
  record.mutable_task()->mutable_spec()->mutable_container()->add_env("A={{if x}}");
  const auto status = plan_task(record, nullptr, config(), identity());
  ASSERT_FALSE(status);
  EXPECT_TRUE(status.error().message.starts_with("expanding environment variable 'A': "));
  EXPECT_FALSE(record.planned());
}

TEST(Plan, NamesTasksLikeSwarm) {
  auto task = web_task();
  EXPECT_EQ(task_name(task), "web.3.taskid");
  task.set_slot(0);
  EXPECT_EQ(task_name(task), "web.nodeid.taskid");
}

TEST(Plan, ContainerIdsFollowFromInstallationAndTask) {
  const auto id = container_id_for("inst1", "taskid");
  EXPECT_EQ(id.size(), 64U);
  EXPECT_EQ(id.find_first_not_of("0123456789abcdef"), std::string::npos);
  EXPECT_EQ(id, container_id_for("inst1", "taskid"));
  EXPECT_NE(id, container_id_for("inst2", "taskid"));
}

TEST(Plan, GivesATaskWithoutNetworksTheGatewayBridge) {
  const auto record = planned(web_task());
  ASSERT_EQ(record.endpoints_size(), 1);
  EXPECT_EQ(record.endpoints(0).driver(), "bridge");
  EXPECT_EQ(record.endpoints(0).network_id(), "skep_gwbridge");
  EXPECT_TRUE(record.endpoints(0).gateway());
  EXPECT_EQ(record.hostname(), record.container_id().substr(0, 12));
}

TEST(Plan, AddsTheGatewayBesideOtherNetworks) {
  auto task = web_task();
  auto& overlay = *task.add_networks();
  overlay.set_driver("overlay");
  overlay.set_network_id("net1");
  overlay.add_addresses("10.0.0.5/24");
  const auto record = planned(task);
  ASSERT_EQ(record.endpoints_size(), 2);
  EXPECT_EQ(record.endpoints(0).interface_name(), "eth0");
  EXPECT_FALSE(record.endpoints(0).gateway());
  EXPECT_EQ(record.endpoints(0).addresses_wanted(0), "10.0.0.5/24");
  EXPECT_EQ(record.endpoints(1).interface_name(), "eth1");
  EXPECT_TRUE(record.endpoints(1).gateway());
}

TEST(Plan, NoneIsASandboxWithoutEndpoints) {
  auto task = web_task();
  task.mutable_spec()->add_networks()->set_target("none");
  const auto record = planned(task);
  EXPECT_EQ(record.endpoints_size(), 0);
  EXPECT_TRUE(record.needs_sandbox());
}

TEST(Plan, TurnsMountsAndImageVolumesIntoUses) {
  auto task = web_task();
  auto& spec = *task.mutable_spec()->mutable_container();
  auto& volume = *spec.add_mounts();
  volume.set_source("data-{{.Task.Slot}}");
  volume.set_target("/data");
  volume.set_volume_driver("nfs");
  volume.set_volume_subpath("sub");
  auto& bind = *spec.add_mounts();
  bind.set_type(Mount::BIND);
  bind.set_source("/etc");
  bind.set_target("/host");
  bind.set_read_only(true);
  auto& tmpfs = *spec.add_mounts();
  tmpfs.set_type(Mount::TMPFS);
  tmpfs.set_target("/tmp");
  runtime::v1::Image image;
  image.add_volumes("/data");
  image.add_volumes("/cache");
  auto record = planned(task, &image);
  ASSERT_EQ(record.volumes_size(), 3);
  EXPECT_EQ(record.volumes(0).name(), "data-3");
  EXPECT_EQ(record.volumes(0).driver(), "nfs");
  EXPECT_EQ(record.volumes(1).name(), "/etc");
  EXPECT_TRUE(record.volumes(2).anonymous());
  EXPECT_EQ(record.volumes(2).target(), "/cache");
  record.mutable_volumes(0)->set_mountpoint("/mnt/v");
  const auto request = create_request(record, config());
  ASSERT_EQ(request.binds_size(), 3);
  EXPECT_EQ(request.binds(0).source(), "/mnt/v/sub");
  EXPECT_TRUE(request.binds(0).copy_up());
  EXPECT_TRUE(request.binds(1).read_only());
  EXPECT_FALSE(request.binds(1).copy_up());
  ASSERT_EQ(request.tmpfs_size(), 1);
  EXPECT_EQ(request.tmpfs(0).target(), "/tmp");
}

TEST(Plan, RefusesMountsThatCannotBe) {
  const auto refusal = [](const Mount& mount) {
    auto task = web_task();
    *task.mutable_spec()->mutable_container()->add_mounts() = mount;
    auto record = make_record(task, config(), 1);
    const auto status = plan_task(record, nullptr, config(), identity());
    return status ? std::string() : status.error().message;
  };
  Mount mount;
  mount.set_target("relative");
  EXPECT_NE(refusal(mount).find("must be an absolute path"), std::string::npos);
  mount.set_target("/x");
  mount.set_volume_subpath("a/../../b");
  EXPECT_NE(refusal(mount).find("stay inside the volume"), std::string::npos);
  mount.clear_volume_subpath();
  mount.set_type(Mount::BIND);
  mount.set_source("here");
  EXPECT_NE(refusal(mount).find("mount path must be absolute"), std::string::npos);
}

TEST(Plan, RefusesSecretsItCannotGive) {
  auto task = web_task();
  task.mutable_spec()->mutable_container()->add_secrets()->set_name("key");
  auto record = make_record(task, config(), 1);
  const auto status = plan_task(record, nullptr, config(), identity());
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().reason, "SECRETS_UNSUPPORTED");
}

TEST(Plan, MergesTheImagesHealthCheckWithTheServices) {
  model::v1::HealthCheck of_image;
  of_image.add_test("CMD");
  of_image.add_test("/check");
  of_image.set_interval(Duration(3s).count());
  model::v1::HealthCheck asked;
  asked.set_retries(7);
  auto check = effective_health_check(asked, of_image);
  EXPECT_EQ(check.test(1), "/check");
  EXPECT_EQ(check.interval(), Duration(3s).count());
  EXPECT_EQ(check.timeout(), Duration(30s).count());
  EXPECT_EQ(check.retries(), 7U);
  asked.add_test("NONE");
  EXPECT_EQ(effective_health_check(asked, of_image).test_size(), 0);
  EXPECT_EQ(effective_health_check({}, {}).test_size(), 0);
}

TEST(Labels, CarryWhatARebuiltRecordNeedsAndNoEnvironment) {
  auto task = web_task();
  task.mutable_spec()->mutable_container()->add_env("PASSWORD=hunter2");
  task.mutable_spec()->mutable_container()->set_registry_auth("token");
  task.mutable_spec()->mutable_container()->set_stop_grace(5);
  auto record = planned(task);
  runtime::v1::ContainerInfo info;
  info.set_container_id(record.container_id());
  for (const auto& [key, value] : container_labels(record, config())) {
    (*info.mutable_labels())[key] = value;
  }
  const auto back = record_from_container(info, config());
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(back->task().id(), "taskid");
  EXPECT_EQ(back->endpoints_size(), 1);
  EXPECT_EQ(stop_request(*back).grace(), 5);
  EXPECT_EQ(back->SerializeAsString().find("hunter2"), std::string::npos);
  EXPECT_EQ(back->SerializeAsString().find("token"), std::string::npos);
  EXPECT_EQ(create_request(record, config()).spec().registry_auth(), "");
  (*info.mutable_labels())[kRecordLabel] = "!!!";
  EXPECT_EQ(record_from_container(info, config()).error().code, Code::kDataLoss);
  (*info.mutable_labels())[kInstallationLabel] = "other";
  EXPECT_EQ(record_from_container(info, config()).error().code, Code::kNotFound);
}

TEST(Files, HostsNamesTheTaskAndWhatTheSpecAdds) {
  auto task = web_task();
  task.mutable_spec()->mutable_container()->add_hosts("10.1.1.1 db db.lan");
  task.mutable_spec()->mutable_container()->set_hostname("me");
  auto record = planned(task);
  record.mutable_endpoints(0)->add_addresses("172.18.0.7/16");
  const auto text = hosts_file(record, "ignored");
  EXPECT_NE(text.find("127.0.0.1\tlocalhost\n"), std::string::npos);
  EXPECT_NE(text.find("10.1.1.1 db db.lan\n"), std::string::npos);
  EXPECT_NE(text.find("172.18.0.7\tme\n"), std::string::npos);
  EXPECT_EQ(text.find("ignored"), std::string::npos);
}

TEST(Files, ResolvLeavesOutWhatASandboxCannotReach) {
  const std::string of_node =
      "# comment\nnameserver 127.0.0.53\nnameserver 10.0.0.1\nsearch lan corp\noptions edns0\n";
  auto task = web_task();
  EXPECT_EQ(resolv_file(planned(task), of_node),
            "nameserver 10.0.0.1\nsearch lan corp\noptions edns0\n");
  EXPECT_FALSE(only_loopback_servers(of_node));
  EXPECT_TRUE(only_loopback_servers("nameserver 127.0.0.53\n"));
  auto& spec = *task.mutable_spec()->mutable_container();
  spec.add_dns_servers("9.9.9.9");
  spec.add_dns_search(".");
  spec.add_dns_options("ndots:2");
  EXPECT_EQ(resolv_file(planned(task), of_node), "nameserver 9.9.9.9\noptions ndots:2\n");
  auto host = web_task();
  host.mutable_spec()->add_networks()->set_target("host");
  EXPECT_NE(resolv_file(planned(host), of_node).find("127.0.0.53"), std::string::npos);
}

TEST(Health, DoesNotCountFailuresInTheStartPeriod) {
  model::v1::HealthCheck check;
  check.add_test("CMD-SHELL");
  check.add_test("curl x");
  check.set_interval(Duration(10s).count());
  check.set_timeout(Duration(1s).count());
  check.set_start_period(Duration(30s).count());
  check.set_start_interval(Duration(2s).count());
  check.set_retries(2);
  TimePoint now{};
  HealthMonitor monitor(check, false, now);
  EXPECT_EQ(monitor.command(), (std::vector<std::string>{"/bin/sh", "-c", "curl x"}));
  EXPECT_EQ(monitor.next_probe(), now + 2s);
  for (int i = 0; i < 10; ++i) {
    now += 2s;
    EXPECT_EQ(monitor.on_result("no", now), HealthMonitor::Verdict::kUndecided);
  }
  EXPECT_EQ(monitor.on_result("", now), HealthMonitor::Verdict::kHealthy);
  EXPECT_EQ(monitor.next_probe(), now + 10s) << "the first success ends the start period";
  EXPECT_EQ(monitor.on_result("no", now), HealthMonitor::Verdict::kUndecided);
  EXPECT_EQ(monitor.on_result("", now), HealthMonitor::Verdict::kUndecided);
  EXPECT_EQ(monitor.on_result("no", now), HealthMonitor::Verdict::kUndecided);
  EXPECT_EQ(monitor.on_result("still no", now), HealthMonitor::Verdict::kUnhealthy);
  EXPECT_EQ(monitor.why(), "health check failed 2 times in a row: still no");
}

TEST(Gate, LetsALimitedNumberInAndTheOthersInOrder) {
  Gate gate(2);
  EXPECT_TRUE(gate.enter("a"));
  EXPECT_TRUE(gate.enter("a")) << "holds its place";
  EXPECT_TRUE(gate.enter("b"));
  EXPECT_FALSE(gate.enter("c"));
  EXPECT_FALSE(gate.enter("d"));
  EXPECT_EQ(gate.leave("c"), "") << "left the queue";
  EXPECT_EQ(gate.leave("a"), "d");
  EXPECT_TRUE(gate.enter("d"));
  EXPECT_EQ(gate.leave("unknown"), "");
}

}  // namespace
}  // namespace skep::node
