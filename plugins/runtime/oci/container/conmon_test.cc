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

TEST(Conmon, WhatTheUserGotWrongIsNoDefect) {
  struct Case {
    const char* runc;  // its words behind "exec failed: " or "runc create failed: "
    const char* reason;
    const char* message;  // ours
  };
  constexpr const char* kExec = "exec failed: unable to start container process: ";
  constexpr const char* kCreate =
      "runc create failed: unable to start container process: error during container init: ";
  const auto judge = [](const char* before, const Case& of) {
    const Error error = explain_runtime_error(logrus(std::string(before) + of.runc), "sh", kRunc);
    EXPECT_EQ(error.code, Code::kInvalidArgument) << of.runc;
    EXPECT_EQ(error.reason, of.reason) << of.runc;
    EXPECT_EQ(error.message, of.message);
  };
  judge(kExec, {R"(chdir to cwd (\"/nodir\") set in config.json failed: no such file or directory)",
                "BAD_DIRECTORY",
                "working directory '/nodir' cannot be used: no such file or directory; name a "
                "directory that is "
                "in the container"});
  judge(kExec, {R"(chdir to cwd (\"/etc/passwd\") set in config.json failed: not a directory)",
                "BAD_DIRECTORY",
                "working directory '/etc/passwd' cannot be used: not a directory; name a directory "
                "that is in the "
                "container"});
  judge("exec failed: ", {R"(environment variable name can't be empty: \"=x\")", "BAD_ENV",
                          "environment variable '' is invalid: write NAME=VALUE"});
  judge("exec failed: ", {R"(invalid environment variable: \"x\")", "BAD_ENV",
                          "environment variable 'x' is invalid: write NAME=VALUE"});
  const Case at_create[] = {
      {"mkdir /etc/passwd: not a directory", "BAD_DIRECTORY",
       "working directory cannot be made: '/etc/passwd' of the image is not a directory; name "
       "another one"},
      {"open /proc/sys/net/ipv4/nofoo: no such file or directory", "BAD_SYSCTL",
       "sysctl 'net.ipv4.nofoo' does not exist in the kernel of this node: see `sysctl -a` there"},
      {"write /proc/sys/net/ipv4/ip_forward: invalid argument", "BAD_SYSCTL",
       "sysctl 'net.ipv4.ip_forward': the kernel refuses its value: invalid argument"},
      {"error setting rlimits for ready process: error setting rlimit type 7: operation not "
       "permitted",
       "BAD_ULIMIT",
       "ulimit 'nofile': the kernel refuses its value: operation not permitted; is it above what "
       "the node allows?"},
      {"sethostname: invalid argument", "BAD_HOSTNAME",
       "hostname is refused by the kernel: use at most 64 characters"},
      {"unable to set memory limit to 65536 (current usage: 2269184, peak usage: 2506752)",
       "BAD_RESOURCES",
       "memory limit is too low for a container to start: raise it (unable to set memory limit to "
       "65536 (current "
       "usage: 2269184, peak usage: 2506752))"},
  };
  for (const Case& of : at_create) {
    judge(kCreate, of);
  }
  judge("runc create failed: ",
        {R"(sysctl \"kernel.msg_foo\" is not in a separate kernel namespace)", "BAD_SYSCTL",
         "sysctl 'kernel.msg_foo' is not separate per container: leave it out"});
  const Error paused =
      explain_runtime_error(logrus("exec failed: cannot exec in a paused container"), "", kRunc);
  EXPECT_EQ(paused.code, Code::kFailedPrecondition);
  for (const char* other :
       {"error setting rlimit type x: y", "error setting rlimit type 99: y", "mkdir /sys/x: y"}) {
    EXPECT_EQ(explain_runtime_error(logrus(other), "sh", kRunc).code, Code::kInternal) << other;
  }
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
