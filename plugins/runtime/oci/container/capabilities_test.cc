#include "plugins/runtime/oci/container/capabilities.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace skep::oci {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Not;

TEST(Capabilities, DefaultIsDockers14) {
  const auto names = resolve_capabilities({}, {}, kAllCapabilities);
  EXPECT_THAT(*names, ElementsAre("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID",
                                  "CAP_KILL", "CAP_SETGID", "CAP_SETUID", "CAP_SETPCAP",
                                  "CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_SYS_CHROOT",
                                  "CAP_MKNOD", "CAP_AUDIT_WRITE", "CAP_SETFCAP"));
}

TEST(Capabilities, AddDropAndAll) {
  EXPECT_THAT(*resolve_capabilities({"net_admin"}, {"CAP_MKNOD"}, kAllCapabilities),
              ::testing::AllOf(Contains("CAP_NET_ADMIN"), Not(Contains("CAP_MKNOD"))));
  EXPECT_THAT(*resolve_capabilities({"CHOWN"}, {"ALL"}, kAllCapabilities), ElementsAre("CAP_CHOWN"));
  EXPECT_THAT(*resolve_capabilities({}, {"all"}, kAllCapabilities), IsEmpty());
  EXPECT_EQ(resolve_capabilities({"ALL"}, {}, kAllCapabilities)->size(), 41U);
  EXPECT_EQ(resolve_capabilities({"ALL"}, {"SYS_ADMIN"}, kAllCapabilities)->size(), 40U);
}

TEST(Capabilities, NothingBeyondTheAgentsOwn) {
  const CapabilitySet own = kAllCapabilities & ~(1ULL << 21);  // no SYS_ADMIN
  EXPECT_EQ(resolve_capabilities({"SYS_ADMIN"}, {}, own).error().reason, "CAPABILITY_UNAVAILABLE");
  EXPECT_THAT(*resolve_capabilities({"ALL"}, {}, own), Not(Contains("CAP_SYS_ADMIN")));
  EXPECT_EQ(resolve_capabilities({"FLY"}, {}, own).error().reason, "UNKNOWN_CAPABILITY");
}

TEST(Capabilities, ReadsTheBoundingSet) {
  EXPECT_EQ(parse_bounding_set("Name:\tx\nCapBnd:\t00000000a80425fb\nCapAmb:\t0\n"), 0xa80425fbULL);
  EXPECT_EQ(parse_bounding_set("Name:\tx\n"), kAllCapabilities);
}

}  // namespace
}  // namespace skep::oci
