#include "core/node/level_records.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace skep::node {
namespace {

namespace fs = std::filesystem;

class LevelRecords : public ::testing::Test {
 protected:
  LevelRecords() {
    std::string pattern = (fs::temp_directory_path() / "skep-records-XXXXXX").string();
    root_ = ::mkdtemp(pattern.data());
  }
  ~LevelRecords() override { fs::remove_all(root_); }
  [[nodiscard]] std::string path() const { return root_ + "/node.db"; }
  static v1::TaskRecord record(const std::string& id) {
    v1::TaskRecord result;
    result.mutable_task()->set_id(id);
    result.set_name("web.1." + id);
    return result;
  }
  std::string root_;
};

TEST_F(LevelRecords, KeepsRecordsOverAReopen) {
  {
    auto store = LevelRecordStore::open(path());
    ASSERT_TRUE(store) << store.error().message;
    ASSERT_TRUE((*store)->put(record("a"), RecordStore::Write::kPlain));
    ASSERT_TRUE((*store)->put(record("b"), RecordStore::Write::kPlain));
    ASSERT_TRUE((*store)->remove("a"));
    ASSERT_TRUE((*store)->remove("never"));
  }
  auto store = LevelRecordStore::open(path());
  ASSERT_TRUE(store);
  const auto loaded = (*store)->load();
  ASSERT_TRUE(loaded);
  ASSERT_EQ(loaded->size(), 1U);
  EXPECT_EQ((*loaded)[0].name(), "web.1.b");
  EXPECT_FALSE((*store)->rebuilt());
  EXPECT_EQ(fs::status(path()).permissions() & fs::perms::all, fs::perms::owner_all);
}

TEST_F(LevelRecords, RefusesASecondAgentOnTheSameRoot) {
  const auto first = LevelRecordStore::open(path());
  ASSERT_TRUE(first);
  const auto second = LevelRecordStore::open(path());
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Code::kFailedPrecondition);
  EXPECT_NE(second.error().message.find("another agentd"), std::string::npos);
}

TEST_F(LevelRecords, MovesDamagedRecordsAsideAndBeginsAnew) {
  {
    auto store = LevelRecordStore::open(path());
    ASSERT_TRUE((*store)->put(record("a"), RecordStore::Write::kPlain));
  }
  for (const auto& entry : fs::directory_iterator(path())) {
    if (entry.path().filename() == "CURRENT" ||
        entry.path().filename().string().starts_with("MANIFEST")) {
      std::ofstream(entry.path()) << "damaged";
    }
  }
  auto store = LevelRecordStore::open(path());
  ASSERT_TRUE(store) << store.error().message;
  EXPECT_TRUE((*store)->rebuilt());
  EXPECT_TRUE((*store)->load()->empty());
  EXPECT_TRUE(fs::exists(path() + ".damaged"));
  EXPECT_TRUE((*store)->put(record("b"), RecordStore::Write::kPlain));
}

}  // namespace
}  // namespace skep::node
