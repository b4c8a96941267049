// Nouns of one node: images, volumes, containers, plugins, the bus.
#include <gmock/gmock.h>

#include "skep/bus.pb.h"
#include "skep/volume.pb.h"
#include "tests/unit/agentctl/cli_rig.h"

namespace skep::ctl {
namespace {

using ::testing::HasSubstr;

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
  EXPECT_EQ(cli.run({"pull", "-q", "--disable-content-trust", "busybox"}).out, "web:1\n");
  EXPECT_EQ(cli.run({"pull", "--disable-content-trust=false", "busybox"}).exit_code, 10);
  EXPECT_EQ(cli.run({"pull", "--platform", "linux/arm64", "busybox"}).exit_code, 10);
  EXPECT_EQ(cli.run({"pull", "-a", "busybox"}).exit_code, 10);
  EXPECT_THAT(cli.run({"image", "pull", "web:1:2"}).err, HasSubstr("has two tags: write NAME[:TAG]"));
  EXPECT_EQ(cli.run({"rmi", "--no-prune", "web:1"}).out, "Untagged: web:1\n");
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
  EXPECT_EQ(cli.run({"container", "ls", "-q"}).err, "");
  plugin::v1::PluginInfo runtime;
  runtime.set_id("process");
  runtime.add_drivers("runtime/process");
  runtime.set_state("refused");
  runtime.set_reason("program 'runc' is not installed");
  agent.plugins = {runtime};
  EXPECT_EQ(cli.run({"container", "ls", "-q"}).err,
            "WARNING: plugin 'process' is refused: program 'runc' is not installed; its containers are not listed\n");
  agent.plugins.clear();
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

TEST_F(CliTest, ContainerListOfTheNewestAndOfStates) {
  for (int i = 1; i <= 3; ++i) {
    auto& container = agent.containers.emplace_back();
    container.set_container_id(std::to_string(i) + "123456789abcdef");
    container.set_created_at(i);
    container.set_state(i == 2 ? runtime::v1::CONTAINER_STATE_RUNNING : runtime::v1::CONTAINER_STATE_EXITED);
  }
  EXPECT_EQ(cli.run({"container", "ls", "-q"}).out, "2123456789ab\n");
  EXPECT_EQ(cli.run({"container", "ls", "-q", "-n", "2"}).out, "3123456789ab\n2123456789ab\n");
  EXPECT_EQ(cli.run({"container", "ls", "-q", "-n", "-1"}).out, "2123456789ab\n") << "Docker's default: no bound";
  EXPECT_EQ(cli.run({"ps", "-ql"}).out, "3123456789ab\n");
  EXPECT_EQ(cli.run({"ps", "-ql", "--filter", "id=1"}).out, "1123456789ab\n") << "the newest of what is asked for";
  EXPECT_EQ(cli.run({"container", "ls", "-n", "few"}).exit_code, 2);
  EXPECT_EQ(cli.run({"container", "ls", "--size"}).exit_code, 10);
  EXPECT_EQ(cli.run({"container", "ls", "-q", "-f", "status=exited", "-f", "status=dead"}).out,
            "3123456789ab\n1123456789ab\n");
  const auto bogus = cli.run({"container", "ls", "--filter", "status=bogus"});
  EXPECT_EQ(bogus.exit_code, 1);
  EXPECT_THAT(bogus.err, HasSubstr("filter 'status=bogus': use created, running, exited"));
}

TEST_F(CliTest, ContainerLogsEndBeforeAMoment) {
  auto& container = agent.containers.emplace_back();
  container.set_container_id("0123456789abcdef");
  container.set_state(runtime::v1::CONTAINER_STATE_RUNNING);
  agent.container_log_time = 2'000'000'000;
  EXPECT_EQ(cli.run({"container", "logs", "--until", "1970-01-01T00:00:03Z", "0123"}).out, "hello\n");
  EXPECT_EQ(cli.run({"logs", "--until", "1970-01-01T00:00:02Z", "0123"}).out, "hello\n");
  EXPECT_EQ(cli.run({"logs", "--until", "1970-01-01T00:00:01Z", "0123"}).out, "");
  for (const std::string flag : {"--since", "--until"}) {
    const auto unread = cli.run({"logs", flag, "whenever", "0123"});
    EXPECT_EQ(unread.exit_code, 2) << "as --tail";
    EXPECT_THAT(unread.err, HasSubstr(flag + ": 'whenever' is not a time: give RFC 3339"));
  }
  const auto future = cli.run({"logs", "-f", "--until", "2200-01-01T00:00:00Z", "0123"});
  EXPECT_EQ(future.exit_code, 10);
  EXPECT_THAT(future.err, HasSubstr("leave --follow out"));
  EXPECT_EQ(cli.run({"container", "logs", "--details", "0123"}).exit_code, 10);
}

TEST_F(CliTest, ContainerListShowsThePortsThatDriversPublished) {
  for (const char* task : {"task1", "task2"}) {
    runtime::v1::ContainerInfo container;
    container.set_container_id(std::string("0123456789abcde") + task[4]);
    container.set_name(std::string("web.1.") + task);
    container.set_state(runtime::v1::CONTAINER_STATE_RUNNING);
    (*container.mutable_labels())["com.docker.swarm.task.id"] = task;
    agent.containers.push_back(container);
  }
  agent.containers[1].set_state(runtime::v1::CONTAINER_STATE_EXITED);
  for (const char* task : {"task1", "task2"}) {
    auto& endpoint = *agent.endpoints.add_endpoints();
    endpoint.set_endpoint_id(task);
    for (const std::uint32_t port : {81U, 80U, 443U}) {
      auto& published = *endpoint.add_ports();
      published.set_target_port(port);
      published.set_published_port(30'000 + port);
    }
  }
  plugin::v1::PluginInfo bridge;
  bridge.set_id("bridge");
  bridge.set_state("running");
  bridge.add_drivers("network/bridge");
  agent.plugins = {bridge};
  EXPECT_THAT(cli.run({"container", "ls"}).out, ::testing::ContainsRegex("STATUS +PORTS +NAMES\n"));
  EXPECT_EQ(cli.run({"container", "ls", "-a", "--format", "{{.Names}} {{.Ports}}"}).out,
            "web.1.task1 0.0.0.0:30080-30081->80-81/tcp, 0.0.0.0:30443->443/tcp\nweb.1.task2 \n");
  bridge.add_drivers("network/gone");
  agent.plugins = {bridge};
  const auto partly = cli.run({"container", "ls", "--format", "{{.Ports}}"});
  EXPECT_THAT(partly.out, HasSubstr("0.0.0.0:30443->443/tcp"));
  EXPECT_THAT(partly.err, HasSubstr("WARNING: the ports of 'network/gone' are not listed: "));
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

TEST_F(CliTest, PluginListFiltersByWordsThatThereAre) {
  for (const char* driver : {"volume/local", "network/bridge", "runtime/oci"}) {
    auto& plugin = agent.plugins.emplace_back();
    plugin.set_id(std::string(driver).substr(std::string(driver).find('/') + 1));
    plugin.add_drivers(driver);
    plugin.set_state("running");
  }
  EXPECT_EQ(cli.run({"plugin", "ls", "-q", "--filter", "kind=volume"}).out, "local\n");
  EXPECT_EQ(cli.run({"plugin", "ls", "-q", "--filter", "kind=volume/1"}).out, "local\n");
  EXPECT_EQ(cli.run({"plugin", "ls", "-q", "--filter", "kind=volume", "--filter", "kind=network"}).out,
            "bridge\nlocal\n")
      << "repeats of one key are OR";
  for (const auto& [filter, says] : std::map<std::string, std::string>{
           {"kind=volum", "use consensus, discovery, gateway, network, runtime, volume"},
           {"state=on", "use running, starting, unhealthy, stopped, refused, disabled"},
           {"enabled=maybe", "use true, false"}}) {
    const auto bad = cli.run({"plugin", "ls", "--filter", filter});
    EXPECT_EQ(bad.exit_code, 1);
    EXPECT_THAT(bad.err, HasSubstr("filter '" + filter + "': " + says));
  }
  EXPECT_EQ(cli.run({"volume", "ls", "--filter", "dangling=perhaps"}).exit_code, 1);
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

}  // namespace
}  // namespace skep::ctl
