#include "plugins/runtime/oci/container/process_args.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>

namespace skep::oci {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Not;

runtime::v1::Image image_with(std::vector<std::string> entrypoint, std::vector<std::string> command) {
  runtime::v1::Image image;
  image.mutable_entrypoint()->Assign(entrypoint.begin(), entrypoint.end());
  image.mutable_command()->Assign(command.begin(), command.end());
  return image;
}
model::v1::ContainerSpec spec_with(std::vector<std::string> command, std::vector<std::string> args) {
  model::v1::ContainerSpec spec;
  spec.mutable_command()->Assign(command.begin(), command.end());
  spec.mutable_args()->Assign(args.begin(), args.end());
  return spec;
}

TEST(ProcessArgs, JoinEntrypointAndCommandAsDocker) {
  const auto image = image_with({"/entry", "-e"}, {"serve"});
  EXPECT_THAT(*resolve_args(spec_with({}, {}), image), ElementsAre("/entry", "-e", "serve"));
  EXPECT_THAT(*resolve_args(spec_with({}, {"other"}), image), ElementsAre("/entry", "-e", "other"));
  EXPECT_THAT(*resolve_args(spec_with({"sh"}, {}), image), ElementsAre("sh"))
      << "the image's command belonged to the entrypoint that was replaced";
  EXPECT_THAT(*resolve_args(spec_with({"sh"}, {"-c", "x"}), image), ElementsAre("sh", "-c", "x"));
  EXPECT_THAT(*resolve_args(spec_with({}, {}), image_with({}, {"only"})), ElementsAre("only"));
  EXPECT_EQ(resolve_args(spec_with({}, {}), image_with({}, {})).error().reason, "NO_COMMAND");
}

TEST(ProcessArgs, EnvironmentLayersAndRemoves) {
  runtime::v1::Image image;
  image.add_env("PATH=/opt/bin");
  image.add_env("MODE=image");
  image.add_env("GONE=1");
  model::v1::ContainerSpec spec;
  spec.add_env("MODE=service");
  spec.add_env("EMPTY=");
  spec.add_env("GONE");
  EXPECT_THAT(resolve_env(spec, image, "h1"),
              ElementsAre("PATH=/opt/bin", "HOSTNAME=h1", "MODE=service", "EMPTY="));
  EXPECT_THAT(resolve_env({}, {}, "h1"), Contains(kDefaultPath));
  EXPECT_THAT(resolve_env({}, {}, "h1"), Not(Contains("TERM=xterm")));
  spec.set_tty(true);
  EXPECT_THAT(resolve_env(spec, image, "h1"), Contains("TERM=xterm"));
}

TEST(ProcessArgs, SignalsByNameAndNumber) {
  EXPECT_EQ(*parse_signal("SIGTERM"), SIGTERM);
  EXPECT_EQ(*parse_signal("hup"), SIGHUP);
  EXPECT_EQ(*parse_signal("9"), SIGKILL);
  EXPECT_EQ(*parse_signal("RTMIN+3"), 37);
  EXPECT_EQ(*parse_signal("SIGWINCH"), SIGWINCH);
  EXPECT_EQ(*parse_signal("rtmin"), 34);
  EXPECT_EQ(*parse_signal("SIGRTMAX"), 64);
  EXPECT_EQ(*parse_signal("RTMAX-14"), 50);
  EXPECT_EQ(*parse_signal("IO"), SIGIO);
  EXPECT_EQ(*parse_signal("POLL"), SIGIO);
  EXPECT_EQ(*parse_signal("CLD"), SIGCHLD);
  EXPECT_EQ(*parse_signal("IOT"), SIGABRT);
  for (const char* bad : {"", "0", "65", "-1", "SIG", "SIGWHAT", "9x", "RTMIN+99", "RTMIN+0",
                          "RTMIN+", "RTMIN-1", "RTMAX+1", "RTMAX-31"}) {
    EXPECT_EQ(parse_signal(bad).error().reason, "BAD_SIGNAL") << bad;
  }
}

TEST(ProcessArgs, StopSignalFallsBack) {
  runtime::v1::Image image;
  model::v1::ContainerSpec spec;
  EXPECT_EQ(*resolve_stop_signal(spec, image), SIGTERM);
  image.set_stop_signal("nonsense");
  EXPECT_EQ(*resolve_stop_signal(spec, image), SIGTERM);
  image.set_stop_signal("SIGQUIT");
  EXPECT_EQ(*resolve_stop_signal(spec, image), SIGQUIT);
  spec.set_stop_signal("INT");
  EXPECT_EQ(*resolve_stop_signal(spec, image), SIGINT);
  spec.set_stop_signal("nonsense");
  EXPECT_EQ(resolve_stop_signal(spec, image).error().code, Code::kInvalidArgument);
}

}  // namespace
}  // namespace skep::oci
