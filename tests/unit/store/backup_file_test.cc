#include "core/store/backup/backup_file.h"

#include <gtest/gtest.h>

#include "skep/testing/manual_env.h"

namespace skep::store {
namespace {

StoredRow row(std::uint32_t table, const std::string& id, std::size_t bytes) {
  StoredRow one;
  one.table = table;
  one.id = id;
  one.object.set_version(bytes + 1);
  one.object.set_object(std::string(bytes, 'x'));
  return one;
}

std::string make(const std::vector<StoredRow>& rows) {
  BackupWriter writer;
  v1::BackupHeader header;
  header.set_cluster_id("c1");
  header.set_node_id("n1");
  header.mutable_mark()->set_index(42);
  std::string bytes = writer.header(header);
  bytes += writer.rows(rows);
  return bytes + writer.end();
}

struct ReadBack {
  Error error{Code::kInternal, ""};  // when not ok
  bool ok = false;
  v1::BackupHeader header;
  std::vector<StoredRow> rows;
};

ReadBack read(const std::string& bytes) {
  testing::MemoryDisk disk;
  EXPECT_TRUE(disk.write_file_atomic("/b", bytes, 0600));
  auto file = disk.open("/b", OpenMode::kRead);
  EXPECT_TRUE(file);
  BackupReader reader(**file, "/b");
  ReadBack back;
  auto header = reader.header();
  if (!header) {
    back.error = header.error();
    return back;
  }
  back.header = *header;
  for (;;) {
    auto rows = reader.rows();
    if (!rows) {
      back.error = rows.error();
      return back;
    }
    if (rows->empty()) {
      back.ok = true;
      return back;
    }
    back.rows.insert(back.rows.end(), rows->begin(), rows->end());
  }
}

TEST(BackupFile, HoldsWhatWasPutIn) {
  std::vector<StoredRow> rows;
  for (std::size_t i = 0; i < 50; ++i) {
    rows.push_back(row(3, "s" + std::to_string(i), i * 997));
  }
  rows.push_back(row(4, "large", 1'500'000));
  rows.push_back(row(99, "of a newer version", 3));
  const auto back = read(make(rows));
  ASSERT_TRUE(back.ok) << back.error.message;
  EXPECT_EQ(back.header.cluster_id(), "c1");
  EXPECT_EQ(back.header.mark().index(), 42U);
  ASSERT_EQ(back.rows.size(), rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ(back.rows[i].table, rows[i].table);
    EXPECT_EQ(back.rows[i].id, rows[i].id);
    EXPECT_EQ(back.rows[i].object.object(), rows[i].object.object());
  }
}

TEST(BackupFile, AnEmptyStateIsAFileToo) {
  const auto back = read(make({}));
  EXPECT_TRUE(back.ok) << back.error.message;
  EXPECT_TRUE(back.rows.empty());
}

TEST(BackupFile, EveryChangedByteIsFound) {
  const std::string whole = make({row(2, "n1", 40), row(3, "s1", 80)});
  for (std::size_t at = 0; at < whole.size(); ++at) {
    for (const int bit : {0, 7}) {
      std::string changed = whole;
      changed[at] = static_cast<char>(changed[at] ^ (1 << bit));
      const auto back = read(changed);
      EXPECT_FALSE(back.ok) << "byte " << at;
      EXPECT_TRUE(back.error.code == Code::kDataLoss || back.error.code == Code::kInvalidArgument ||
                  back.error.code == Code::kFailedPrecondition)
          << "byte " << at << ": " << back.error.message;
    }
  }
}

TEST(BackupFile, EveryCutIsFound) {
  const std::string whole = make({row(2, "n1", 40), row(3, "s1", 80)});
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const auto back = read(whole.substr(0, size));
    ASSERT_FALSE(back.ok) << size;
    EXPECT_EQ(back.error.reason, size < 8 ? "NOT_A_BACKUP" : "BACKUP_DAMAGED") << size;
  }
  EXPECT_NE(read(whole + "x").error.message.find("behind its end"), std::string::npos);
}

TEST(BackupFile, SaysWhatIsNoneAndWhatIsNewer) {
  EXPECT_NE(read("hello, this is a text").error.message.find("is no backup of a swarm"),
            std::string::npos);
  BackupWriter writer;
  v1::BackupHeader header;
  header.set_version("9.0");
  std::string bytes = writer.header(header) + writer.end();
  const std::size_t format = bytes.find("\x08\x01");
  ASSERT_NE(format, std::string::npos);
  bytes[format + 1] = 2;
  const auto back = read(bytes);
  EXPECT_EQ(back.error.reason, "BACKUP_FORMAT");
  EXPECT_NE(back.error.message.find("9.0"), std::string::npos);
}

}  // namespace
}  // namespace skep::store
