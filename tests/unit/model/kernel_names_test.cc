#include "core/model/kernel_names.h"

#include <gtest/gtest.h>

namespace skep::model {
namespace {

TEST(KernelNames, Signals) {
  for (const char* good :
       {"TERM", "SIGTERM", "sigterm", "hup", "1", "15", "64", "RTMIN", "SIGRTMIN+1", "rtmin+30",
        "RTMAX", "RTMAX-14", "SIGRTMAX-30", "CLD", "IOT", "IO", "POLL", "STKFLT"}) {
    EXPECT_TRUE(validate_stop_signal(good)) << good;
  }
  for (const char* bad :
       {"", "SIG", "SIGFOO", "0", "65", "-1", "+1", "9x", "9 ", "RTMIN+0", "RTMIN+31", "RTMIN-1",
        "RTMIN+", "RTMIN+x", "RTMAX+1", "RTMAX-31", "SIGSIGTERM", "SIG9"}) {
    EXPECT_FALSE(validate_stop_signal(bad)) << bad;
  }
}

TEST(KernelNames, Capabilities) {
  for (const char* good : {"ALL", "all", "NET_ADMIN", "CAP_NET_ADMIN", "cap_sys_ptrace", "BPF"}) {
    EXPECT_TRUE(validate_capability(good)) << good;
  }
  for (const char* bad : {"", "CAP_", "FOO", "NET-ADMIN", "NET_ADMIN "}) {
    EXPECT_FALSE(validate_capability(bad)) << bad;
  }
}

TEST(KernelNames, Ulimits) {
  for (const char* good : {"nofile", "core", "rttime", "as"}) {
    EXPECT_TRUE(validate_ulimit_name(good)) << good;
  }
  for (const char* bad : {"", "foo", "RLIMIT_NOFILE"}) {
    EXPECT_FALSE(validate_ulimit_name(bad)) << bad;
  }
  EXPECT_TRUE(
      validate_ulimit_name("nofiles").error().message.ends_with("; did you mean 'nofile'?"));
}

TEST(KernelNames, Sysctls) {
  for (const char* good : {"net.core.somaxconn", "net.ipv4.ip_forward", "fs.mqueue.msg_max",
                           "kernel.sem", "kernel.shm_rmid_forced", "kernel.msgmax"}) {
    EXPECT_TRUE(validate_sysctl(good, "1")) << good;
    EXPECT_FALSE(validate_sysctl(good, "")) << good;
  }
  for (const char* bad : {"", "foo", "net", "net.", "vm.swappiness", "kernel.hostname",
                          "kernel.shm", "kernel.semx", "fs.mqueue.", "fs.file-max"}) {
    EXPECT_FALSE(validate_sysctl(bad, "1")) << bad;
  }
}

}  // namespace
}  // namespace skep::model
