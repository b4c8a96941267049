#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "core/agentctl/auth.h"
#include "core/agentctl/command.h"
#include "core/agentctl/context.h"
#include "core/agentctl/flags/service_flags.h"
#include "core/agentctl/progress/progress.h"
#include "core/agentctl/shape/shape.h"
#include "core/agentctl/suggest.h"
#include "core/agentctl/text.h"
#include "skep/posix_env.h"

namespace skep::ctl {
namespace {

using ::testing::HasSubstr;

/// Runs "FLAGS..." through the real parser into a spec.
Result<model::v1::ServiceSpec> parse(FlagUse use, std::vector<std::string> words,
                                     model::v1::ServiceSpec before = {}) {
  std::ostringstream out;
  std::istringstream in;
  PosixClock clock;
  PosixRandom random;
  PosixDisk disk;
  PosixSubprocess subprocess;
  Context context(out, out, in, {clock, random, disk, subprocess});
  Command root("agentctl", "");
  ServiceEdits edits;
  std::vector<std::string> arguments;
  auto& verb = root.add("verb", "").arguments("[OPTIONS] IMAGE [ARG...]", 0);
  if (use == FlagUse::kCreate) {
    verb.stop_at_first_argument();
  }
  edits.add_flags(verb, use);
  verb.run([&arguments](Context&, const auto& given) -> Result<int> {
    arguments = given;
    return 0;
  });
  words.insert(words.begin(), "verb");
  SKEP_TRY(run_command_line(root, context, std::move(words)));
  const FlagWorld world{.environment = {{"HOME", "/root"}},
                        .read_file = [](const std::string&) -> Result<std::string> {
                          return std::string("# c\nA=file\nB=2\n");
                        }};
  return use == FlagUse::kCreate
             ? edits.create(arguments.at(0), {arguments.begin() + 1, arguments.end()}, world)
             : edits.update(std::move(before), world);
}

std::string created(std::vector<std::string> words) {
  auto spec = parse(FlagUse::kCreate, std::move(words));
  return spec ? to_json(service_spec_shape(*spec)) : "error: " + spec.error().message;
}

TEST(ServiceFlags, MakeTheSpecDockerMakes) {
  EXPECT_EQ(
      created({"--name",
               "web",
               "--replicas=3",
               "-p",
               "mode=host,target=80,published=8080",
               "-e",
               "A=1",
               "-eHOME",
               "-eNOPE",
               "--env-file",
               "x",
               "--restart-condition",
               "on-failure",
               "--limit-memory",
               "64m",
               "--limit-cpu",
               ".5",
               "--constraint",
               "node.role==manager",
               "nginx:1",
               "sh",
               "-c",
               "--replicas"}),
      R"({"Name":"web","Labels":{},"TaskTemplate":{"ContainerSpec":{"Image":"nginx:1","Args":["sh","-c","--replicas"],)"
      R"("Env":["A=1","B=2","HOME=/root"],"StopGracePeriod":10000000000,"DNSConfig":{},"Isolation":"default"},)"
      R"("Resources":{"Limits":{"NanoCPUs":500000000,"MemoryBytes":67108864}},)"
      R"("RestartPolicy":{"Condition":"on-failure","Delay":5000000000,"MaxAttempts":0},"Placement":{"Constraints":["node.role==manager"]},)"
      R"("ForceUpdate":0,"Runtime":"container"},"Mode":{"Replicated":{"Replicas":3}},)"
      R"("UpdateConfig":{"Parallelism":1,"FailureAction":"pause","Monitor":5000000000,"MaxFailureRatio":0,"Order":"stop-first"},)"
      R"("RollbackConfig":{"Parallelism":1,"FailureAction":"pause","Monitor":5000000000,"MaxFailureRatio":0,"Order":"stop-first"},)"
      R"("EndpointSpec":{"Mode":"vip","Ports":[{"Protocol":"tcp","TargetPort":80,"PublishedPort":8080,"PublishMode":"host"}]}})");
}

struct Piece {
  std::vector<std::string> words;
  std::string part;  // of the JSON, or of the error
};
class ServiceFlagPieces : public ::testing::TestWithParam<Piece> {};
TEST_P(ServiceFlagPieces, ShowInTheSpec) {
  auto words = GetParam().words;
  words.push_back("img");
  EXPECT_THAT(created(words), HasSubstr(GetParam().part));
}
INSTANTIATE_TEST_SUITE_P(
    Good, ServiceFlagPieces,
    ::testing::Values(
        Piece{{"--mode", "global"}, R"("Mode":{"Global":{}})"},
        Piece{{"--replicas", "4", "--mode", "replicated-job"},
              R"("MaxConcurrent":4,"TotalCompletions":4)"},
        Piece{{"-p", "target=80,mode=host"},
              R"([{"Protocol":"tcp","TargetPort":80,"PublishMode":"host"}])"},
        Piece{{"-p", "target=53,protocol=udp,mode=host"}, R"("Protocol":"udp")"},
        Piece{{"--mount", "type=bind,src=/a,dst=/b,ro"},
              R"({"Type":"bind","Source":"/a","Target":"/b","ReadOnly":true})"},
        Piece{{"--mount",
               "src=v,dst=/b,volume-driver=nfs,volume-opt=o=addr=1.2.3.4,volume-label=a=b"},
              R"("DriverConfig":{"Name":"nfs","Options":{"o":"addr=1.2.3.4"}})"},
        Piece{{"--mount", "type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=1770"},
              R"("TmpfsOptions":{"SizeBytes":1048576,"Mode":1016})"},
        Piece{{"--health-cmd", "curl x", "--health-interval", "2s"},
              R"("Healthcheck":{"Test":["CMD-SHELL","curl x"],"Interval":2000000000})"},
        Piece{{"--no-healthcheck"}, R"("Test":["NONE"])"},
        Piece{{"--entrypoint", "sh -c 'a b'"}, R"("Command":["sh","-c","a b"])"},
        Piece{{"--cap-drop", "all", "--cap-add", "net_admin"},
              R"("CapabilityAdd":["CAP_NET_ADMIN"],"CapabilityDrop":["ALL"])"},
        Piece{{"--ulimit", "nofile=10:20"}, R"("Ulimits":[{"Name":"nofile","Hard":20,"Soft":10}])"},
        Piece{{"--host", "db:10.0.0.9"}, R"("Hosts":["10.0.0.9 db"])"},
        Piece{
            {"--update-parallelism", "0", "--update-order", "start-first"},
            R"("UpdateConfig":{"Parallelism":0,"FailureAction":"pause","Monitor":5000000000,"MaxFailureRatio":0,"Order":"start-first"})"},
        Piece{{"--placement-pref", "spread=node.labels.z"},
              R"("SpreadDescriptor":"node.labels.z")"},
        Piece{{"--generic-resource", "gpu=2"}, R"("Kind":"gpu","Value":2)"},
        Piece{{"--restart-delay", "0s"}, R"("Delay":0)"},
        Piece{{"--network", "host"}, R"("Networks":[{"Target":"host"}])"},
        Piece{{"--tty=true"}, R"("TTY":true)"},
        Piece{{"--oom-score-adj", "-5"}, R"("OomScoreAdj":-5)"},
        Piece{{"--stop-grace-period", "1m"}, R"("StopGracePeriod":60000000000)"}));
INSTANTIATE_TEST_SUITE_P(
    Bad, ServiceFlagPieces,
    ::testing::Values(
        Piece{{"--replicas", "x"}, "--replicas: 'x' is not a whole number"},
        Piece{{"--mode", "global", "--replicas", "2"}, "one task per node"},
        Piece{{"--publish", "127.0.0.1:80:80"}, "every address"},
        Piece{{"--publish", "70000"}, "from 1 to 65535"},
        Piece{{"--publish", "published=80"}, "names no target"},
        Piece{{"--publish", "8000-8001:80"}, "cannot go to"},
        Piece{{"--publish", "target=80,mod=host"}, "did you mean 'mode'"},
        Piece{{"--publish", "port=80,mode=host"}, "unknown key 'port'; keys are target, published, protocol, mode, name"},
        Piece{{"--network", "nme=host"}, "keys are name, alias, driver-opt"},
        Piece{{"--publish", "8080:80"}, "not there yet: publish it where the tasks run, with mode=host,target=80,published=8080"},
        Piece{{"--publish", "target=80"}, "with mode=host,target=80"},
        Piece{{"--endpoint-mode", "dnsrr"}, "not there yet"},
        Piece{{"--mount", "type=bind,dst=/x"}, "needs source=PATH"},
        Piece{{"--mount", "type=volme,dst=/x"}, "did you mean 'volume'"},
        Piece{{"--mount", "type=foo,dst=/x"}, "unknown mount type 'foo'; types are volume, bind, tmpfs"},
        Piece{{"--mount", "tpe=bind,dst=/x"}, "keys are type, source, src, target"},
        Piece{{"--mount", "type=tmpfs,dst=/d", "--mount", "src=v,dst=/d/"},
              "--mount: duplicate mount point '/d/': give each mount a target of its own"},
        Piece{{"--mount", "src=x"}, "names no target"},
        Piece{{"--mount", "type=bind,src=/a,dst=/b,tmpfs-size=1"}, "does not go with type=bind"},
        Piece{{"--mount", "type=bind,src=/a,dst=/b,bind-nonrecursive"}, "bind-recursive=disabled"},
        Piece{{"--network", "mynet"}, "not there yet"},
        Piece{{"--secret", "s"}, "--secret is not there yet"},
        Piece{{"--limit-memory", "lots"}, "--limit-memory"},
        Piece{{"--restart-condition", "always"}, "use none, on-failure or any"},
        Piece{{"--no-healthcheck", "--health-cmd", "x"}, "conflicts"},
        Piece{{"--ulimit", "nofile=20:10"}, "above the hard limit"},
        Piece{{"--ulimit", "nofile"}, "--ulimit: 'nofile' is not NAME=SOFT[:HARD]"},
        Piece{{"--ulimit", "nofile=1:many"}, "for example nofile=1024:2048"},
        Piece{{"--update-max-failure-ratio", "2"}, "between 0 and 1"},
        Piece{{"--replcas", "2"}, "did you mean '--replicas'"},
        Piece{{"--placement-pref", "binpack=x"}, "spread="},
        Piece{{"--generic-resource", "gpu=a"}, "KIND=NUMBER"},
        Piece{{"--env", "=x"}, "not KEY=VALUE"}));

TEST(ServiceFlags, TheShortFormOfAPortNamesProtocolAndRanges) {
  const auto udp = parse_publish("53:53/udp");
  ASSERT_TRUE(udp);
  EXPECT_EQ(udp->at(0).protocol(), model::v1::PublishedPort::UDP);
  const auto range = parse_publish("8000-8001:80-81");
  ASSERT_TRUE(range);
  ASSERT_EQ(range->size(), 2U);
  EXPECT_EQ(range->at(1).target_port(), 81U);
  EXPECT_EQ(range->at(1).published_port(), 8001U);
}

TEST(ServiceFlags, UpdateChangesOnlyWhatIsNamed) {
  auto before = parse(FlagUse::kCreate, {"--name", "web", "-p", "mode=host,target=80,published=80", "-e", "A=1", "-e", "B=2",
                                         "-l", "x=1", "--mount", "src=v,dst=/v", "img:1"});
  ASSERT_TRUE(before);
  auto after = parse(FlagUse::kUpdate,
                     {"--publish-add", "mode=host,target=80,published=88", "--publish-rm", "80:80", "--env-rm", "A",
                      "--env-add", "B=3", "--env-add", "C=4", "--label-rm", "x", "--label-add",
                      "y=2", "--mount-rm", "/v", "--force", "--image", "img:2"},
                     *before);
  ASSERT_TRUE(after) << after.error().message;
  const std::string json = to_json(service_spec_shape(*after));
  EXPECT_THAT(
      json,
      HasSubstr(
          R"("Ports":[{"Protocol":"tcp","TargetPort":80,"PublishedPort":88,"PublishMode":"host"}])"));
  EXPECT_THAT(json, HasSubstr(R"("Env":["B=3","C=4"])"));
  EXPECT_THAT(json, HasSubstr(R"("Labels":{"y":"2"})"));
  EXPECT_THAT(json, HasSubstr(R"("ForceUpdate":1)"));
  EXPECT_THAT(json, HasSubstr(R"("Image":"img:2")"));
  EXPECT_THAT(json, ::testing::Not(HasSubstr("Mounts")));
}

TEST(ServiceFlags, AMountOfAnUpdateReplacesWhatWasThereButNoOtherOfTheSameCommand) {
  auto before = parse(FlagUse::kCreate, {"--mount", "src=v,dst=/v", "--mount", "src=w,dst=/w", "img:1"});
  ASSERT_TRUE(before);
  EXPECT_EQ(before->task().container().mounts_size(), 2);
  const auto after = parse(FlagUse::kUpdate, {"--mount-add", "src=x,dst=/v"}, *before);
  ASSERT_TRUE(after);
  ASSERT_EQ(after->task().container().mounts_size(), 2);
  EXPECT_EQ(after->task().container().mounts(0).source(), "x");
  const auto twice = parse(FlagUse::kUpdate, {"--mount-add", "src=x,dst=/v", "--mount-add", "src=y,dst=/v"}, *before);
  ASSERT_FALSE(twice);
  EXPECT_THAT(twice.error().message, HasSubstr("--mount-add: duplicate mount point '/v'"));
}

TEST(ServiceFlags, AnImageWithTwoTagsIsToldSo) {
  for (const auto& spec : {parse(FlagUse::kCreate, {"reg:5000/web:1:2"}),
                           parse(FlagUse::kUpdate, {"--image", "reg:5000/web:1:2@sha256:00"})}) {
    ASSERT_FALSE(spec);
    EXPECT_THAT(spec.error().message, HasSubstr("has two tags: write NAME[:TAG], for example web:1"));
  }
  EXPECT_TRUE(parse(FlagUse::kCreate, {"reg:5000/web:1"}));
}

TEST(Text, SpeaksAsDockerDoes) {
  using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace): literals only
  EXPECT_EQ(human_duration(300ms), "Less than a second");
  EXPECT_EQ(human_duration(59s), "59 seconds");
  EXPECT_EQ(human_duration(61s), "About a minute");
  EXPECT_EQ(human_duration(3599s), "59 minutes");
  EXPECT_EQ(human_duration(3600s), "About an hour");
  EXPECT_EQ(human_duration(72h), "3 days");
  EXPECT_EQ(print_time(1'700'000'000'120'000'000), "2023-11-14T22:13:20.12Z");
  EXPECT_EQ(print_time(0), "0001-01-01T00:00:00Z");
  EXPECT_EQ(*parse_moment("2023-11-14T22:13:20.12Z", 0), 1'700'000'000'120'000'000);
  EXPECT_EQ(*parse_moment("2023-11-14T23:13:20+01:00", 0), 1'700'000'000'000'000'000);
  EXPECT_EQ(*parse_moment("10s", 60'000'000'000), 50'000'000'000);
  EXPECT_EQ(parse_moment("yesterday", 0).error().reason, "USAGE");
  EXPECT_FALSE(parse_moment("0027-01-01", 0)) << "no nanoseconds since 1970 reach there";
  EXPECT_FALSE(parse_moment("2263-01-01T00:00:00Z", 0));
  EXPECT_EQ(decimal_size(4'270'000), "4.27MB");
  EXPECT_EQ(ellipsis("abcdef", 4), "abc…");
  EXPECT_EQ(ellipsis("äöüß", 4), "äöüß");
  EXPECT_EQ(did_you_mean("insepct", {"inspect", "ls"}), ", did you mean 'inspect'?");
  EXPECT_EQ(did_you_mean("zzz", {"inspect", "ls"}), "");
}

TEST(Auth, ReadsAndChangesDockersFile) {
  const std::string file = R"({"auths":{"reg:5000":{"auth":")" + encode_base64("me:p:w") +
                           R"("},"https://index.docker.io/v1/":{"auth":")" +
                           encode_base64("hub:x") + R"("}},"credsStore":""})";
  EXPECT_EQ(find_credentials(file, "reg:5000")->password, "p:w");
  EXPECT_EQ(find_credentials(file, "docker.io")->user, "hub");
  EXPECT_EQ(find_credentials(file, "other").error().code, Code::kNotFound);
  EXPECT_EQ(find_credentials("{", "other").error().code, Code::kDataLoss);
  EXPECT_EQ(find_credentials(*remove_credentials(file, "reg:5000"), "reg:5000").error().code,
            Code::kNotFound);
  EXPECT_EQ(registry_key("busybox"), "docker.io");
  EXPECT_EQ(registry_key("me/app:1"), "docker.io");
  EXPECT_EQ(registry_key("reg:5000/app"), "reg:5000");
  EXPECT_EQ(registry_key("localhost/app"), "localhost");
  EXPECT_EQ(*decode_base64(encode_base64("any carnal pleas")), "any carnal pleas");
}

model::v1::Task task(std::uint64_t slot, model::v1::TaskState state, std::uint64_t spec_version = 1,
                     const std::string& error = "") {
  model::v1::Task one;
  one.set_id("t" + std::to_string(slot));
  one.set_slot(slot);
  one.set_spec_version(spec_version);
  one.set_desired_state(model::v1::TASK_STATE_RUNNING);
  one.mutable_status()->set_state(state);
  one.mutable_status()->set_error(error);
  return one;
}

TEST(Progress, EndsWhenAllRunAndStaySoForTheMonitorPeriod) {
  using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace): literals only
  model::v1::Service service;
  service.set_spec_version(1);
  service.mutable_spec()->set_name("web");
  service.mutable_spec()->mutable_replicated()->set_replicas(2);
  ServiceProgress progress(false, {});
  ProgressPrinter printer(false, 80);
  const TimePoint start{};
  EXPECT_EQ(printer.show(progress.update(service, {}, start)),
            "overall progress: 0 out of 2 tasks\n");
  auto view = progress.update(service,
                              {task(1, model::v1::TASK_STATE_RUNNING),
                               task(2, model::v1::TASK_STATE_PENDING, 1, "no suitable node")},
                              start);
  EXPECT_EQ(printer.show(view), "overall progress: 1 out of 2 tasks\n2/2: no suitable node\n");
  const std::vector<model::v1::Task> running{task(1, model::v1::TASK_STATE_RUNNING),
                                             task(2, model::v1::TASK_STATE_RUNNING)};
  view = progress.update(service, running, start + 1s);
  EXPECT_EQ(printer.show(view),
            "overall progress: 2 out of 2 tasks\nverify: Waiting 5 seconds to verify that tasks "
            "are stable...\n");
  EXPECT_EQ(printer.show(progress.update(service, running, start + 3s)), "");
  // A failure starts the window again.
  view = progress.update(service, {task(1, model::v1::TASK_STATE_RUNNING)}, start + 4s);
  EXPECT_EQ(printer.show(view), "overall progress: 1 out of 2 tasks\n");
  EXPECT_FALSE(progress.update(service, running, start + 5s).outcome);
  EXPECT_FALSE(progress.update(service, running, start + 9s).outcome);
  view = progress.update(service, running, start + 10s);
  ASSERT_TRUE(view.outcome);
  EXPECT_TRUE(view.outcome->has_value());
  EXPECT_EQ(view.verify, "verify: Service web converged");
}

TEST(Progress, OldTasksDoNotCountAndAPauseIsAnError) {
  model::v1::Service service;
  service.set_spec_version(2);
  service.mutable_spec()->set_name("web");
  service.mutable_spec()->mutable_replicated()->set_replicas(1);
  ServiceProgress progress(false, {});
  model::v1::Task same = task(1, model::v1::TASK_STATE_RUNNING, 1);
  EXPECT_EQ(ServiceProgress(false, {}).update(service, {same}, TimePoint{}).overall,
            "overall progress: 1 out of 1 tasks")
      << "a rollback leaves alone what already runs the wanted specification";
  service.mutable_spec()->mutable_task()->mutable_container()->set_image("web:2");
  auto view = progress.update(service, {task(1, model::v1::TASK_STATE_RUNNING, 1)}, TimePoint{});
  EXPECT_EQ(view.overall, "overall progress: 0 out of 1 tasks");
  service.mutable_update_status()->set_state(model::v1::UpdateStatus::PAUSED);
  service.mutable_update_status()->set_message("update paused due to failure of task t1");
  view = progress.update(service, {}, TimePoint{});
  ASSERT_TRUE(view.outcome);
  EXPECT_THAT(view.outcome->error().message,
              HasSubstr("service update paused: update paused due to failure"));
}

TEST(Progress, ARollbackThatWasOverBeforeIsNoFailureOfThisChange) {
  model::v1::Service service;
  service.set_spec_version(1);
  service.mutable_spec()->mutable_replicated()->set_replicas(1);
  service.mutable_update_status()->set_state(model::v1::UpdateStatus::ROLLBACK_COMPLETED);
  service.mutable_update_status()->set_started_at(5);
  const std::vector<model::v1::Task> tasks = {task(1, model::v1::TASK_STATE_RUNNING)};
  const auto outcome = [&](const model::v1::UpdateStatus& before) {
    ServiceProgress progress(false, before);
    progress.update(service, tasks, TimePoint{});
    return progress.update(service, tasks, TimePoint{} + std::chrono::minutes(1)).outcome;
  };
  EXPECT_TRUE(*outcome(service.update_status())) << "a scale-up after a rollback";
  EXPECT_FALSE(*outcome({})) << "this update was rolled back";
}

TEST(Progress, DrawsBarsInPlaceOnATerminal) {
  model::v1::Service service;
  service.set_spec_version(1);
  service.mutable_spec()->mutable_replicated()->set_replicas(1);
  ServiceProgress progress(false, {});
  ProgressPrinter printer(true, 100);
  const auto view =
      progress.update(service, {task(1, model::v1::TASK_STATE_PREPARING)}, TimePoint{});
  const std::string first = printer.show(view);
  EXPECT_THAT(first, HasSubstr("1/1: preparing [=========="));
  EXPECT_THAT(printer.show(view), ::testing::StartsWith("\x1b[2A"));
}

}  // namespace
}  // namespace skep::ctl
