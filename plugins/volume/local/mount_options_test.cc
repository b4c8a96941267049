#include "plugins/volume/local/mount_options.h"

#include <gtest/gtest.h>
#include <sys/mount.h>

namespace skep::local {
namespace {

TEST(MountOptions, SplitsFlagsFromFileSystemData) {
  const auto spec = parse_mount_options(
      {{"type", "nfs4"}, {"o", "addr=10.0.0.1,ro,soft,nosuid"}, {"device", ":/data"}});
  ASSERT_TRUE(spec);
  EXPECT_EQ(spec->type, "nfs4");
  EXPECT_EQ(spec->device, ":/data");
  EXPECT_EQ(spec->flags, static_cast<unsigned long>(MS_RDONLY | MS_NOSUID));
  EXPECT_EQ(spec->data, "addr=10.0.0.1,soft");
}

TEST(MountOptions, LaterOptionsWinAsWithMount) {
  const auto spec = parse_mount_options({{"type", "tmpfs"}, {"o", "ro,rw,size=1m"}, {"device", "tmpfs"}});
  ASSERT_TRUE(spec);
  EXPECT_EQ(spec->flags, 0u);
  EXPECT_EQ(spec->data, "size=1m");
}

TEST(MountOptions, RefusesWhatItDoesNotKnowAndSaysWhatItDoes) {
  auto unknown = parse_mount_options({{"size", "10m"}});
  ASSERT_FALSE(unknown);
  EXPECT_NE(unknown.error().message.find("type, o and device"), std::string::npos);
  EXPECT_FALSE(parse_mount_options({{"type", "tmpfs"}}));
  EXPECT_FALSE(parse_mount_options({{"device", "tmpfs"}}));
  EXPECT_FALSE(parse_mount_options({{"o", "ro"}}));
  EXPECT_TRUE(parse_mount_options({}));
}

TEST(VolumeName, KeepsOutPathsAndOddities) {
  for (const char* good : {"a", "db-data", "A.b_c-1"}) {
    EXPECT_TRUE(check_volume_name(good)) << good;
  }
  EXPECT_TRUE(check_volume_name(std::string(255, 'v')));
  for (const char* bad : {"", ".", "..", "../x", "a/b", "-v", "_v", "a b", "\xc3\xa4"}) {
    EXPECT_FALSE(check_volume_name(bad)) << bad;
  }
  EXPECT_FALSE(check_volume_name(std::string(256, 'v')));
}

}  // namespace
}  // namespace skep::local
