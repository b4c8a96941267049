// Nouns of the swarm, and what all commands share.
#include <gmock/gmock.h>

#include "tests/unit/agentctl/cli_rig.h"

namespace skep::ctl {
namespace {

using ::testing::HasSubstr;

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

TEST_F(CliTest, ListsHaveDockersRawFormat) {
  make_web();
  const auto services = cli.run({"service", "ls", "--format", "raw"});
  EXPECT_THAT(services.out, ::testing::MatchesRegex("id: .+\nname: web\nmode: replicated\nreplicas: 2/2\n"
                                                    "image: nginx:1.*\nports: [^\n]*\n\n"));
  EXPECT_THAT(cli.run({"service", "ls", "-q", "--format", "raw"}).out, ::testing::MatchesRegex("id: [^\n]+\n"));
  EXPECT_THAT(cli.run({"service", "ps", "--format", "raw", "web"}).out,
              HasSubstr("\ndesired_state: Running\ncurrent_state: Running"));
  EXPECT_THAT(cli.run({"node", "ls", "--format", "raw"}).out, HasSubstr("\navailability: Active\nmanager_status: "));
  EXPECT_THAT(cli.run({"container", "ls", "-a", "--format", "raw"}).err, ::testing::IsEmpty());
  for (const char* noun : {"image", "volume"}) {
    EXPECT_EQ(cli.run({noun, "ls", "--format", "raw"}).exit_code, 0) << noun;
  }
  const auto none = cli.run({"plugin", "ls", "--format", "raw"});
  EXPECT_EQ(none.exit_code, kExitUsage);
  EXPECT_THAT(none.err, HasSubstr("'raw' is no format of this list"));
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
  EXPECT_EQ(cli.run({"service", "logs", "--since", "x", "web"}).exit_code, 2);
  const auto missing = cli.run({"service", "logs", "nope"});
  EXPECT_EQ(missing.exit_code, 3);
  EXPECT_THAT(missing.err, HasSubstr("'agentctl service ls' lists services"));
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

TEST_F(CliTest, NodeInspectHasDockersTlsInfo) {
  auto& tls = *agent.nodes[0].mutable_description()->mutable_tls();
  tls.set_trust_root("-----BEGIN CERTIFICATE-----\n");
  tls.set_issuer_subject("\x30\x01");
  tls.set_issuer_public_key("key");
  EXPECT_EQ(cli.run({"node", "inspect", "-f", "{{json .Description.TLSInfo}}", "self"}).out,
            "{\"TrustRoot\":\"-----BEGIN CERTIFICATE-----\\n\",\"CertIssuerSubject\":\"MAE=\","
            "\"CertIssuerPublicKey\":\"a2V5\"}\n");
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

TEST_F(CliTest, RootNeedsADirectory) {
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
           {"--root"}, {"--root="}, {"--root", "", "service", "ls"}, {"service", "ls", "--root"},
           {"service", "ls", "--root="}}) {
    const auto bad = cli.run(words);
    EXPECT_EQ(bad.exit_code, kExitUsage);
    EXPECT_THAT(bad.err, HasSubstr("'--root' needs a value: --root DIR"));
  }
}

TEST_F(CliTest, WhatComesLaterSaysSoWhateverFollows) {
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
           {"container", "stop", "-t", "5", "web"}, {"container", "rm", "-f", "web"}, {"container", "attach", "web"},
           {"container", "run", "--rm", "-it", "web", "sh", "-h"}, {"image", "tag", "a", "b"},
           {"image", "history", "web"}, {"image", "save", "-o", "x", "web"}, {"image", "prune", "-a"},
           {"system", "df"}, {"events", "--since", "1m"}, {"inspect", "web"}, {"stack"}, {"run", "web"},
           {"volume", "ls", "--cluster"}, {"volume", "create", "--scope", "multi", "data"}}) {
    const auto later = cli.run(words);
    EXPECT_EQ(later.exit_code, 10) << words.back() << later.err;
    EXPECT_THAT(later.err, HasSubstr("is not there yet: "));
  }
  EXPECT_THAT(cli.run({"container", "stop", "web"}).err,
              HasSubstr("'agentctl container stop' is not there yet: containers belong to tasks"));
  EXPECT_EQ(cli.run({"container", "run", "--help"}).exit_code, 0);
  EXPECT_THAT(cli.run({"container", "--help"}).out, HasSubstr("\nNot there yet:  attach, "));
  EXPECT_EQ(cli.run({"__complete", "--", "container", "run"}).out, "");
}

}  // namespace
}  // namespace skep::ctl
