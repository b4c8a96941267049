#include "plugins/runtime/oci/container/conmon.h"

#include <gtest/gtest.h>

namespace skep::oci {
namespace {

constexpr const char* kRunc = "/usr/sbin/runc";

std::string logrus(const std::string& message) {
  return "time=\"2026-11-21T05:08:26Z\" level=error msg=\"" + message + "\"\n";
}

TEST(Conmon, SyncLineIsAPidOrTheRuntimesWords) {
  EXPECT_EQ(*parse_sync_line("{\"data\": 10200}\n"), 10200);
  const auto failed = parse_sync_line("{\"data\": -1, \"message\": \"boom\"}\n");
  EXPECT_EQ(failed.error().message, "boom");
  EXPECT_EQ(failed.error().reason, "RUNTIME_FAILED");
  EXPECT_EQ(parse_sync_line("{\"data\": -1}").error().reason, "RUNTIME_FAILED");
  for (const char* bad : {"", "x", "[]", "{}", "{\"data\": \"1\"}"}) {
    EXPECT_EQ(parse_sync_line(bad).error().reason, "CONMON_FAILED") << bad;
  }
}

TEST(Conmon, ExitFile) {
  EXPECT_EQ(parse_exit_file("137"), 137);
  EXPECT_EQ(parse_exit_file("0\n"), 0);
  EXPECT_EQ(parse_exit_file(""), std::nullopt);
}

TEST(Conmon, MissingProgramsAreNamed) {
  const Error error = explain_runtime_error(
      logrus("runc create failed: unable to start container process: exec: \\\"nope\\\": executable "
             "file not found in $PATH"), "nope", kRunc);
  EXPECT_EQ(error.message,
            "command 'nope' not found in the container: name a program that is in the image");
  EXPECT_EQ(exit_code_of_failed_start(error), 127);
  const Error denied = explain_runtime_error(
      logrus("runc create failed: unable to start container process: exec: \\\"/etc/passwd\\\": "
             "permission denied"), "/etc/passwd", kRunc);
  EXPECT_EQ(denied.reason, "COMMAND_NOT_EXECUTABLE");
  EXPECT_EQ(exit_code_of_failed_start(denied), 126);
}

TEST(Conmon, OtherFailuresKeepTheirWords) {
  const Error mount = explain_runtime_error(
      logrus("runc create failed: unable to start container process: error during container init: "
             "error mounting \\\"/gone\\\" to rootfs at \\\"/x\\\": stat /gone: no such file or directory"),
      "sh", kRunc);
  EXPECT_EQ(mount.message, "mount failed: error mounting \"/gone\" to rootfs at \"/x\": stat /gone: "
                           "no such file or directory");
  const Error full = explain_runtime_error(logrus("write x: no space left on device"), "sh", kRunc);
  EXPECT_EQ(full.code, Code::kResourceExhausted);
  const Error hybrid = explain_runtime_error(
      "cgroups in hybrid mode not supported, drop all controllers from cgroupv2", "sh", "/usr/bin/crun");
  EXPECT_EQ(hybrid.code, Code::kFailedPrecondition);
  EXPECT_NE(hybrid.message.find("set runtime_path to runc"), std::string::npos);
  const Error other = explain_runtime_error("something else\n", "sh", kRunc);
  EXPECT_EQ(other.message, "the OCI runtime '/usr/sbin/runc' failed: something else");
  EXPECT_EQ(exit_code_of_failed_start(other), 128);
}

}  // namespace
}  // namespace skep::oci
