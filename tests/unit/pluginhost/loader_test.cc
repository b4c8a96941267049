#include "core/pluginhost/loader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <thread>

#include "skep/posix_env.h"

namespace skep::host {
namespace {

using testing::HasSubstr;

const std::string kBroken = SKEP_BUILD_DIR "/broken-plugins/";

const skep_plugin* create_none(const skep_host* /*host*/) { return nullptr; }

skep_entry good_entry() {
  return {sizeof(skep_entry), SKEP_ABI_MAJOR, SKEP_ABI_MINOR, "a", "1", {nullptr, 0}, create_none};
}

skep_plugin good_plugin() {
  return {sizeof(skep_plugin),
          nullptr,
          [](void*, skep_bytes) { return std::int32_t{0}; },
          [](void*, skep_bytes, skep_bytes) {},
          [](void*) {},
          [](void*) {},
          nullptr};
}

std::string entry_error(const std::function<void(skep_entry&)>& change) {
  Manifest manifest;
  manifest.id = "a";
  skep_entry entry = good_entry();
  change(entry);
  const Status status = check_entry(&entry, manifest);
  return status ? "" : status.error().message;
}

TEST(CheckEntry, TakesWhatFitsAndNewerMinors) {
  EXPECT_EQ(entry_error([](auto&) {}), "");
  EXPECT_EQ(entry_error([](auto& entry) { entry.abi_minor = 77; }), "");
  EXPECT_EQ(entry_error([](auto& entry) { entry.struct_size += 64; }), "");
}

TEST(CheckEntry, SaysWhatDoesNotFit) {
  EXPECT_THAT(entry_error([](auto& entry) { entry.struct_size = 8; }), HasSubstr("has 8 bytes, too few for ABI 1.0"));
  EXPECT_THAT(entry_error([](auto& entry) { entry.abi_major = 9; }),
              HasSubstr("it is built for plugin ABI 9, this agent has ABI 1: rebuild it"));
  EXPECT_THAT(entry_error([](auto& entry) { entry.id = nullptr; }), HasSubstr("null fields"));
  EXPECT_THAT(entry_error([](auto& entry) { entry.version = nullptr; }), HasSubstr("null fields"));
  EXPECT_THAT(entry_error([](auto& entry) { entry.create = nullptr; }), HasSubstr("null fields"));
  EXPECT_THAT(entry_error([](auto& entry) { entry.id = "b"; }),
              HasSubstr("its code says id 'b', its manifest 'a': make SKEP_PLUGIN and plugin.toml agree"));
}

std::string plugin_error(const std::function<void(skep_plugin&)>& change) {
  skep_plugin plugin = good_plugin();
  change(plugin);
  const Status status = check_plugin(&plugin);
  return status ? "" : status.error().message;
}

TEST(CheckPlugin, EveryNullIsRefused) {
  EXPECT_EQ(plugin_error([](auto&) {}), "");
  const std::string bad = "its plugin table is too short or has null functions: rebuild it with the SDK";
  EXPECT_EQ(plugin_error([](auto& plugin) { plugin.struct_size = 16; }), bad);
  EXPECT_EQ(plugin_error([](auto& plugin) { plugin.start = nullptr; }), bad);
  EXPECT_EQ(plugin_error([](auto& plugin) { plugin.deliver = nullptr; }), bad);
  EXPECT_EQ(plugin_error([](auto& plugin) { plugin.stop = nullptr; }), bad);
  EXPECT_EQ(plugin_error([](auto& plugin) { plugin.destroy = nullptr; }), bad);
  const Status none = check_plugin(nullptr);
  ASSERT_FALSE(none);
  EXPECT_THAT(none.error().message, HasSubstr("could not create an instance"));
}

TEST(LoadEntry, RefusesBrokenFilesWithTheirPath) {
  for (const auto& [name, why] : std::vector<std::pair<std::string, std::string>>{
           {"wrong-abi", "built for plugin ABI 9"},
           {"null-entry", "null fields"},
           {"id-mismatch", "its code says id 'somebody-else', its manifest 'id-mismatch'"},
           {"no-entry", "does not export skep_plugin_entry_v1"},
           {"text", "cannot be loaded"},
           {"not-there", "cannot be loaded"}}) {
    Manifest manifest;
    manifest.id = name;
    auto entry = load_entry(kBroken + name + ".so", manifest);
    ASSERT_FALSE(entry) << name;
    EXPECT_THAT(entry.error().message, HasSubstr(why));
    EXPECT_THAT(entry.error().message, HasSubstr(name + ".so"));
  }
}

TEST(LoadEntry, LooksAgainWhoCanChangeTheFile) {
  std::string directory = ::testing::TempDir() + "skep-loader-XXXXXX";
  ASSERT_NE(::mkdtemp(directory.data()), nullptr);
  PosixDisk disk;
  const std::string path = directory + "/wrong-abi.so";
  ASSERT_TRUE(disk.write_file_atomic(path, *disk.read_file(kBroken + "wrong-abi.so"), 0600));
  Manifest manifest;
  manifest.id = "wrong-abi";
  EXPECT_EQ(load_entry(path, manifest).error().reason, "WRONG_ABI");
  ASSERT_EQ(::chmod(path.c_str(), 0602), 0);
  EXPECT_EQ(load_entry(path, manifest).error().reason, "UNSAFE_FILE");
  EXPECT_TRUE(disk.remove_tree(directory));
}

TEST(LoadEntry, FromManyThreadsAtOnce) {
  constexpr int kThreads = 8;  // as agentd: every in-process plugin is loaded by its own thread
  constexpr int kLoads = 200;
  Manifest manifest;
  manifest.id = "wrong-abi";
  std::atomic<int> opened{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      for (int load = 0; load < kLoads; ++load) {
        opened += load_entry(kBroken + "wrong-abi.so", manifest).error().reason == "WRONG_ABI" ? 1 : 0;
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(opened, kThreads * kLoads);
}

}  // namespace
}  // namespace skep::host
