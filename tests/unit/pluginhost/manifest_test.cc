#include "core/pluginhost/manifest.h"

#include <elf.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "skep/posix_env.h"

namespace skep::host {
namespace {

using testing::HasSubstr;

const std::string kBroken = SKEP_BUILD_DIR "/broken-plugins/";

TEST(Manifest, ReadsEveryField) {
  auto manifest = parse_manifest(R"(
id = "my-volumes"
version = "1.2.3"
description = "Mine"
kinds = ["volume/1", "network/1"]
capabilities = ["scope:local"]
placement = ["inproc"]
needs = ["runc"]
[config.size]
type = "size"
default = "1g"
description = "How much"
[config.on]
type = "bool"
default = true
[config.count]
type = "int"
default = 3
secret = true
)");
  ASSERT_TRUE(manifest) << manifest.error().message;
  EXPECT_EQ(manifest->id, "my-volumes");
  EXPECT_EQ(manifest->version, "1.2.3");
  EXPECT_EQ(manifest->description, "Mine");
  ASSERT_EQ(manifest->drivers.size(), 2U);
  EXPECT_EQ(manifest->drivers[1].kind(), "network");
  EXPECT_EQ(manifest->drivers[1].name(), "my-volumes");
  EXPECT_EQ(manifest->drivers[1].capabilities(0), "scope:local");
  EXPECT_TRUE(manifest->allows_inproc);
  EXPECT_FALSE(manifest->allows_isolated);
  EXPECT_EQ(manifest->needs, std::vector<std::string>{"runc"});
  EXPECT_EQ(manifest->config.at("size").default_value, "1g");
  EXPECT_EQ(manifest->config.at("on").default_value, "true");
  EXPECT_EQ(manifest->config.at("count").default_value, "3");
  EXPECT_TRUE(manifest->config.at("count").secret);
  EXPECT_THAT(manifest->text, HasSubstr("How much"));
}

TEST(Manifest, WithoutPlacementIsIsolated) {
  auto manifest = parse_manifest("id = \"a\"\nversion = \"1\"\nkinds = [\"volume/1\"]\n");
  ASSERT_TRUE(manifest);
  EXPECT_FALSE(manifest->allows_inproc);
  EXPECT_TRUE(manifest->allows_isolated);
}

TEST(Manifest, SaysWhatIsWrong) {
  const std::string head = "id = \"a\"\nversion = \"1\"\n";
  const std::string good = head + "kinds = [\"volume/1\"]\n";
  const std::vector<std::pair<std::string, std::string>> table{
      {"id = ", "line 1"},
      {"id = \"a\"\nid = \"b\"\n", "line 2"},
      {"version = \"1\"", "'id' must be 1 to 64 of a-z 0-9 - _ . and is ''"},
      {"id = \"../x\"", "'id' must be 1 to 64"},
      {"id = \"Upper\"", "is 'Upper'"},
      {"id = \"a/b\"", "is 'a/b'"},
      {"id = \"" + std::string(65, 'a') + "\"", "'id' must be 1 to 64"},
      {"id = \"a\"", "'version' is missing"},
      {head, "'kinds' is missing"},
      {head + "kinds = \"volume/1\"", "'kinds' must be an array of strings"},
      {head + "kinds = [1]", "'kinds' must hold strings only"},
      {head + "kinds = [\"volume\"]", "'volume' is no kind; a kind is written like \"volume/1\""},
      {head + "kinds = [\"volume/1x\"]", "'volume/1x' is no kind"},
      {head + "kinds = [\"volume/0\"]", "'volume/0' is no kind"},
      {head + "kinds = [\"volume/99999999999\"]", "is no kind"},
      {head + "kinds = [\"floppy/1\"]", "the kinds are consensus, discovery"},
      {head + "kinds = [\"volume/9\"]", "this agent speaks volume/1, the plugin wants volume/9: use a build"},
      {good + "placement = [\"moon\"]", "'placement' holds 'moon'"},
      {good + "needs = 3", "'needs' must be an array"},
      {good + "config = 3", "'config' must be a table of keys: [config.KEY]"},
      {good + "[config]\nx = 3", "'config.x' must be a table"},
      {good + "[config.x]\ntype = \"colour\"", "'config.x.type' is 'colour'; it must be string, int"},
      {std::string(kManifestBytesMax + 1, '#'), "more than 64 KiB"},
  };
  for (const auto& [text, message] : table) {
    auto manifest = parse_manifest(text);
    ASSERT_FALSE(manifest) << text;
    EXPECT_THAT(manifest.error().message, HasSubstr(message));
  }
}

std::string real_plugin() {
  PosixDisk disk;
  auto content = disk.read_file(kBroken + "null-functions.so");
  return content ? *content : "";
}

std::string section_error(std::string_view elf) {
  auto section = find_manifest_section(elf);
  return section ? "" : section.error().message;
}

TEST(Elf, FindsTheManifestOfARealPlugin) {
  auto section = find_manifest_section(real_plugin());
  ASSERT_TRUE(section) << section.error().message;
  EXPECT_THAT(*section, HasSubstr("id = \"null-functions\""));
  auto symbols = exported_symbols(kBroken + "null-functions.so");
  ASSERT_TRUE(symbols);
  EXPECT_THAT(*symbols, testing::ElementsAre("skep_plugin_entry_v1"));
}

TEST(Elf, SaysWhatAFileIsInstead) {
  EXPECT_THAT(section_error(""), HasSubstr("is not an ELF file"));
  EXPECT_THAT(section_error("This is a text, not a plugin.\n"), HasSubstr("is not an ELF file"));
  auto none = read_manifest(kBroken + "no-manifest.so");
  ASSERT_FALSE(none);
  EXPECT_THAT(none.error().message, HasSubstr("no-manifest.so: has no manifest (section .skep_manifest); build it"));
  auto missing = read_manifest(kBroken + "not-there.so");
  ASSERT_FALSE(missing);
  EXPECT_THAT(missing.error().message, HasSubstr("not-there.so"));
}

TEST(Elf, EveryTruncationIsAnErrorAndNothingWorse) {
  const std::string whole = real_plugin();
  ASSERT_GT(whole.size(), sizeof(Elf64_Ehdr));
  // Every size through the headers, then some thousand odd steps: the section table is at the end.
  const std::size_t step = whole.size() / 4096 | 61;
  for (std::size_t size = 0; size < whole.size(); size += size < 4096 ? 1 : step) {
    // A copy of just that size, so that a sanitizer sees reads beyond it.
    const std::string part(whole.data(), size);
    EXPECT_NE(section_error(part), "") << size;
  }
}

TEST(Elf, EveryWrongHeaderFieldIsAnErrorAndNothingWorse) {
  const std::string whole = real_plugin();
  ASSERT_GT(whole.size(), sizeof(Elf64_Ehdr));
  const auto with = [&](const auto& change) {
    std::string copy = whole;
    Elf64_Ehdr header{};
    std::memcpy(&header, copy.data(), sizeof(header));
    change(header);
    std::memcpy(copy.data(), &header, sizeof(header));
    return section_error(copy);
  };
  EXPECT_EQ(with([](auto&) {}), "");
  EXPECT_THAT(with([](auto& h) { h.e_ident[EI_CLASS] = ELFCLASS32; }), HasSubstr("for another machine"));
  EXPECT_THAT(with([](auto& h) { h.e_ident[EI_DATA] = ELFDATA2MSB; }), HasSubstr("for another machine"));
  EXPECT_THAT(with([](auto& h) { h.e_machine = EM_S390; }), HasSubstr("for another machine"));
  EXPECT_THAT(with([](auto& h) { h.e_type = ET_REL; }), HasSubstr("not a shared object"));
  EXPECT_THAT(with([](auto& h) { h.e_shnum = 0; }), HasSubstr("has no section table"));
  EXPECT_THAT(with([](auto& h) { h.e_shnum = 0xffff; }), HasSubstr("has no section table"));
  EXPECT_THAT(with([](auto& h) { h.e_shentsize = 1; }), HasSubstr("has no section table"));
  EXPECT_THAT(with([](auto& h) { h.e_shstrndx = h.e_shnum; }), HasSubstr("has no section table"));
  EXPECT_THAT(with([](auto& h) { h.e_shoff = ~Elf64_Off{0}; }), HasSubstr("is a damaged ELF file"));
  EXPECT_THAT(with([](auto& h) { h.e_shoff = ~Elf64_Off{0} - 63; }), HasSubstr("is a damaged ELF file"));
}

TEST(Elf, ChecksWhatIsExported) {
  EXPECT_TRUE(check_exports(kBroken + "wrong-abi.so"));
  auto none = check_exports(kBroken + "no-entry.so");
  ASSERT_FALSE(none);
  EXPECT_THAT(none.error().message, HasSubstr("does not export skep_plugin_entry_v1: it needs SKEP_PLUGIN"));
  auto more = check_exports(kBroken + "exports-too-much.so");
  ASSERT_FALSE(more);
  EXPECT_THAT(more.error().message, HasSubstr("build it with skep_add_plugin(), which hides them"));
}

}  // namespace
}  // namespace skep::host
