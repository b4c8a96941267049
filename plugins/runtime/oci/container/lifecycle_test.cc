// Real containers through the driver: runc, conmon and a busybox root file system.

#include <gtest/gtest.h>

#include <sys/mount.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include "plugins/runtime/oci/container/testing/lab.h"

namespace skep::oci {
namespace {

using namespace std::chrono_literals;
using runtime::v1::CONTAINER_STATE_CREATED;
using runtime::v1::CONTAINER_STATE_EXITED;
using runtime::v1::CONTAINER_STATE_RUNNING;

class ROOT_Lifecycle : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string missing = testing::missing_for_containers(); !missing.empty()) {
      FAIL() << missing;
    }
    const auto started = lab.start();
    ASSERT_TRUE(started) << started.error().message;
  }
  void TearDown() override {
    if (!IsSkipped()) {
      const auto listed = lab.list();
      for (const auto& container : listed->containers()) {
        EXPECT_TRUE(lab.remove(container.container_id(), true));
      }
      EXPECT_EQ(lab.leftovers(), std::vector<std::string>());
    }
  }
  runtime::v1::ContainerInfo info(const std::string& id) {
    auto answer = lab.inspect(id);
    return answer ? answer->container() : runtime::v1::ContainerInfo();
  }
  testing::Lab lab;
};

TEST_F(ROOT_Lifecycle, RunsFromCreateToRemove) {
  auto request = lab.request({"sh", "-c", "echo out; echo err >&2; sleep 0.2; exit 3"});
  (*request.mutable_labels())["team"] = "blue";
  const std::string id = request.container_id();
  const auto created = lab.create(request);
  ASSERT_TRUE(created) << created.error().message;
  EXPECT_EQ(created->image_id(), "sha256:lab");
  EXPECT_EQ(info(id).state(), CONTAINER_STATE_CREATED);
  const auto started = lab.start_container(id);
  ASSERT_TRUE(started) << started.error().message;
  EXPECT_GT(started->pid(), 1);
  EXPECT_EQ(info(id).state(), CONTAINER_STATE_RUNNING);
  EXPECT_EQ(info(request.name()).labels().at("team"), "blue");
  EXPECT_EQ(info(id.substr(0, 12)).pid(), started->pid());
  const auto ended = lab.wait(id);
  ASSERT_TRUE(ended) << ended.error().message;
  EXPECT_EQ(ended->exit().exit_code(), 3);
  EXPECT_FALSE(ended->exit().oom_killed());
  EXPECT_GT(ended->exit().finished_at(), info(id).started_at());
  EXPECT_EQ(info(id).state(), CONTAINER_STATE_EXITED);
  EXPECT_EQ(lab.output(id), "out\nerr\n");
  EXPECT_EQ(lab.wait(id)->exit().exit_code(), 3) << "a later wait answers at once";
  EXPECT_TRUE(lab.remove(id, false));
  EXPECT_EQ(lab.inspect(id).error().code, Code::kNotFound);
  EXPECT_TRUE(lab.remove(id, false)) << "an unknown id is removed already";
}

TEST_F(ROOT_Lifecycle, RepeatedCallsAreOneContainer) {
  const auto request = lab.request({"sleep", "60"});
  const std::string id = request.container_id();
  ASSERT_TRUE(lab.create(request));
  ASSERT_TRUE(lab.create(request));
  const auto first = lab.start_container(id);
  const auto second = lab.start_container(id);
  ASSERT_TRUE(first && second);
  EXPECT_EQ(first->pid(), second->pid());
  EXPECT_EQ(lab.list()->containers_size(), 1);
  EXPECT_EQ(lab.remove(id, false).error().code, Code::kFailedPrecondition);
  ASSERT_TRUE(lab.stop(id, -1ns));
  const auto again = lab.stop(id, 1s);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->exit().exit_code(), 137);
  EXPECT_EQ(lab.start_container(id).error().reason, "CONTAINER_ENDED");
}

TEST_F(ROOT_Lifecycle, StopAsksThenKills) {
  auto polite = lab.request({"sh", "-c", "trap 'exit 7' TERM; echo up; while :; do sleep 0.05; done"});
  auto stubborn = lab.request({"sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.05; done"});
  auto own_signal = lab.request({"sh", "-c", "trap 'exit 9' USR1; echo up; while :; do sleep 0.05; done"});
  own_signal.mutable_spec()->set_stop_signal("SIGUSR1");
  for (const auto& request : {polite, stubborn, own_signal}) {
    ASSERT_TRUE(lab.create(request));
    ASSERT_TRUE(lab.start_container(request.container_id()));
    ASSERT_TRUE(lab.until([&] { return lab.output(request.container_id()) == "up\n"; }));
  }
  EXPECT_EQ(lab.stop(polite.container_id(), 10s)->exit().exit_code(), 7);
  EXPECT_EQ(lab.stop(own_signal.container_id(), 10s)->exit().exit_code(), 9);
  const auto before = lab.env().clock.now();
  EXPECT_EQ(lab.stop(stubborn.container_id(), 300ms)->exit().exit_code(), 137);
  EXPECT_GE(lab.env().clock.now() - before, 300ms);
}

TEST_F(ROOT_Lifecycle, SignalsAndTheirExitCodes) {
  const auto request = lab.request({"sleep", "60"});
  const std::string id = request.container_id();
  ASSERT_TRUE(lab.create(request));
  EXPECT_EQ(lab.signal(id, "SIGHUP").error().code, Code::kFailedPrecondition);
  ASSERT_TRUE(lab.start_container(id));
  EXPECT_EQ(lab.signal(id, "SIGWHAT").error().code, Code::kInvalidArgument);
  ASSERT_TRUE(lab.signal(id, "9"));
  EXPECT_EQ(lab.wait(id)->exit().exit_code(), 137);
  EXPECT_EQ(lab.signal("unknown", "HUP").error().code, Code::kNotFound);
}

TEST_F(ROOT_Lifecycle, FailedStartsAreExplained) {
  const auto missing = lab.request({"nope", "x"});
  ASSERT_TRUE(lab.create(missing));
  const auto start = lab.start_container(missing.container_id());
  ASSERT_FALSE(start);
  EXPECT_EQ(start.error().message,
            "command 'nope' not found in the container: name a program that is in the image");
  EXPECT_EQ(info(missing.container_id()).exit().exit_code(), 127);
  const auto no_program = lab.request({"/etc/passwd"});
  ASSERT_TRUE(lab.create(no_program));
  EXPECT_EQ(lab.start_container(no_program.container_id()).error().reason, "COMMAND_NOT_EXECUTABLE");
  EXPECT_EQ(lab.wait(no_program.container_id())->exit().exit_code(), 126);

  auto bad_user = lab.request({"true"});
  bad_user.mutable_spec()->set_user("nobody-here");
  EXPECT_EQ(lab.create(bad_user).error().reason, "UNKNOWN_USER");
  auto bad_mount = lab.request({"true"});
  auto* bind = bad_mount.add_binds();
  bind->set_source("/no/such/place");
  bind->set_target("/data");
  const auto refused = lab.create(bad_mount);
  EXPECT_EQ(refused.error().reason, "BIND_SOURCE_MISSING");
  EXPECT_NE(refused.error().message.find("/no/such/place"), std::string::npos);
  auto no_image = lab.request({"true"});
  no_image.mutable_spec()->set_image("missing");
  EXPECT_EQ(lab.create(no_image).error().code, Code::kNotFound);
}

/// runc whose first process dies, as it does without a thread, as long as there are lines in `deaths`.
std::string mortal_runtime(const std::string& directory, int deaths) {
  const std::string path = directory + "/mortal-runc";
  std::ofstream(directory + "/deaths") << std::string(static_cast<std::size_t>(deaths), '\n');
  std::ofstream(path) << "#!/bin/sh\n"
                         "case \" $* \" in *' create '*) ;; *) exec runc \"$@\";; esac\n"
                         "runc \"$@\" || exit\n"
                         "[ -s " << directory << "/deaths ] || exit 0\n"
                         "sed -i 1d " << directory << "/deaths\n"
                         "while [ $# -gt 0 ]; do [ \"$1\" != --pid-file ] || kill -9 $(cat \"$2\"); shift; done\n";
  std::filesystem::permissions(path, std::filesystem::perms::owner_all);
  return path;
}

TEST_F(ROOT_Lifecycle, AFirstProcessThatDiesBeforeItsCommandIsTriedAgain) {
  constexpr int kTries = 5;
  testing::Lab mortal;
  std::filesystem::create_directories(mortal.state_dir());
  ASSERT_TRUE(mortal.start({{"runtime_path", mortal_runtime(mortal.directory(), kTries - 1)}}));
  const auto request = mortal.request({"echo", "once"});
  const auto ended = mortal.run(request);
  ASSERT_TRUE(ended) << ended.error().message;
  EXPECT_EQ(ended->exit().exit_code(), 0);
  EXPECT_EQ(mortal.output(request.container_id()), "once\n");
  EXPECT_TRUE(mortal.remove(request.container_id(), false));

  mortal_runtime(mortal.directory(), kTries);
  const auto hopeless = mortal.request({"echo", "never"});
  const auto refused = mortal.run(hopeless);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().reason, "START_FAILED") << refused.error().message;
  EXPECT_NE(refused.error().message.find("limits of memory or processes"), std::string::npos);
  EXPECT_TRUE(mortal.remove(hopeless.container_id(), false));
  EXPECT_EQ(mortal.leftovers(), std::vector<std::string>());
}

TEST_F(ROOT_Lifecycle, RemoveWithForceEndsWaiters) {
  const auto request = lab.request({"sleep", "60"});
  const std::string id = request.container_id();
  ASSERT_TRUE(lab.create(request));
  ASSERT_TRUE(lab.start_container(id));
  int code = 0;
  runtime::v1::WaitRequest wait;
  wait.set_container_id(id);
  lab.driver().wait(wait, [&code](Result<runtime::v1::WaitResponse> response) {
    code = response ? response->exit().exit_code() : -1;
  });
  ASSERT_TRUE(lab.remove(id, true));
  EXPECT_TRUE(lab.until([&] { return code != 0; }));
  EXPECT_EQ(code, 137);
}

TEST_F(ROOT_Lifecycle, MissingProgramsKeepTheDriverOut) {
  testing::Lab other;
  const auto no_runtime = other.start({{"runtime_path", "/no/such/runtime"}});
  ASSERT_FALSE(no_runtime);
  EXPECT_EQ(no_runtime.error().reason, "PROGRAM_MISSING");
  EXPECT_NE(no_runtime.error().message.find("install the package 'runc'"), std::string::npos);
  const auto no_conmon = other.start({{"conmon_path", "no-such-conmon"}});
  EXPECT_EQ(no_conmon.error().code, Code::kFailedPrecondition);
}

TEST_F(ROOT_Lifecycle, AFullDiskIsSaidAndLeavesNothing) {
  testing::Lab small;
  std::filesystem::create_directories(small.state_dir());
  ASSERT_EQ(::mount("tmpfs", small.state_dir().c_str(), "tmpfs", 0, "size=16k"), 0);
  ASSERT_TRUE(small.start());
  std::ofstream(small.state_dir() + "/filler") << std::string(16384, 'x');
  const auto created = small.create(small.request({"true"}));
  ASSERT_FALSE(created);
  EXPECT_EQ(created.error().code, Code::kResourceExhausted) << created.error().message;
  EXPECT_EQ(small.list()->containers_size(), 0);
  std::filesystem::remove(small.state_dir() + "/filler");
  const auto request = small.request({"true"});
  const auto ended = small.run(request);
  ASSERT_TRUE(ended) << ended.error().message;
  EXPECT_TRUE(small.remove(request.container_id(), false));
  ASSERT_EQ(::umount(small.state_dir().c_str()), 0);
  EXPECT_EQ(small.leftovers(), std::vector<std::string>());
}

TEST_F(ROOT_Lifecycle, FiftyStartInParallel) {
  constexpr int kCount = 50;
  std::vector<std::string> ids;
  int created = 0;
  int running = 0;
  int failed = 0;
  for (int i = 0; i < kCount; ++i) {
    const auto request = lab.request({"sleep", "600"});
    ids.push_back(request.container_id());
    lab.driver().create(request, [&created](const auto& reply) {
      EXPECT_TRUE(reply) << reply.error().message;
      ++created;
    });
  }
  ASSERT_TRUE(lab.until([&] { return created == kCount; }, 60s));
  for (const std::string& id : ids) {
    runtime::v1::StartRequest start;
    start.set_container_id(id);
    lab.driver().start_container(start, [&](const auto& reply) {
      EXPECT_TRUE(reply) << reply.error().message;
      reply ? ++running : ++failed;
    });
  }
  EXPECT_TRUE(lab.until([&] { return running + failed == kCount; }, 60s));
  EXPECT_EQ(failed, 0);
  int gone = 0;
  for (const std::string& id : ids) {
    runtime::v1::RemoveRequest remove;
    remove.set_container_id(id);
    remove.set_force(true);
    lab.driver().remove(remove, [&](const auto& reply) { gone += reply ? 1 : 0; });
  }
  EXPECT_TRUE(lab.until([&] { return gone == kCount; }, 60s));
  EXPECT_TRUE(std::filesystem::is_empty(lab.state_dir() + "/containers"));
  EXPECT_TRUE(std::filesystem::is_empty(lab.run_dir() + "/exits"));
  EXPECT_TRUE(std::filesystem::is_empty(lab.run_dir() + "/bundles"));
}

}  // namespace
}  // namespace skep::oci
