// Runs the scripts of tests/data: paragraphs of commands, "----", and what the managers then do. With
// SKEP_REWRITE=1 the files are written anew from what happens: read the difference before you commit.

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>

#include "script_world.h"

namespace skep::control::testing {
namespace {

std::vector<std::filesystem::path> scripts() {
  std::vector<std::filesystem::path> found;
  for (const char* folder : {"orchestrator", "restart", "scheduler", "update"}) {
    const auto root = std::filesystem::path(SKEP_SOURCE_DIR) / "tests/data" / folder;
    for (const auto& entry : std::filesystem::directory_iterator(root)) {
      if (entry.path().extension() == ".txt") {
        found.push_back(entry.path());
      }
    }
  }
  std::sort(found.begin(), found.end());
  return found;
}

class Script : public ::testing::TestWithParam<std::filesystem::path> {};

TEST_P(Script, ManagersDoWhatItSays) {
  std::ifstream file(GetParam());
  std::ostringstream actual;
  std::ostringstream expected;
  ScriptWorld world;
  std::string line;
  std::string output;
  bool in_result = false;
  while (std::getline(file, line)) {
    if (line == "----") {
      actual << "----\n" << output;
      expected << "----\n";
      in_result = true;
      output.clear();
    } else if (line.empty()) {
      in_result = false;
      actual << "\n";
      expected << "\n";
    } else if (in_result) {
      expected << line << "\n";
    } else {
      actual << line << "\n";
      expected << line << "\n";
      if (line.front() != '#') {
        output += world.run(line);
      }
    }
  }
  file.close();
  if (std::getenv("SKEP_REWRITE") != nullptr) {
    std::ofstream(GetParam()) << actual.str();
    return;
  }
  EXPECT_EQ(actual.str(), expected.str()) << GetParam();
}

INSTANTIATE_TEST_SUITE_P(Scripts, Script, ::testing::ValuesIn(scripts()), [](const auto& script) {
  std::string name = script.param.parent_path().filename().string() + "_" + script.param.stem().string();
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

}  // namespace
}  // namespace skep::control::testing
