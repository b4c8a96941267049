#include "core/pluginhost/catalog.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "skep/posix_env.h"

namespace skep::host {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

const std::string kBroken = SKEP_BUILD_DIR "/broken-plugins/";

class Catalog : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "skep-catalog-XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    directory_ = name;
    for (const char* sub : {"/trusted", "/third"}) {
      ASSERT_TRUE(disk_.make_directories(directory_ + sub, 0700));
    }
    options_.trusted_dirs = {directory_ + "/trusted"};
    options_.third_party_dirs = {directory_ + "/third"};
  }
  void TearDown() override { EXPECT_TRUE(disk_.remove_tree(directory_)); }

  std::string put(const std::string& where, const std::string& plugin, const std::string& as = "") {
    const std::string target = directory_ + "/" + where + "/" + (as.empty() ? plugin : as) + ".so";
    auto content = disk_.read_file(kBroken + plugin + ".so");
    EXPECT_TRUE(content);
    EXPECT_TRUE(disk_.write_file_atomic(target, content ? *content : "", 0600));
    return target;
  }

  PosixDisk disk_;
  std::string directory_;
  CatalogOptions options_;
};

TEST_F(Catalog, ListsWhatIsThereSortedAndIgnoresOtherFiles) {
  put("third", "crashes-in-call");
  put("trusted", "wrong-abi");
  ASSERT_TRUE(disk_.write_file_atomic(directory_ + "/third/notes.txt", "x", 0600));
  options_.third_party_dirs.push_back(directory_ + "/not-there");
  const auto entries = read_catalog(options_);
  ASSERT_EQ(entries.size(), 2U);
  EXPECT_EQ(entries[0].id, "crashes-in-call");
  EXPECT_EQ(entries[1].id, "wrong-abi");
  EXPECT_THAT(entries[0].refusal, IsEmpty());
  EXPECT_EQ(entries[0].placement, Placement::kIsolated);
}

TEST_F(Catalog, ReadsNoCodeToRefuse) {
  for (const auto& [name, why] : std::vector<std::pair<std::string, std::string>>{
           {"text", "is not an ELF file"},
           {"no-manifest", "has no manifest"},
           {"wrong-kind", "this agent speaks volume/1"},
           {"no-entry", "does not export skep_plugin_entry_v1"},
           {"exports-too-much", "beside skep_plugin_entry_v1"}}) {
    const auto entry = read_entry(kBroken + name + ".so", false, options_);
    EXPECT_THAT(entry.refusal, HasSubstr(why)) << name;
    EXPECT_THAT(entry.id, HasSubstr(name));
  }
}

TEST_F(Catalog, TheFirstFileOfAnIdWins) {
  const std::string first = put("trusted", "wrong-abi");
  put("third", "wrong-abi", "copy");
  const auto entries = read_catalog(options_);
  ASSERT_EQ(entries.size(), 2U);
  const auto& refused = entries[0].refusal.empty() ? entries[1] : entries[0];
  EXPECT_THAT(refused.path, HasSubstr("third/copy.so"));
  EXPECT_EQ(refused.refusal, "id 'wrong-abi' is taken by '" + first +
                                 "': remove one of the two files, or give one plugin another id");
}

TEST_F(Catalog, RefusesFilesThatOthersCanChange) {
  const std::string path = put("third", "wrong-abi");
  const auto refusal = [&] { return read_entry(path, false, options_).refusal; };
  ASSERT_EQ(::chmod(path.c_str(), 0666), 0);
  EXPECT_EQ(refusal(), path + ": is writable by everybody, and its code runs as this agent: chmod o-w '" + path +
                           "', or remove the plugin");
  ASSERT_EQ(::chmod(path.c_str(), 0644), 0);
  EXPECT_THAT(refusal(), IsEmpty());
  if (::geteuid() == 0) {
    ASSERT_EQ(::chown(path.c_str(), 0, 12345), 0);
    EXPECT_THAT(refusal(), IsEmpty()) << "a group that cannot write";
    ASSERT_EQ(::chmod(path.c_str(), 0664), 0);
    EXPECT_THAT(refusal(), HasSubstr("is writable by group 12345, and its code runs as this agent: chmod g-w"));
    ASSERT_EQ(::chown(path.c_str(), 0, 0), 0);
    EXPECT_THAT(refusal(), IsEmpty()) << "root's group";
    ASSERT_EQ(::chown(path.c_str(), 12345, 12345), 0);
    EXPECT_THAT(refusal(), HasSubstr("belongs to user 12345"));
  }
  EXPECT_THAT(read_entry(directory_, false, options_).refusal, HasSubstr("is no regular file"));
}

TEST_F(Catalog, RefusesFilesInDirectoriesThatOthersCanChange) {
  const std::string path = put("third", "wrong-abi");
  const std::string third = directory_ + "/third";
  const auto refusal = [&](const std::string& of) { return read_entry(of, false, options_).refusal; };
  ASSERT_EQ(::chmod(third.c_str(), 0777), 0);
  EXPECT_EQ(refusal(path), path + ": its directory '" + third + "' is writable by everybody, and its code runs as "
                                  "this agent: chmod o-w '" + third + "', or remove the plugin");
  const std::string link = directory_ + "/trusted/link.so";
  ASSERT_EQ(::symlink(path.c_str(), link.c_str()), 0);
  EXPECT_THAT(refusal(link), HasSubstr(link + ": its directory '" + third + "' is writable by everybody"));
  ASSERT_EQ(::chmod(third.c_str(), 01777), 0);
  EXPECT_THAT(refusal(path), IsEmpty()) << "nobody replaces another's file there";
  if (::geteuid() == 0) {
    ASSERT_EQ(::chown(third.c_str(), 0, 12345), 0);
    ASSERT_EQ(::chmod(third.c_str(), 0775), 0);
    EXPECT_THAT(refusal(path), HasSubstr("is writable by group 12345"));
    ASSERT_EQ(::chown(third.c_str(), 12345, 0), 0);
    ASSERT_EQ(::chmod(third.c_str(), 0755), 0);
    EXPECT_THAT(refusal(path), HasSubstr(third + "' belongs to user 12345, who could change it"));
  }
}

TEST_F(Catalog, SettingsForAPluginThatIsNotThereAreSaid) {
  put("third", "wrong-abi");
  options_.settings["wrong-api"] = {};
  options_.settings["gone"] = {.enabled = false, .placement = "", .config = {}};
  const auto entries = read_catalog(options_);
  ASSERT_EQ(entries.size(), 2U);
  EXPECT_EQ(entries[1].id, "wrong-api");
  EXPECT_THAT(entries[1].refusal, HasSubstr("no file brings that plugin; did you mean 'wrong-abi'?"));
}

TEST_F(Catalog, UnknownSettingsRefuseThePlugin) {
  options_.settings["wrong-abi"].config["sice"] = "1";
  EXPECT_THAT(read_entry(put("third", "wrong-abi"), false, options_).refusal,
              HasSubstr("plugin 'wrong-abi' has no setting 'sice'"));
}

TEST_F(Catalog, PlacementIsWhatManifestTrustAndSettingsAllow) {
  const std::string isolated = kBroken + "wrong-abi.so";  // its manifest allows isolated only
  EXPECT_EQ(read_entry(isolated, true, options_).placement, Placement::kIsolated);
  options_.settings["wrong-abi"].placement = "inproc";
  EXPECT_THAT(read_entry(isolated, true, options_).refusal, HasSubstr("does not allow placement \"inproc\""));
  const std::string both = kBroken + "places.so";
  EXPECT_EQ(read_entry(both, true, options_).placement, Placement::kInproc);
  EXPECT_EQ(read_entry(both, false, options_).placement, Placement::kIsolated);
  options_.isolate_all = true;
  EXPECT_EQ(read_entry(both, true, options_).placement, Placement::kIsolated);
  options_.settings["places"].placement = "inproc";
  EXPECT_EQ(read_entry(both, true, options_).placement, Placement::kInproc);
  EXPECT_THAT(read_entry(both, false, options_).refusal, HasSubstr("third-party plugins run isolated"));
}

}  // namespace
}  // namespace skep::host
