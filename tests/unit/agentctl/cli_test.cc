#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "skep/bus.pb.h"
#include "skep/volume.pb.h"
#include "tests/unit/agentctl/fake_agent.h"

namespace skep::ctl {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class CliTest : public ::testing::Test {
 protected:
  void make_web(std::uint64_t replicas = 2) {
    agent.on_poll = [](FakeAgent& fake) {
      for (const auto& [id, service] : fake.services) {
        fake.run_all(id);
      }
    };
    const auto done = cli.run({"service", "create", "--name", "web", "--replicas",
                               std::to_string(replicas), "-p",
                               "mode=host,target=80,published=8080", "nginx:1"});
    ASSERT_EQ(done.exit_code, 0) << done.err;
    agent.on_poll = {};
  }
  const model::v1::ServiceSpec& web() { return agent.services.begin()->second.spec(); }

  FakeAgent agent;
  Cli cli{agent};
};

TEST_F(CliTest, SwarmInitTellsTheNodeAndPassesTheFlags) {
  const auto done = cli.run({"swarm", "init", "--advertise-addr", "10.0.0.1",
                             "--task-history-limit", "-1", "--default-addr-pool", "10.1.0.0/16",
                             "--default-addr-pool", "10.2.0.0/16", "--availability", "drain"});
  EXPECT_EQ(done.exit_code, 0) << done.err;
  EXPECT_THAT(done.out, HasSubstr("current node (node1) is now a manager"));
  EXPECT_THAT(done.out, HasSubstr("    agentctl swarm join --token SWMTKN-1-worker "));
  EXPECT_EQ(agent.init_request.advertise_address(), "10.0.0.1");
  EXPECT_EQ(agent.init_request.spec().task_history_limit(), -1);
  EXPECT_EQ(agent.init_request.default_address_pool_size(), 2);
  EXPECT_EQ(agent.init_request.availability(), model::v1::AVAILABILITY_DRAIN);
}

TEST_F(CliTest, SwarmInitRefusesPoolsThatHoldNoSubnet) {
  for (const char* pool : {"foo", "10.0.0.0", "10.0.0.0/30", "fd00::/8", "10.0.0.0/x"}) {
    const auto bad = cli.run({"swarm", "init", "--default-addr-pool", pool});
    EXPECT_EQ(bad.exit_code, kExitUsage) << pool;
    EXPECT_THAT(bad.err, HasSubstr("is no IPv4 network such as 10.0.0.0/8"));
  }
  const auto small = cli.run(
      {"swarm", "init", "--default-addr-pool", "10.1.0.0/16", "--default-addr-pool-mask-length", "8"});
  EXPECT_THAT(small.err, HasSubstr("--default-addr-pool-mask-length 16 to 29"));
}

TEST_F(CliTest, JoinTokensArePrintedAndRotatedAsDockerDoes) {
  const auto shown = cli.run({"swarm", "join-token", "worker"});
  EXPECT_THAT(shown.out, HasSubstr("To add a worker to this swarm, run the following command:\n\n    agentctl swarm "
                                   "join --token SWMTKN-1-worker "));
  EXPECT_EQ(cli.run({"swarm", "join-token", "-q", "manager"}).out, "SWMTKN-1-manager\n");
  EXPECT_EQ(agent.token_rotations, 0);
  const auto rotated = cli.run({"swarm", "join-token", "--rotate", "worker"});
  EXPECT_THAT(rotated.out, HasSubstr("Successfully rotated worker join token.\n\nTo add a worker"));
  EXPECT_EQ(agent.token_rotations, 1);
  EXPECT_EQ(cli.run({"swarm", "join-token", "leader"}).exit_code, kExitUsage);
}

TEST_F(CliTest, JoinTellsTheRoleAndNeedsAToken) {
  const auto worker = cli.run({"swarm", "join", "--token", "SWMTKN-1-worker", "--availability", "drain", "m1:2377"});
  EXPECT_EQ(worker.out, "This node joined a swarm as a worker.\n");
  EXPECT_EQ(agent.join_request.managers(0), "m1:2377");
  EXPECT_EQ(agent.join_request.availability(), model::v1::AVAILABILITY_DRAIN);
  EXPECT_EQ(cli.run({"swarm", "join", "--token", "SWMTKN-1-manager", "m1", "m2"}).out,
            "This node joined a swarm as a manager.\n");
  EXPECT_EQ(cli.run({"swarm", "join", "m1:2377"}).exit_code, kExitUsage);
}

TEST_F(CliTest, LeaveNeedsForceOnTheLastManager) {
  EXPECT_EQ(cli.run({"swarm", "leave"}).exit_code, 5);
  EXPECT_EQ(cli.run({"swarm", "leave", "--force"}).out, "Node left the swarm.\n");
}

TEST_F(CliTest, CreateWaitsUntilTheTasksAreStable) {
  make_web();
  const auto start = cli.loop.now();
  const auto done = cli.run({"service", "update", "--env-add", "A=1", "-d", "web"});
  EXPECT_EQ(done.out, "web\n");
  EXPECT_EQ(cli.loop.now() - start, Duration(0)) << "-d does not wait";
}

TEST_F(CliTest, CreateTellsWhyATaskFailsWhileItWaits) {
  agent.on_poll = [](FakeAgent& fake) {
    fake.run_all(fake.services.begin()->first);
    if (fake.polls < 5) {
      fake.tasks[0].mutable_status()->set_state(model::v1::TASK_STATE_REJECTED);
      fake.tasks[0].mutable_status()->set_error("no such image: nginx:1");
    }
  };
  const auto done = cli.run({"service", "create", "nginx:1"});
  EXPECT_EQ(done.exit_code, 0) << done.err;
  EXPECT_THAT(done.out,
              HasSubstr("overall progress: 0 out of 1 tasks\n1/1: no such image: nginx:1\noverall "
                        "progress: 1 out of 1 tasks\nverify: Waiting 5 seconds"));
  EXPECT_THAT(done.out, HasSubstr("converged\n"));
  EXPECT_GE(cli.loop.now().time_since_epoch(), std::chrono::seconds(5));
  EXPECT_FALSE(web().name().empty()) << "an unnamed service gets a name";
}

TEST_F(CliTest, ServiceListPrintsDockersTable) {
  make_web();
  // The table shows only what every node answers on; the flag for it comes with the mesh.
  auto& ports = *agent.services.begin()->second.mutable_endpoint()->mutable_ports();
  ports.at(0).set_mode(model::v1::PublishedPort::INGRESS);
  EXPECT_EQ(cli.run({"service", "ls"}).out,
            "ID             NAME      MODE         REPLICAS   IMAGE     PORTS\n"
            "svc100000000   web       replicated   2/2        nginx:1   *:8080->80/tcp\n");
  EXPECT_EQ(cli.run({"service", "list", "-q"}).out, "svc100000000\n");
  EXPECT_EQ(cli.run({"service", "ls", "--format", "{{.Name}}:{{.Replicas}}"}).out, "web:2/2\n");
  EXPECT_EQ(cli.run({"service", "ls", "--format", "table {{.Name}}\\t{{.Mode}}"}).out,
            "NAME      MODE\nweb       replicated\n");
  EXPECT_EQ(
      cli.run({"service", "ls", "--format", "json"}).out,
      R"({"ID":"svc100000000","Image":"nginx:1","Mode":"replicated","Name":"web","Ports":"*:8080->80/tcp","Replicas":"2/2"})"
      "\n");
  EXPECT_EQ(cli.run({"service", "ls", "-q", "--filter", "name=db"}).out, "");
  const auto bad = cli.run({"service", "ls", "--filter", "nmae=db"});
  EXPECT_EQ(bad.exit_code, 2);
  EXPECT_THAT(bad.err, HasSubstr("did you mean 'name'"));
}

TEST_F(CliTest, ServicePsShowsHistoryErrorsAndHostPorts) {
  make_web();
  auto old = agent.tasks[0];
  old.set_id("old00000000000000");
  old.set_desired_state(model::v1::TASK_STATE_SHUTDOWN);
  old.mutable_meta()->set_created_at(-5);
  old.mutable_status()->set_state(model::v1::TASK_STATE_FAILED);
  old.mutable_status()->set_error("task: non-zero exit (137): killed from outside");
  agent.tasks.insert(agent.tasks.begin(), old);
  auto& port = *agent.tasks[1].mutable_status()->mutable_ports()->add_ports();
  port.set_target_port(80);
  port.set_published_port(32768);
  port.set_mode(model::v1::PublishedPort::HOST);
  const auto done = cli.run({"service", "ps", "web"});
  EXPECT_THAT(
      done.out,
      HasSubstr("ID             NAME        IMAGE     NODE      DESIRED STATE   CURRENT STATE"));
  EXPECT_THAT(done.out,
              HasSubstr("task10000000   web.1       nginx:1   alpha     Running         Running"));
  EXPECT_THAT(done.out, HasSubstr("*:32768->80/tcp"));
  EXPECT_THAT(done.out,
              HasSubstr("old000000000    \\_ web.1   nginx:1   alpha     Shutdown        Failed"));
  EXPECT_THAT(done.out, HasSubstr("\"task: non-zero exit (137): ki…\""));
  EXPECT_THAT(cli.run({"service", "ps", "--no-trunc", "web"}).out,
              HasSubstr("killed from outside\""));
  const auto missing = cli.run({"service", "ps", "db"});
  EXPECT_EQ(missing.exit_code, 3);
  EXPECT_THAT(missing.err, HasSubstr("no such service: 'db'"));
}

TEST_F(CliTest, InspectWorksInDockersScripts) {
  make_web();
  EXPECT_EQ(
      cli.run({"service", "inspect", "--format", "{{.Spec.Mode.Replicated.Replicas}}", "web"}).out,
      "2\n");
  EXPECT_EQ(cli.run({"service", "inspect", "-f",
                     "{{if .Spec.Mode.Global}}g{{else}}r{{end}} "
                     "{{.Spec.TaskTemplate.ContainerSpec.Image}}",
                     "web"})
                .out,
            "r nginx:1\n");
  EXPECT_EQ(cli.run({"service", "inspect", "-f",
                     "{{range .Endpoint.Ports}}{{.PublishedPort}}{{end}}", "web"})
                .out,
            "8080\n");
  EXPECT_THAT(cli.run({"service", "inspect", "web"}).out,
              HasSubstr("\"CreatedAt\": \"2023-11-14T22:13:20.123Z\""));
  EXPECT_THAT(cli.run({"service", "inspect", "--pretty", "web"}).out,
              HasSubstr("Service Mode:    Replicated\n Replicas:       2\n"));
  EXPECT_EQ(cli.run({"service", "inspect", "-f", "{{.Spec.Labels.zone}}|{{index .Spec.Labels \"a b\"}}", "web"}).out,
            "|\n")
      << "nobody has to know which labels there are";
  const auto wrong = cli.run({"service", "inspect", "-f", "{{.Spec.Nmae}}", "web"});
  EXPECT_EQ(wrong.exit_code, 2);
  EXPECT_THAT(wrong.err, HasSubstr("did you mean 'Name'"));
  const auto some = cli.run({"service", "inspect", "-f", "{{.Spec.Name}}", "db", "web"});
  EXPECT_EQ(some.exit_code, 3);
  EXPECT_EQ(some.out, "web\n");
}

TEST_F(CliTest, ScaleUpdateRollbackAndRemove) {
  make_web();
  agent.on_poll = [](FakeAgent& fake) { fake.run_all(fake.services.begin()->first); };
  const auto scaled = cli.run({"service", "scale", "web=5"});
  EXPECT_EQ(scaled.exit_code, 0) << scaled.err;
  EXPECT_THAT(scaled.out,
              ::testing::StartsWith("web scaled to 5\noverall progress: 5 out of 5 tasks\n"));
  EXPECT_EQ(cli.run({"service", "update", "-q", "--publish-rm", "80:80", "--publish-rm", "8080:80",
                     "--publish-add", "mode=host,target=80,published=88", "web"})
                .exit_code,
            0);
  EXPECT_EQ(web().endpoint().ports(0).published_port(), 88U);
  EXPECT_EQ(web().task().container().image(), "nginx:1");
  EXPECT_EQ(cli.run({"service", "rollback", "-q", "web"}).exit_code, 0);
  EXPECT_EQ(web().endpoint().ports(0).published_port(), 8080U);
  EXPECT_EQ(cli.run({"service", "scale", "web"}).exit_code, 2);
  agent.refuse = Error{Code::kConflict, "service was changed since it was read"};
  const auto conflict = cli.run({"service", "update", "--force", "web"});
  EXPECT_EQ(conflict.exit_code, 4);
  EXPECT_THAT(conflict.err, HasSubstr("run the command again"));
  EXPECT_EQ(cli.run({"service", "rm", "web", "nope"}).exit_code, 3);
  EXPECT_TRUE(agent.services.empty());
}

TEST_F(CliTest, ServiceLogsNameTaskAndNode) {
  make_web();
  control::v1::ServiceLogLine line;
  line.set_task_id(agent.tasks[1].id());
  line.set_node_id("node1");
  line.set_data("hello");
  line.set_stream(1);
  agent.log_lines = {line};
  EXPECT_EQ(cli.run({"service", "logs", "--tail", "5", "web"}).out,
            "web.2.task20000000@alpha    | hello\n");
  EXPECT_EQ(agent.logs_request.tail(), 5);
  EXPECT_EQ(cli.run({"service", "logs", "--raw", "web"}).out, "hello\n");
  line.set_task_id("unknown0000000000000");
  agent.log_lines = {line};
  EXPECT_EQ(cli.run({"service", "logs", "web"}).out, "unknown00000@alpha    | hello\n");
  EXPECT_EQ(cli.run({"service", "logs", "--tail", "x", "web"}).exit_code, 2);
  EXPECT_EQ(cli.run({"service", "logs", "nope"}).exit_code, 3);
}

TEST_F(CliTest, NodeVerbs) {
  EXPECT_EQ(cli.run({"node", "ls"}).out,
            "ID        HOSTNAME   STATUS    AVAILABILITY   MANAGER STATUS   ENGINE VERSION\n"
            "node1 *   alpha      Ready     Active         Leader           0.1.0\n");
  EXPECT_EQ(cli.run({"node", "inspect", "-f", "{{.ManagerStatus.Addr}}", "self"}).out,
            "10.0.0.1:2377\n");
  EXPECT_THAT(cli.run({"node", "inspect", "--pretty", "self"}).out, HasSubstr("Leader:\t\tYes"));
  EXPECT_EQ(
      cli.run({"node", "update", "--availability", "drain", "--label-add", "zone=b", "alpha"}).out,
      "alpha\n");
  EXPECT_EQ(agent.nodes[0].spec().availability(), model::v1::AVAILABILITY_DRAIN);
  EXPECT_EQ(agent.nodes[0].spec().labels().at("zone"), "b");
  EXPECT_EQ(cli.run({"node", "update", "--label-rm", "nope", "alpha"}).exit_code, 3);
  EXPECT_EQ(cli.run({"node", "update", "--availability", "off", "alpha"}).exit_code, 2);
  EXPECT_EQ(cli.run({"node", "ps"}).exit_code, 0);
  agent.nodes[0].mutable_spec()->set_role(model::v1::NODE_ROLE_MANAGER);
  EXPECT_EQ(cli.run({"node", "promote", "alpha"}).out, "Node alpha is already a manager.\n");
  EXPECT_EQ(cli.run({"node", "demote", "alpha"}).out, "Manager alpha demoted in the swarm.\n");
  EXPECT_EQ(agent.nodes[0].spec().role(), model::v1::NODE_ROLE_WORKER);
  EXPECT_EQ(cli.run({"node", "demote", "alpha"}).out, "Node alpha is already a worker.\n");
  EXPECT_EQ(cli.run({"node", "promote", "alpha"}).out, "Node alpha promoted to a manager in the swarm.\n");
  EXPECT_EQ(cli.run({"node", "demote", "nobody"}).exit_code, 3);
  EXPECT_EQ(cli.run({"node", "stop", "--wait", "soon"}).exit_code, 1);
}

TEST_F(CliTest, ImageVerbs) {
  runtime::v1::Image image;
  image.set_id("sha256:0123456789abcdef0123");
  image.add_tags("reg:5000/web:1");
  image.set_size_bytes(2'100'000);
  agent.images = {image};
  EXPECT_EQ(cli.run({"images"}).out,
            "REPOSITORY     TAG       IMAGE ID       CREATED   SIZE\nreg:5000/web   1         "
            "0123456789ab   N/A       2.1MB\n");
  EXPECT_EQ(cli.run({"image", "ls", "-q", "reg:5000/*"}).out, "0123456789ab\n");
  EXPECT_EQ(cli.run({"image", "inspect", "-f", "{{.Size}}", "reg:5000/web:1"}).out, "2100000\n");
  EXPECT_EQ(cli.run({"image", "inspect", "nope"}).exit_code, 3);
  EXPECT_EQ(cli.run({"image", "load", "-i", "/proc/self/exe"}).out, "Loaded image: web:1\n");
  EXPECT_EQ(agent.pull_request.image(), "docker-archive:/proc/self/exe");
  EXPECT_EQ(cli.run({"image", "load"}, "tar bytes").out, "Loaded image: web:1\n");
  EXPECT_THAT(agent.pull_request.image(), HasSubstr("agentctl-load-"));
  EXPECT_EQ(cli.run({"image", "load", "-i", "/nope.tar"}).exit_code, 3);
  EXPECT_EQ(cli.run({"pull", "-q", "busybox"}).out, "web:1\n");
  EXPECT_EQ(cli.run({"rmi", "web:1"}).out, "Untagged: web:1\n");
}

TEST_F(CliTest, VolumeVerbs) {
  EXPECT_EQ(cli.run({"volume", "create", "-o", "type=tmpfs", "--label", "a=b", "data"}).out,
            "data\n");
  EXPECT_EQ(agent.volumes["data"].options().at("type"), "tmpfs");
  EXPECT_EQ(cli.run({"volume", "ls"}).out, "DRIVER    VOLUME NAME\nlocal     data\n");
  EXPECT_EQ(cli.run({"volume", "inspect", "-f", "{{.Name}} {{.Driver}}", "data"}).out,
            "data local\n");
  EXPECT_EQ(cli.run({"volume", "ls", "-q", "-f", "dangling=false"}).out, "");
  EXPECT_EQ(cli.run({"volume", "create"}).exit_code, 0);
  EXPECT_EQ(agent.volumes.size(), 2U);
  EXPECT_THAT(cli.run({"volume", "prune"}, "y\n").out, HasSubstr("1 volume removed"));
  EXPECT_TRUE(agent.volumes.contains("data")) << "only unnamed ones without --all";
  EXPECT_EQ(cli.run({"volume", "prune", "-f"}).out, "0 volumes removed\n");
  EXPECT_EQ(cli.run({"volume", "prune", "-a"}, "n\n").exit_code, 0);
  EXPECT_EQ(agent.volumes.size(), 1U);
  EXPECT_EQ(cli.run({"volume", "rm", "data"}).out, "data\n");
  EXPECT_EQ(cli.run({"volume", "rm", "data"}).exit_code, 3);
  EXPECT_EQ(cli.run({"volume", "rm", "-f", "data"}).exit_code, 0);
  EXPECT_EQ(cli.run({"volume", "create", "bad name"}).exit_code, 1);
}

TEST_F(CliTest, ContainerVerbs) {
  runtime::v1::ContainerInfo container;
  container.set_container_id("0123456789abcdef");
  container.set_name("web.1.task1");
  container.set_image("nginx:1");
  container.set_state(runtime::v1::CONTAINER_STATE_RUNNING);
  container.add_command("nginx");
  agent.containers = {container};
  container.set_container_id("ffff456789abcdef");
  container.set_name("web.2.task2");
  container.set_state(runtime::v1::CONTAINER_STATE_EXITED);
  container.mutable_exit()->set_exit_code(137);
  agent.containers.push_back(container);
  EXPECT_EQ(cli.run({"container", "ls", "-q"}).out, "0123456789ab\n");
  EXPECT_THAT(cli.run({"ps", "-a"}).out, HasSubstr("Exited (137)"));
  EXPECT_EQ(cli.run({"container", "inspect", "-f", "{{.State.ExitCode}} {{.Name}}", "ffff"}).out,
            "137 /web.2.task2\n");
  EXPECT_EQ(cli.run({"container", "logs", "web.1.task1"}).out, "hello\n");
  const auto exec =
      cli.run({"exec", "-e", "A=1", "-u", "root", "0123", "sh", "-c", "exit 7", "-u"});
  EXPECT_EQ(exec.exit_code, 7);
  EXPECT_EQ(exec.out, "out\n");
  EXPECT_EQ(exec.err, "err\n");
  EXPECT_EQ(agent.exec_start.container_id(), "0123456789abcdef");
  EXPECT_EQ(agent.exec_start.command_size(), 4);
  EXPECT_EQ(agent.exec_start.user(), "root");
  EXPECT_EQ(cli.run({"exec", "ffff", "sh"}).exit_code, 5);
  EXPECT_EQ(cli.run({"exec", "nope", "sh"}).exit_code, 3);
  EXPECT_EQ(cli.run({"exec", "-d", "0123", "sh"}).exit_code, 10);
  agent.exec_refusal = Error{Code::kInvalidArgument, "command 'sh' not found in the container", "COMMAND_NOT_FOUND"};
  const auto missing = cli.run({"exec", "0123", "sh"});
  EXPECT_EQ(missing.exit_code, 127);
  EXPECT_THAT(missing.err, HasSubstr("not found in the container"));
  agent.exec_refusal->reason = "COMMAND_NOT_EXECUTABLE";
  EXPECT_EQ(cli.run({"exec", "0123", "sh"}).exit_code, 126);
}

TEST_F(CliTest, PluginVerbs) {
  plugin::v1::PluginInfo plugin;
  plugin.set_id("volume.local");
  plugin.set_version("0.1.0");
  plugin.add_drivers("volume/local");
  plugin.set_placement("inproc");
  plugin.set_state("running");
  agent.plugins = {plugin};
  EXPECT_EQ(cli.run({"plugin", "ls"}).out,
            "ID             VERSION   DRIVERS        PLACEMENT   STATE     RESTARTS   REASON\n"
            "volume.local   0.1.0     volume/local   inproc      running   0          \n");
  EXPECT_EQ(cli.run({"plugin", "disable", "volume/local"}).out, "volume.local\n");
  EXPECT_EQ(agent.plugins[0].state(), "disabled");
  EXPECT_EQ(cli.run({"plugin", "inspect", "-f", "{{.Enabled}}", "volume.local"}).out, "false\n");
  const auto missing = cli.run({"plugin", "enable", "volume.locl"});
  EXPECT_EQ(missing.exit_code, 3);
  EXPECT_THAT(missing.err, HasSubstr("did you mean 'volume.local'"));
  EXPECT_EQ(cli.run({"plugin", "verify", "/nope.so"}).exit_code, 3);
}

TEST_F(CliTest, BusTraceReadsEveryBodyAsWhatItIs) {
  const auto add = [this](bus::v1::MessageType type, const char* direction, const std::string& body) {
    bus::v1::Header header;
    header.set_type(type);
    header.set_correlation(7);
    header.set_method("volume/1/create");
    auto& line = agent.trace.emplace_back();
    line.set_participant("client-1");
    line.set_direction(direction);
    line.set_header(header.SerializeAsString());
    line.set_body(body);
  };
  volume::v1::CreateRequest request;
  request.set_name("data");
  volume::v1::CreateResponse response;
  response.mutable_volume()->set_driver("local");
  add(bus::v1::REQUEST, "in", request.SerializeAsString());
  add(bus::v1::RESPONSE, "out", response.SerializeAsString());
  const auto done = cli.run({"bus", "trace", "--bodies"});
  EXPECT_THAT(done.out, HasSubstr(R"(volume/1/create {"name":"data")"));
  EXPECT_THAT(done.out, HasSubstr(R"("driver":"local")"));
}

TEST_F(CliTest, BusCallSpeaksJson) {
  EXPECT_THAT(cli.run({"bus", "call", "core", "agent/1/info"}).out,
              HasSubstr("\"swarm_state\": \"active\""));
  EXPECT_EQ(cli.run({"bus", "call", "volume/local", "volume/1/create",
                     R"({"name":"v","options":{"type":"tmpfs"}})", "-c"})
                .exit_code,
            0);
  EXPECT_EQ(agent.volumes["v"].options().at("type"), "tmpfs");
  EXPECT_THAT(cli.run({"bus", "call", "runtime/oci", "runtime/1/pull", R"({"image":"x"})"}).out,
              HasSubstr(R"("status":"copying")"));
  const auto wrong = cli.run({"bus", "call", "core", "agent/1/inf"});
  EXPECT_EQ(wrong.exit_code, 3);
  EXPECT_THAT(wrong.err, HasSubstr("did you mean 'agent/1/info'"));
  EXPECT_EQ(
      cli.run({"bus", "call", "volume/local", "volume/1/create", R"({"nmae":"v"})"}).exit_code, 1);
  EXPECT_THAT(cli.run({"bus", "methods", "-q"}).out, HasSubstr("control/1/list_services\n"));
}

TEST_F(CliTest, InfoAndVersion) {
  EXPECT_THAT(cli.run({"info"}).out,
              HasSubstr("Swarm: active\n  NodeID: node1\n  Is Manager: true\n"));
  EXPECT_EQ(cli.run({"info", "-f", "{{.Swarm.LocalNodeState}}"}).out, "active\n");
  EXPECT_EQ(cli.run({"version", "--format", "{{.Server.Version}}"}).out, "0.1.0\n");
}

TEST_F(CliTest, CompletionOffersVerbsFlagsAndLiveNames) {
  make_web();
  EXPECT_EQ(cli.run({"__complete", "--", "service", "in"}).out, "inspect\n");
  EXPECT_EQ(cli.run({"__complete", "--", "service", "create", "--restart-d"}).out,
            "--restart-delay\n");
  EXPECT_EQ(cli.run({"__complete", "--", "service", "rm", "w"}).out, "web\n");
  EXPECT_THAT(cli.run({"completion", "bash"}).out, HasSubstr("complete -F _agentctl agentctl"));
}

TEST_F(CliTest, WrongCommandLinesNameTheNearestWord) {
  const auto verb = cli.run({"service", "insepct", "web"});
  EXPECT_EQ(verb.exit_code, 2);
  EXPECT_THAT(verb.err, HasSubstr("did you mean 'inspect'"));
  EXPECT_EQ(cli.run({"service"}).exit_code, 2);
  EXPECT_EQ(cli.run({"service", "--help"}).exit_code, 0);
  EXPECT_EQ(cli.run({"help", "service", "ls"}).out, cli.run({"service", "ls", "--help"}).out);
  EXPECT_EQ(cli.run({"help"}).exit_code, 0);
  EXPECT_EQ(cli.run({"service", "inspect"}).exit_code, 2);
  EXPECT_EQ(cli.run({"service", "inspect", "info"}).exit_code, 3)
      << "a name that is also a command";
  EXPECT_EQ(cli.run({"service", "create", "--secret", "x", "img"}).exit_code, 10);
  EXPECT_EQ(cli.run({"stack", "deploy", "-c", "x", "y"}).exit_code, 10);
  EXPECT_THAT(cli.run({"service", "create", "--help"}).out,
              HasSubstr("--update-failure-action string"));
}

}  // namespace
}  // namespace skep::ctl
