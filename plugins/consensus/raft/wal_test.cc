#include "plugins/consensus/raft/wal.h"

#include <gtest/gtest.h>

#include "plugins/consensus/raft/crc32c.h"
#include "skep/testing/manual_env.h"

namespace skep::raft {
namespace {

using testing::MemoryDisk;

WalOptions small() {
  WalOptions options;
  options.directory = "/raft";
  options.cluster = "c1";
  options.member = 7;
  options.segment_bytes = 16 * 1024;
  options.cache_bytes = 2048;
  return options;
}

Entry entry(Index index, Term term, std::string data) {
  return {.index = index, .term = term, .kind = EntryKind::kNormal, .data = std::move(data)};
}

std::unique_ptr<Wal> must_open(Disk& disk, const WalOptions& options = small()) {
  auto wal = Wal::open(disk, options);
  EXPECT_TRUE(wal) << wal.error().message;
  return wal ? *std::move(wal) : nullptr;
}

void must(const Status& status) { ASSERT_TRUE(status) << status.error().message; }

std::vector<Entry> all(Wal& wal) {
  std::vector<Entry> result;
  for (Index i = wal.first_index(); i <= wal.last_index(); ++i) {
    auto one = wal.entries(i, i, 1 << 20);
    EXPECT_TRUE(one) << one.error().message;
    result.push_back(one->front());
  }
  return result;
}

TEST(Wal, KeepsEntriesAndHardStateOverAReopen) {
  MemoryDisk disk;
  {
    auto wal = must_open(disk);
    EXPECT_TRUE(wal->is_new());
    must(wal->append(std::vector{entry(1, 1, "a"), entry(2, 1, "b")}, HardState{1, 7, 0}));
    must(wal->sync());
  }
  auto wal = must_open(disk);
  EXPECT_FALSE(wal->is_new());
  EXPECT_EQ(wal->hard_state(), (HardState{1, 7, 0}));
  EXPECT_EQ(all(*wal), (std::vector{entry(1, 1, "a"), entry(2, 1, "b")}));
}

TEST(Wal, FillsManySegmentsAndReadsOldEntriesFromDisk) {
  MemoryDisk disk;
  auto wal = must_open(disk);
  std::vector<Entry> expected;
  for (Index i = 1; i <= 200; ++i) {
    expected.push_back(entry(i, 1 + i / 50, std::string(i * 3, static_cast<char>('a' + i % 26))));
    must(wal->append(std::vector{expected.back()}, std::nullopt));
    must(wal->sync());
  }
  EXPECT_GT(wal->segment_count(), 4U);
  EXPECT_EQ(all(*wal), expected);
  wal = must_open(disk);
  EXPECT_EQ(all(*wal), expected);
}

TEST(Wal, NewEntriesVoidTheOnesTheyReplaceAlsoAfterAReopen) {
  MemoryDisk disk;
  auto wal = must_open(disk);
  must(wal->append(std::vector{entry(1, 1, "a"), entry(2, 1, "b"), entry(3, 1, "c")}, HardState{1, 7, 1}));
  must(wal->append(std::vector{entry(2, 2, "B")}, HardState{2, 0, 1}));
  must(wal->sync());
  EXPECT_EQ(all(*wal), (std::vector{entry(1, 1, "a"), entry(2, 2, "B")}));
  wal = must_open(disk);
  EXPECT_EQ(all(*wal), (std::vector{entry(1, 1, "a"), entry(2, 2, "B")}));
}

TEST(Wal, AMarkDropsOldSegmentsAndWhatIsBelowIt) {
  MemoryDisk disk;
  auto wal = must_open(disk);
  for (Index i = 1; i <= 100; ++i) {
    must(wal->append(std::vector{entry(i, 1, std::string(600, 'x'))}, HardState{1, 7, i - 1}));
    must(wal->sync());
  }
  const auto before = wal->segment_count();
  const SnapshotMark mark{80, 1, {{{7, "n", "a", false}}, {}, {}, false}, false};
  must(wal->set_mark(mark));
  EXPECT_LT(wal->segment_count(), before);
  EXPECT_EQ(wal->first_index(), 81U);
  EXPECT_EQ(wal->term(80), std::optional<Term>(1));
  wal = must_open(disk);
  EXPECT_EQ(wal->mark(), mark);
  EXPECT_EQ(wal->first_index(), 81U);
  EXPECT_EQ(wal->last_index(), 100U);
  EXPECT_EQ(all(*wal).size(), 20U);
}

TEST(Wal, ATruncationIntoDroppedSegmentsReplays) {
  MemoryDisk disk;
  auto wal = must_open(disk);
  Index i = 1;
  while (wal->segment_count() < 2) {
    must(wal->append(std::vector{entry(i, 1, std::string(900, 'x'))}, HardState{1, 7, 0}));
    must(wal->sync());
    ++i;
  }
  // Replaces two entries of the segment before, then allows to drop it.
  const Index first_replaced = i - 3;
  must(wal->append(std::vector{entry(first_replaced, 2, "y"), entry(first_replaced + 1, 2, "y"),
                               entry(first_replaced + 2, 2, "z")},
                   HardState{2, 0, 0}));
  must(wal->sync());
  must(wal->set_mark({first_replaced + 1, 2, {}, false}));
  EXPECT_EQ(wal->segment_count(), 1U);
  wal = must_open(disk);
  ASSERT_NE(wal, nullptr);
  EXPECT_EQ(all(*wal), (std::vector{entry(first_replaced + 2, 2, "z")}));
}

TEST(Wal, ASnapshotThatIsNotOfThisHistoryReplacesTheLog) {
  MemoryDisk disk;
  auto wal = must_open(disk);
  must(wal->append(std::vector{entry(1, 1, "a"), entry(2, 1, "b")}, HardState{1, 7, 1}));
  must(wal->set_mark({10, 3, {{{7, "n", "a", false}}, {}, {}, false}, false}));
  EXPECT_EQ(wal->last_index(), 10U);
  must(wal->append(std::vector{entry(11, 3, "c")}, HardState{3, 0, 10}));
  must(wal->sync());
  wal = must_open(disk);
  EXPECT_EQ(all(*wal), (std::vector{entry(11, 3, "c")})) << "nothing below comes back";
}

TEST(Wal, RefusesBatchesThatDoNotFollow) {
  MemoryDisk disk;
  auto wal = must_open(disk);
  EXPECT_EQ(wal->append(std::vector{entry(2, 1, "a")}, {}).error().code, Code::kInternal);
  EXPECT_EQ(wal->append(std::vector{entry(1, 1, std::string(20'000, 'x'))}, {}).error().code,
            Code::kInvalidArgument);
  EXPECT_EQ(Wal::open(disk, {}).error().code, Code::kInvalidArgument);
  must(wal->append(std::vector{entry(1, 1, "a")}, {}));
}

TEST(Crc32c, KnownValueBothWays) {
  EXPECT_EQ(crc32c(0, "123456789"), 0xE3069283U);
  std::string data;
  for (int i = 0; i < 100; ++i) {
    data.push_back(static_cast<char>(i * 7));
    EXPECT_EQ(crc32c(99, data), crc32c_portable(99, data));
  }
}

}  // namespace
}  // namespace skep::raft
