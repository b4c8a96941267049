// Layers as anybody may unpack them (Ownership::kIgnore); what needs root is in
// layer_unpack_root.cc.
#include "plugins/runtime/oci/images/layer_unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <gmock/gmock.h>

#include "plugins/runtime/oci/images/digest.h"
#include "plugins/runtime/oci/images/testing_layer.h"

namespace skep::oci {
namespace {

using ::testing::HasSubstr;
using testing::read_file;
using testing::Tar;
using testing::TarEntry;

class LayerUnpack : public testing::LayerTest {
 protected:
  LayerUnpack() { options_.ownership = Ownership::kIgnore; }
  void expect_malicious(const Tar& tar, const std::string& says) {
    fresh();
    const auto result = unpack(tar);
    ASSERT_FALSE(result) << says;
    EXPECT_EQ(result.error().code, Code::kInvalidArgument) << result.error().message;
    EXPECT_EQ(result.error().reason, "LAYER_MALICIOUS") << result.error().message;
    EXPECT_THAT(result.error().message, HasSubstr(says));
  }
};

std::string compress(const std::string& data, int filter) {
  std::string out(data.size() + 4096, '\0');
  std::size_t used = 0;
  archive* const writer = archive_write_new();
  archive_write_set_format_raw(writer);
  EXPECT_EQ(archive_write_add_filter(writer, filter), ARCHIVE_OK);
  archive_write_set_bytes_per_block(writer, 0);
  EXPECT_EQ(archive_write_open_memory(writer, out.data(), out.size(), &used), ARCHIVE_OK);
  archive_entry* const entry = archive_entry_new();
  archive_entry_set_filetype(entry, AE_IFREG);
  archive_write_header(writer, entry);
  archive_write_data(writer, data.data(), data.size());
  archive_entry_free(entry);
  archive_write_close(writer);
  archive_write_free(writer);
  out.resize(used);
  return out;
}

TEST_F(LayerUnpack, WritesFilesLinksModesAndTimes) {
  Tar tar;
  tar.directory("./")
      .directory("etc/", 0750)
      .file("etc/conf", "hello")
      .symlink("etc/link", "/etc/conf");
  tar.hard_link("same", "etc/conf")
      .add({"bin/tool", '0', "#!", "", 04755})
      .add({"pipe", '6', "", "", 0600});
  const auto layer = unpack(tar);
  ASSERT_TRUE(layer) << layer.error().message;
  EXPECT_EQ(layer->entries, 7U);
  EXPECT_EQ(layer->bytes, 7U);
  EXPECT_EQ(layer->diff_id, digest_of(tar.finish()));
  EXPECT_EQ(layer->blob_digest, layer->diff_id);
  EXPECT_EQ(read_file(at("same")), "hello");
  EXPECT_EQ(look("same").st_ino, look("etc/conf").st_ino);
  EXPECT_EQ(look("etc").st_mode & 07777U, 0750U);
  EXPECT_EQ(look("etc").st_mtime, 1'700'000'000) << "writing into it did not change its time";
  EXPECT_EQ(look("bin/tool").st_mode & 07777U, 04755U);
  EXPECT_EQ(look("bin").st_mode & 07777U, 0755U) << "a directory without an entry";
  EXPECT_TRUE(S_ISFIFO(look("pipe").st_mode));
  EXPECT_EQ(std::filesystem::read_symlink(at("etc/link")), "/etc/conf");
}

TEST_F(LayerUnpack, TakesOffEveryUsualCompression) {
  const std::string plain = Tar().file("a", std::string(100'000, 'x')).finish();
  for (const int filter :
       {ARCHIVE_FILTER_GZIP, ARCHIVE_FILTER_ZSTD, ARCHIVE_FILTER_XZ, ARCHIVE_FILTER_BZIP2}) {
    fresh();
    const std::string blob = compress(plain, filter);
    const auto layer = unpack(blob);
    ASSERT_TRUE(layer) << filter << ": " << layer.error().message;
    EXPECT_EQ(layer->diff_id, digest_of(plain)) << filter;
    EXPECT_EQ(layer->blob_digest, digest_of(blob)) << filter;
    EXPECT_EQ(read_file(at("a")).size(), 100'000U);
  }
}

TEST_F(LayerUnpack, HashesBytesBehindTheEnd) {
  const std::string tar = Tar().file("a", "1").finish() + std::string(10'240, '\0');
  const auto layer = unpack(tar);
  ASSERT_TRUE(layer);
  EXPECT_EQ(layer->diff_id, digest_of(tar));
  fresh();
  const std::string gzip = compress(tar, ARCHIVE_FILTER_GZIP);
  const auto packed = unpack(gzip);
  ASSERT_TRUE(packed);
  EXPECT_EQ(packed->diff_id, digest_of(tar));
  EXPECT_EQ(packed->blob_digest, digest_of(gzip));
}

TEST_F(LayerUnpack, AnEmptyLayerIsALayer) {
  for (const std::string& bytes : {std::string(), std::string(1024, '\0'),
                                   compress(std::string(1024, '\0'), ARCHIVE_FILTER_GZIP)}) {
    const auto layer = unpack(bytes);
    ASSERT_TRUE(layer) << layer.error().message;
    EXPECT_EQ(layer->entries, 0U);
    EXPECT_EQ(layer->blob_digest, digest_of(bytes));
  }
}

TEST_F(LayerUnpack, KeepsNamesThatAreNotAscii) {
  const std::string umlaut =
      "gr\xc3\xbc\xc3\x9f"
      "e";
  const std::string latin =
      "gr\xfc\xdf"
      "e";  // no UTF-8
  const std::string deep = umlaut + "/" + std::string(120, 'x') + umlaut;
  Tar tar;
  tar.file(umlaut + "/plain", "1")
      .file(latin, "2")
      .add({"short", '0', "3", "", 0644, 0, 0, 0, 0, 0, {{"path", deep}}});
  const auto layer = unpack(tar);
  ASSERT_TRUE(layer) << layer.error().message;
  EXPECT_EQ(read_file(at(umlaut + "/plain")), "1");
  EXPECT_EQ(read_file(at(latin)), "2");
  EXPECT_EQ(read_file(at(deep)), "3");
}

TEST_F(LayerUnpack, AbsoluteNamesStayInside) {
  const auto layer =
      unpack(Tar().file("/etc/passwd", "inside").file("///x//./y", "1").file("a/../b", "2"));
  ASSERT_TRUE(layer) << layer.error().message;
  EXPECT_EQ(read_file(at("etc/passwd")), "inside");
  EXPECT_EQ(read_file(at("x/y")), "1");
  EXPECT_EQ(read_file(at("b")), "2");
}

TEST_F(LayerUnpack, RefusesNamesThatLeadOut) {
  for (const char* const name :
       {"../outside/new", "/../outside/new", "a/../../outside/new", "..", "./.."}) {
    expect_malicious(Tar().file(name, "x"), "leads out");
  }
  expect_malicious(Tar().directory("../outside/dir"), "leads out");
  expect_malicious(Tar().file("..//.wh.outside", ""), "leads out");
  expect_malicious(Tar().file(".", "x"), "root directory");
}

TEST_F(LayerUnpack, SymbolicLinksAreFollowedInsideOnly) {
  Tar tar;
  tar.directory("real")
      .symlink("up", "../../../../..")
      .symlink("abs", "/real")
      .symlink("rel", "real");
  tar.file("up/outside/new", "1").file("abs/a", "2").file("rel/b", "3");
  tar.symlink("victim", scratch_.path() + "/outside/victim").file("victim", "a file now");
  const auto layer = unpack(tar);
  ASSERT_TRUE(layer) << layer.error().message;
  EXPECT_EQ(read_file(at("outside/new")), "1") << "the root is the end of '..'";
  EXPECT_EQ(read_file(at("real/a")), "2");
  EXPECT_EQ(read_file(at("real/b")), "3");
  EXPECT_EQ(read_file(at("victim")), "a file now") << "the link was replaced, not followed";
}

TEST_F(LayerUnpack, RefusesLinksThatLeadNowhereOrInCircles) {
  expect_malicious(Tar().symlink("a", "/nowhere").file("a/b", ""), "leads nowhere");
  expect_malicious(Tar().symlink("a", "b").symlink("b", "a").file("a/c", ""),
                   "directory of a layer");
  expect_malicious(Tar().file("f", "x").file("f/g", ""), "used as a directory");
}

TEST_F(LayerUnpack, HardLinksReachOnlyFilesOfTheLayer) {
  expect_malicious(Tar().hard_link("a", scratch_.path() + "/outside/victim"),
                   "no file of this layer");
  expect_malicious(Tar().hard_link("a", "../outside/victim"), "leads out");
  expect_malicious(Tar().symlink("up", "../..").hard_link("a", "up/outside/victim"),
                   "no file of this layer");
  expect_malicious(Tar().directory("d").hard_link("a", "d"), "no file of this layer");
  expect_malicious(Tar().hard_link("a", "a"), "no file of this layer");
  expect_malicious(Tar().hard_link("a", "/"), "no file");
  // A link to a symbolic link is that link again, not what it names.
  Tar tar;
  tar.symlink("s", scratch_.path() + "/outside/victim").hard_link("h", "s").file("h", "mine");
  fresh();
  ASSERT_TRUE(unpack(tar));
  EXPECT_EQ(read_file(at("h")), "mine");
}

TEST_F(LayerUnpack, WhiteoutsNameOneFileHere) {
  for (const char* const name : {".wh.", ".wh..", ".wh...", "a/.wh."}) {
    expect_malicious(Tar().file(name, ""), "whiteout of nothing");
  }
  expect_malicious(Tar().file(".wh.a/b", ""), "beneath a whiteout");
  expect_malicious(Tar().hard_link("a", ".wh.b"), "no file");
  expect_malicious(Tar().add({"a", '3', "", "", 0644}), "0/0");
}

TEST_F(LayerUnpack, LaterEntriesReplaceEarlierOnes) {
  Tar tar;
  tar.file("a", "old")
      .file("a", "new")
      .directory("d")
      .file("d/x", "1")
      .file("d", "a file")
      .symlink("s", "d")
      .directory("s");
  tar.directory("keep").file("keep/x", "1").directory("keep", 0700);
  const auto layer = unpack(tar);
  ASSERT_TRUE(layer) << layer.error().message;
  EXPECT_EQ(read_file(at("a")), "new");
  EXPECT_EQ(read_file(at("d")), "a file");
  EXPECT_TRUE(S_ISDIR(look("s").st_mode));
  EXPECT_EQ(read_file(at("keep/x")), "1");
  EXPECT_EQ(look("keep").st_mode & 07777U, 0700U);
}

TEST_F(LayerUnpack, LimitsBytesEntriesAndDepth) {
  options_.limits = {1'000'000, 50};
  const auto expect_too_large = [&](const std::string& bytes) {
    fresh();
    const auto layer = unpack(bytes);
    ASSERT_FALSE(layer);
    EXPECT_EQ(layer.error().code, Code::kResourceExhausted) << layer.error().message;
    EXPECT_EQ(layer.error().reason, "LAYER_TOO_LARGE");
  };
  expect_too_large(
      Tar().file("a", std::string(600'000, 'a')).file("b", std::string(600'000, 'b')).finish());
  expect_too_large(compress(std::string(50'000'000, '\0'), ARCHIVE_FILTER_GZIP));
  expect_too_large(Tar().add_raw({"a", '0', "x"}, 1'000'001).finish());
  Tar many;
  for (int i = 0; i < 51; ++i) {
    many.file("f" + std::to_string(i), "");
  }
  expect_too_large(many.finish());
  std::string deep;
  for (std::size_t i = 0; i < 300; ++i) {
    deep += "d/";
  }
  expect_malicious(Tar().add({"x", '5', "", "", 0755, 0, 0, 0, 0, 0, {{"path", deep}}}), "deeper");
}

TEST_F(LayerUnpack, LinksDoNotMakeTheTreeDeeper) {
  std::string part = "d";
  for (int i = 0; i < 40; ++i) {
    part += "/d";
  }
  Tar tar;
  std::string base;
  for (int i = 0; i < 10; ++i) {  // each link stands at the bottom of the one before
    tar.add({"x", '5', "", "", 0755, 0, 0, 0, 0, 0, {{"path", base + part}}});
    tar.add({"x", '2', "", part, 0755, 0, 0, 0, 0, 0, {{"path", base + "l"}}});
    base += "l/";
  }
  const auto layer = unpack(tar);
  ASSERT_FALSE(layer);
  EXPECT_THAT(layer.error().message, HasSubstr("deeper"));
}

TEST_F(LayerUnpack, KeepsUsersAttributesAndNoneForOverlayfs) {
  const auto layer = unpack(Tar().add({"f",
                                       '0',
                                       "x",
                                       "",
                                       0444,
                                       0,
                                       0,
                                       0,
                                       0,
                                       0,
                                       {{"SCHILY.xattr.user.color", "blue"},
                                        {"SCHILY.xattr.user.overlay.redirect", "/../.."},
                                        {"SCHILY.xattr.trusted.overlay.redirect", "/../.."}}}));
  ASSERT_TRUE(layer) << layer.error().message;
  EXPECT_EQ(attribute("f", "user.color"), "blue");
  EXPECT_EQ(attribute("f", "user.overlay.redirect"), "none");
  EXPECT_EQ(attribute("f", "trusted.overlay.redirect"), "none");
}

TEST_F(LayerUnpack, SaysThatALayerIsDamaged) {
  const std::string good =
      compress(Tar().file("a", std::string(50'000, 'x')).finish(), ARCHIVE_FILTER_GZIP);
  for (const std::string& bytes :
       {std::string("not a tar at all, just some text that is long enough"), std::string(5000, 'x'),
        good.substr(0, good.size() / 2),
        Tar().add_raw({"a", '0', "x"}, 5000).finish().substr(0, 1024)}) {
    fresh();
    const auto layer = unpack(bytes);
    ASSERT_FALSE(layer) << bytes.substr(0, 20);
    EXPECT_EQ(layer.error().code, Code::kInvalidArgument) << layer.error().message;
  }
}

TEST_F(LayerUnpack, CanBeCancelled) {
  options_.cancelled = [] { return true; };
  const auto layer = unpack(Tar().file("a", "x"));
  ASSERT_FALSE(layer);
  EXPECT_EQ(layer.error().code, Code::kCancelled);
}

}  // namespace
}  // namespace skep::oci
