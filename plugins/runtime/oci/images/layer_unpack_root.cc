// What of unpacking a layer needs root: owners, devices, whiteouts in overlayfs, capabilities.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>

#include "plugins/runtime/oci/images/testing_layer.h"

namespace skep::oci {
namespace {

using ::testing::HasSubstr;
using testing::read_file;
using testing::Tar;

class ROOT_LayerUnpack : public testing::LayerTest {};

TEST_F(ROOT_LayerUnpack, AppliesOwnersDevicesAndSetuid) {
  Tar tar;
  tar.directory("home", 0700).add({"home/app", '0', "x", "", 06755, 1000, 1001});
  tar.add({"dir", '5', "", "", 01777, 5, 6})
      .add({"null", '3', "", "", 0666, 1, 2, 1, 3})
      .add({"disk", '4', "", "", 0640, 0, 6, 7, 0});
  tar.add({"link", '2', "", "nowhere", 0777, 7, 8}).add({"pipe", '6', "", "", 0622, 9, 9});
  const auto layer = unpack(tar);
  ASSERT_TRUE(layer) << layer.error().message;
  EXPECT_EQ(look("home/app").st_uid, 1000U);
  EXPECT_EQ(look("home/app").st_gid, 1001U);
  EXPECT_EQ(look("home/app").st_mode & 07777U, 06755U) << "chown did not take setuid away";
  EXPECT_EQ(look("dir").st_uid, 5U);
  EXPECT_EQ(look("dir").st_mode & 07777U, 01777U);
  EXPECT_TRUE(S_ISCHR(look("null").st_mode));
  EXPECT_EQ(look("null").st_rdev, makedev(1, 3));
  EXPECT_EQ(look("null").st_mode & 07777U, 0666U);
  EXPECT_EQ(look("null").st_uid, 1U);
  EXPECT_TRUE(S_ISBLK(look("disk").st_mode));
  EXPECT_EQ(look("link").st_uid, 7U);
  EXPECT_EQ(look("pipe").st_mode & 07777U, 0622U);
}

TEST_F(ROOT_LayerUnpack, WhiteoutsBecomeDevicesAndAttributes) {
  Tar tar;
  tar.directory("d")
      .file("d/.wh.gone", "")
      .file(".wh.top", "")
      .directory("fresh")
      .file("fresh/.wh..wh..opq", "");
  tar.file("fresh/new", "1").file("deep/er/.wh.x", "").file("opaque/.wh..wh..opq", "");
  tar.file(".wh..wh.plnk/1.2", "aufs").file(".wh..wh.aufs", "");
  const auto layer = unpack(tar);
  ASSERT_TRUE(layer) << layer.error().message;
  for (const char* const name : {"d/gone", "top", "deep/er/x"}) {
    EXPECT_TRUE(S_ISCHR(look(name).st_mode)) << name;
    EXPECT_EQ(look(name).st_rdev, 0U) << name;
  }
  EXPECT_EQ(attribute("fresh", "trusted.overlay.opaque"), "y");
  EXPECT_EQ(attribute("opaque", "trusted.overlay.opaque"), "y");
  EXPECT_EQ(attribute("d", "trusted.overlay.opaque"), "none");
  EXPECT_EQ(read_file(at("fresh/new")), "1");
  EXPECT_FALSE(exists(".wh..wh.plnk"));
  EXPECT_FALSE(exists(".wh..wh.aufs"));
}

TEST_F(ROOT_LayerUnpack, WhiteoutsHideOnlyWhatLiesBelow) {
  Tar tar;
  tar.file("a", "stays").file(".wh.a", "");
  tar.file(".wh.b", "").file("b", "comes later");
  tar.file(".wh.c", "").directory("c").file("c/x", "1");
  tar.directory("d").file("d/x", "1").file(".wh.d", "");
  const auto layer = unpack(tar);
  ASSERT_TRUE(layer) << layer.error().message;
  EXPECT_EQ(read_file(at("a")), "stays");
  EXPECT_EQ(read_file(at("b")), "comes later");
  EXPECT_EQ(read_file(at("c/x")), "1");
  EXPECT_EQ(read_file(at("d/x")), "1");
  EXPECT_EQ(attribute("c", "trusted.overlay.opaque"), "y") << "what lay below was removed";
  EXPECT_EQ(attribute("d", "trusted.overlay.opaque"), "y");
}

TEST_F(ROOT_LayerUnpack, KeepsCapabilitiesAndDropsWhatSteersOverlayfs) {
  // VFS_CAP_REVISION_2, cap_net_bind_service permitted and effective.
  const std::string capability(
      "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", 20);
  const auto layer = unpack(Tar().add({"ping",
                                       '0',
                                       "#!",
                                       "",
                                       0755,
                                       3,
                                       4,
                                       0,
                                       0,
                                       0,
                                       {{"SCHILY.xattr.security.capability", capability},
                                        {"SCHILY.xattr.user.k", "v"},
                                        {"SCHILY.xattr.trusted.overlay.metacopy", ""},
                                        {"SCHILY.xattr.trusted.overlay.redirect", "/../../outside"},
                                        {"SCHILY.xattr.security.selinux", "other_t"}}}));
  ASSERT_TRUE(layer) << layer.error().message;
  EXPECT_EQ(attribute("ping", "security.capability"), capability);
  EXPECT_EQ(attribute("ping", "user.k"), "v");
  EXPECT_EQ(attribute("ping", "trusted.overlay.redirect"), "none");
  EXPECT_EQ(attribute("ping", "trusted.overlay.metacopy"), "none");
  EXPECT_EQ(attribute("ping", "security.selinux"), "none");
}

TEST_F(ROOT_LayerUnpack, SparseFilesStaySparse) {
  // GNU.sparse 1.0: the map (1 region, offset 100 MiB, 5 bytes) precedes the data, padded to 512.
  const std::string offset = std::to_string(100u << 20);
  std::string data = "1\n" + offset + "\n5\n";
  data.resize(512, '\0');
  data += "hello";
  const std::string size = std::to_string((100u << 20) + 5);
  const auto layer = unpack(Tar().add({"sparse",
                                       '0',
                                       data,
                                       "",
                                       0644,
                                       0,
                                       0,
                                       0,
                                       0,
                                       0,
                                       {{"GNU.sparse.major", "1"},
                                        {"GNU.sparse.minor", "0"},
                                        {"GNU.sparse.name", "sparse"},
                                        {"GNU.sparse.realsize", size}}}));
  ASSERT_TRUE(layer) << layer.error().message;
  EXPECT_EQ(look("sparse").st_size, (100 << 20) + 5);
  EXPECT_LT(look("sparse").st_blocks, 1000);
  options_.limits.layer_bytes_max = 50u << 20;
  fresh();
  const auto limited = unpack(Tar().add({"sparse",
                                         '0',
                                         data,
                                         "",
                                         0644,
                                         0,
                                         0,
                                         0,
                                         0,
                                         0,
                                         {{"GNU.sparse.major", "1"},
                                          {"GNU.sparse.minor", "0"},
                                          {"GNU.sparse.name", "sparse"},
                                          {"GNU.sparse.realsize", size}}}));
  ASSERT_FALSE(limited);
  EXPECT_EQ(limited.error().code, Code::kResourceExhausted);
}

/// A small tmpfs as the disk that fills up.
class SmallDisk {
 public:
  explicit SmallDisk(std::string path) : path_(std::move(path)) {
    mounted_ = ::mount("tmpfs", path_.c_str(), "tmpfs", 0, "size=1m") == 0;
  }
  ~SmallDisk() {
    if (mounted_) {
      ::umount2(path_.c_str(), MNT_DETACH);
    }
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;
  [[nodiscard]] bool mounted() const { return mounted_; }

 private:
  std::string path_;
  bool mounted_ = false;
};

TEST_F(ROOT_LayerUnpack, AFullDiskIsResourceExhausted) {
  const SmallDisk disk(root());
  ASSERT_TRUE(disk.mounted());
  const auto layer = unpack(Tar().file("big", std::string(4u << 20, 'x')));
  ASSERT_FALSE(layer);
  EXPECT_EQ(layer.error().code, Code::kResourceExhausted) << layer.error().message;
  EXPECT_TRUE(layer.error().retryable());
}

TEST_F(ROOT_LayerUnpack, OverlayfsUnderstandsTheResult) {
  const std::string lower = scratch_.path() + "/layer/lower";
  const std::string upper = scratch_.path() + "/layer/upper";
  const std::string merged = scratch_.path() + "/layer/merged";
  for (const std::string& path : {lower, upper, merged}) {
    std::filesystem::create_directories(path);
  }
  const auto into = [&](const std::string& path, const Tar& tar) {
    const OwnedFd fd = testing::memory_file(tar.finish());
    const auto layer = unpack_layer(fd.get(), path, options_);
    ASSERT_TRUE(layer) << layer.error().message;
  };
  into(lower, Tar()
                  .file("gone", "1")
                  .file("stays", "2")
                  .directory("d")
                  .file("d/old", "3")
                  .directory("r")
                  .file("r/old", "4"));
  into(upper, Tar()
                  .file(".wh.gone", "")
                  .directory("d")
                  .file("d/.wh..wh..opq", "")
                  .file("d/new", "5")
                  .file(".wh.r", "")
                  .directory("r")
                  .file("r/new", "6"));
  const std::string options = "lowerdir=" + upper + ":" + lower;
  ASSERT_EQ(::mount("overlay", merged.c_str(), "overlay", MS_RDONLY, options.c_str()), 0) << errno;
  EXPECT_FALSE(std::filesystem::exists(merged + "/gone"));
  EXPECT_EQ(read_file(merged + "/stays"), "2");
  EXPECT_FALSE(std::filesystem::exists(merged + "/d/old"));
  EXPECT_EQ(read_file(merged + "/d/new"), "5");
  EXPECT_FALSE(std::filesystem::exists(merged + "/r/old"));
  EXPECT_EQ(read_file(merged + "/r/new"), "6");
  EXPECT_EQ(::umount2(merged.c_str(), MNT_DETACH), 0);
}

}  // namespace
}  // namespace skep::oci
