// The write-ahead log under everything a disk can do to it: the n-th call fails, power is lost with
// any subset of the unsynced writes, bytes change, files go missing.

#include <gtest/gtest.h>

#include "plugins/consensus/raft/wal.h"
#include "skep/log.h"
#include "skep/testing/manual_env.h"

namespace skep::raft {
namespace {

using testing::MemoryDisk;
using testing::SeededRandom;

WalOptions small(std::uint64_t segment_bytes = 8 * 1024) {
  WalOptions options;
  options.directory = "/raft";
  options.cluster = "c1";
  options.member = 7;
  options.segment_bytes = segment_bytes;
  options.cache_bytes = 1024;
  return options;
}

class Quiet : public ::testing::Test {
 protected:
  void SetUp() override {
    log::set_sink([](LogLevel, std::string_view) {});
  }
  void TearDown() override {
    log::set_sink([](LogLevel, std::string_view line) {
      std::fprintf(stderr, "%.*s\n", static_cast<int>(line.size()), line.data());
    });
  }
};
class WalFaults : public Quiet {};

/// What a log must hold: everything acknowledged, and at most what was handed to it.
struct Model {
  std::vector<Entry> acknowledged;  // entry i at position i - first
  std::vector<Entry> attempted;     // the whole log if everything handed over got there
  HardState state;                  // acknowledged
  HardState attempted_state;
  Index marked = 0;
  Index attempted_mark = 0;
};

/// A deterministic run of appends, replacements and compactions; stops at the first error.
class Script {
 public:
  explicit Script(std::uint64_t seed) : random_(seed) {}

  Status run(Wal& wal, Model& model, int steps) {
    for (int step = 0; step < steps; ++step) {
      const auto kind = random_.below(10);
      if (kind == 0 && wal.last_index() > wal.first_index() + 5) {
        SKEP_TRY(compact(wal, model));
      } else {
        SKEP_TRY(append(wal, model, kind));
      }
      if (kind >= 6) {
        SKEP_TRY(wal.settle());
      }
    }
    return ok();
  }

 private:
  Status append(Wal& wal, Model& model, std::uint64_t kind) {
    Index next = wal.last_index() + 1;
    HardState state = model.attempted_state;
    if (kind == 1 && next > wal.first_index() + 2) {
      ++state.term;  // A new leader replaces the end.
      next -= 1 + random_.below(2);
    }
    std::vector<Entry> entries;
    const auto count = 1 + random_.below(4);
    for (std::uint64_t i = 0; i < count; ++i) {
      entries.push_back({.index = next + i, .term = state.term, .kind = EntryKind::kNormal,
                         .data = random_.bytes(random_.below(700))});
    }
    state.commit = next - 1;
    model.attempted.resize(next - 1);
    model.attempted.insert(model.attempted.end(), entries.begin(), entries.end());
    model.attempted_state = state;
    if (model.acknowledged.size() >= next) {
      truncating_from = next;
    }
    SKEP_TRY(wal.append(entries, state));
    SKEP_TRY(wal.sync());
    model.acknowledged = model.attempted;
    model.state = state;
    truncating_from = 0;
    return ok();
  }
  Status compact(Wal& wal, Model& model) {
    const Index index = wal.first_index() + (wal.last_index() - wal.first_index()) / 2;
    model.attempted_mark = index;
    SKEP_TRY(wal.set_mark({index, *wal.term(index), {{{7, "n", "a", false}}, {}, {}, false}, false}));
    model.marked = index;
    return ok();
  }
  SeededRandom random_;

 public:
  Index truncating_from = 0;  ///< entries from here were about to be replaced at the error
};

/// Checks a reopened log against the model.
void check(Wal& wal, const Model& model, const Script& script, const std::string& context) {
  SCOPED_TRACE(context);
  ASSERT_GE(wal.first_index(), model.marked + 1);
  ASSERT_LE(wal.first_index(), std::max(model.marked, model.attempted_mark) + 1);
  ASSERT_GE(wal.hard_state().term, model.state.term);
  Index must_hold = model.acknowledged.size();
  if (script.truncating_from != 0) {
    must_hold = std::min(must_hold, script.truncating_from - 1);
  }
  ASSERT_GE(wal.last_index(), must_hold);
  for (Index i = wal.first_index(); i <= wal.last_index(); ++i) {
    auto one = wal.entries(i, i, 1 << 20);
    ASSERT_TRUE(one) << one.error().message;
    const bool is_acknowledged =
        i <= model.acknowledged.size() && one->front() == model.acknowledged[i - 1];
    const bool is_attempted = i <= model.attempted.size() && one->front() == model.attempted[i - 1];
    ASSERT_TRUE(is_acknowledged || is_attempted) << "entry " << i;
    if (i <= must_hold) {
      ASSERT_TRUE(is_acknowledged) << "entry " << i << " was acknowledged";
    }
  }
}

Result<std::unique_ptr<Wal>> open_and_use(Disk& disk, const WalOptions& options, Script& script,
                                          Model& model, int steps) {
  auto wal = Wal::open(disk, options);
  if (!wal) {
    return wal;
  }
  SKEP_TRY(script.run(**wal, model, steps));
  return wal;
}

TEST_F(WalFaults, EveryDiskCallFailsOnceAndNothingAcknowledgedIsLost) {
  constexpr int kSteps = 40;
  std::uint64_t total = 0;
  {
    MemoryDisk disk;
    Script script(5);
    Model model;
    model.attempted_state.term = 1;
    ASSERT_TRUE(open_and_use(disk, small(), script, model, kSteps));
    total = disk.calls();
  }
  ASSERT_GT(total, 60U);
  for (std::uint64_t n = 1; n <= total; ++n) {
    MemoryDisk disk;
    Script script(5);
    Model model;
    model.attempted_state.term = 1;
    disk.fail_call(n, {Code::kInternal, "injected: Input/output error"});
    const auto used = open_and_use(disk, small(), script, model, kSteps);
    ASSERT_TRUE(disk.failed()) << n;
    if (used) {
      continue;  // Only the removal of a segment nobody needs may fail unseen.
    }
    EXPECT_FALSE(used.error().message.empty());
    // The process ends; the page cache stays, or it does not.
    for (const bool power_loss : {false, true}) {
      SeededRandom random(n);
      if (power_loss) {
        disk.crash(random);
      }
      auto again = Wal::open(disk, small());
      ASSERT_TRUE(again) << "call " << n << ": " << again.error().message;
      check(**again, model, script, "call " + std::to_string(n));
    }
  }
}

TEST_F(WalFaults, WhatIsAcknowledgedAfterARestartSurvivesAPowerLoss) {
  constexpr int kSteps = 40;
  std::uint64_t runs = 0;
  for (std::uint64_t n = 1;; ++n) {
    MemoryDisk disk;
    Script script(5);
    Model model;
    model.attempted_state.term = 1;
    disk.fail_call(n, {Code::kInternal, "injected: Input/output error"});
    const bool stopped = !open_and_use(disk, small(), script, model, kSteps);
    if (!disk.failed()) {
      break;
    }
    if (!stopped) {
      continue;
    }
    Entry next{.term = 100, .data = "next"};
    {
      auto again = Wal::open(disk, small());
      ASSERT_TRUE(again) << "call " << n << ": " << again.error().message;
      next.index = (*again)->last_index() + 1;
      ASSERT_TRUE((*again)->append(std::vector{next}, std::nullopt));
      ASSERT_TRUE((*again)->sync());
    }
    SeededRandom random(n);
    disk.crash(random);
    auto last = Wal::open(disk, small());
    ASSERT_TRUE(last) << "call " << n << ": " << last.error().message;
    ASSERT_EQ((*last)->last_index(), next.index) << "call " << n;
    EXPECT_EQ((*last)->entries(next.index, next.index, 1 << 20)->front(), next) << "call " << n;
    ++runs;
  }
  EXPECT_GT(runs, 50U);
}

TEST_F(WalFaults, AFailedSyncIsNeverRetried) {
  MemoryDisk disk;
  auto wal = *Wal::open(disk, small());
  const Entry entry{.index = 1, .term = 1, .data = "a"};
  ASSERT_TRUE(wal->append(std::vector{entry}, HardState{1, 7, 0}));
  disk.fail_call(1, {Code::kInternal, "sync: Input/output error"});
  const auto failed = wal->sync();
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().reason, "LOG_POISONED");
  const auto calls = disk.calls();
  EXPECT_EQ(wal->sync().error().reason, "LOG_POISONED");
  EXPECT_EQ(wal->append({}, HardState{2, 7, 0}).error().reason, "LOG_POISONED");
  EXPECT_EQ(wal->set_mark({}).error().reason, "LOG_POISONED");
  EXPECT_EQ(wal->reserve(1).error().reason, "LOG_POISONED");
  EXPECT_EQ(disk.calls(), calls) << "the disk is left alone";
}

TEST_F(WalFaults, APowerLossAtAnyCallKeepsEverythingAcknowledged) {
  constexpr int kSteps = 30;
  std::uint64_t runs = 0;
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    std::uint64_t total = 0;
    {
      MemoryDisk disk;
      Script script(seed);
      Model model;
      model.attempted_state.term = 1;
      ASSERT_TRUE(open_and_use(disk, small(), script, model, kSteps));
      total = disk.calls();
    }
    for (std::uint64_t n = 1; n <= total; ++n) {
      MemoryDisk disk;
      Script script(seed);
      Model model;
      model.attempted_state.term = 1;
      disk.fail_call(n, {Code::kInternal, "the power went"});
      if (open_and_use(disk, small(), script, model, kSteps)) {
        continue;
      }
      SeededRandom random(seed * 1000 + n);
      disk.crash(random);
      // It crashes again while it repairs itself, at every call of that.
      for (std::uint64_t repair = 1; repair <= 4; ++repair) {
        disk.fail_call(repair, {Code::kInternal, "the power went again"});
        if (auto interrupted = Wal::open(disk, small()); interrupted && !disk.failed()) {
          break;
        }
        disk.crash(random);
      }
      disk.fail_call(0, {});
      auto again = Wal::open(disk, small());
      ASSERT_TRUE(again) << "seed " << seed << " call " << n << ": " << again.error().message;
      check(**again, model, script, "seed " + std::to_string(seed) + " call " + std::to_string(n));
      // And it goes on from there.
      const Entry next{.index = (*again)->last_index() + 1, .term = 100, .data = "next"};
      ASSERT_TRUE((*again)->append(std::vector{next}, std::nullopt));
      ASSERT_TRUE((*again)->sync());
      again = Wal::open(disk, small());
      ASSERT_TRUE(again) << "seed " << seed << " call " << n << ": " << again.error().message;
      ++runs;
    }
  }
  EXPECT_GT(runs, 500U);
}

TEST_F(WalFaults, AFlippedByteIsDetectedOrHarmless) {
  MemoryDisk original;
  Script script(3);
  Model model;
  model.attempted_state.term = 1;
  ASSERT_TRUE(open_and_use(original, small(), script, model, 25));
  {
    auto wal = *Wal::open(original, small());
    ASSERT_TRUE(wal->settle());
  }
  const auto names = *original.list_directory("/raft");
  std::uint64_t detected = 0;
  std::uint64_t harmless = 0;
  for (const std::string& name : names) {
    const std::string path = "/raft/" + name;
    const std::string content = original.content(path);
    for (std::uint64_t offset = 0; offset < content.size(); offset += 3) {
      for (const unsigned char mask : std::initializer_list<unsigned char>{0x01, 0x80, 0xFF}) {
        original.corrupt(path, offset, mask);
        auto wal = Wal::open(original, small());
        if (wal) {
          ++harmless;
          check(**wal, model, script, path + " offset " + std::to_string(offset));
          if (HasFatalFailure()) {
            return;
          }
          // Opening cut or zeroed something: put the file back as it was.
          auto file = *original.open(path, OpenMode::kReadWrite);
          ASSERT_TRUE(file->write(0, content));
        } else {
          ++detected;
          EXPECT_FALSE(wal.error().message.empty());
          EXPECT_EQ(original.content(path).size(), content.size()) << "damage is never repaired";
          original.corrupt(path, offset, mask);
        }
      }
    }
  }
  EXPECT_GT(detected, 1000U);
  EXPECT_GT(harmless, 0U);
}

TEST_F(WalFaults, AMissingShortenedOrForeignSegmentIsNoticed) {
  MemoryDisk disk;
  Script script(3);
  Model model;
  model.attempted_state.term = 1;
  ASSERT_TRUE(open_and_use(disk, small(), script, model, 40));
  auto names = *disk.list_directory("/raft");
  ASSERT_GT(names.size(), 2U);
  for (const std::string& name : names) {
    const std::string path = "/raft/" + name;
    ASSERT_TRUE(disk.rename(path, "/away"));
    const auto missing = Wal::open(disk, small());
    ASSERT_FALSE(missing) << name;
    EXPECT_EQ(missing.error().code, Code::kDataLoss) << missing.error().message;
    ASSERT_TRUE(disk.rename("/away", path));
    const std::string content = disk.content(path);
    auto file = *disk.open(path, OpenMode::kReadWrite);
    ASSERT_TRUE(file->truncate(content.size() / 2));
    EXPECT_EQ(Wal::open(disk, small()).error().code, Code::kDataLoss);
    ASSERT_TRUE(file->truncate(content.size()));
    ASSERT_TRUE(file->write(0, content));
  }
  auto other = small();
  other.member = 8;
  EXPECT_EQ(Wal::open(disk, other).error().reason, "WRONG_CLUSTER");
  ASSERT_TRUE(Wal::open(disk, small()));
}

TEST_F(WalFaults, AFullDiskChangesNothingAndHealsByItself) {
  for (std::uint64_t capacity = 8 * 1024; capacity < 64 * 1024; capacity += 1024) {
    MemoryDisk disk;
    disk.set_capacity(capacity);
    Script script(9);
    Model model;
    model.attempted_state.term = 1;
    auto wal = Wal::open(disk, small());
    if (!wal) {
      EXPECT_EQ(wal.error().code, Code::kResourceExhausted);
      disk.set_capacity(1 << 20);
      ASSERT_TRUE(Wal::open(disk, small()));
      continue;
    }
    const auto used = script.run(**wal, model, 60);
    if (used) {
      continue;
    }
    EXPECT_EQ(used.error().code, Code::kResourceExhausted);
    const Index last = (*wal)->last_index();
    disk.set_capacity(1 << 20);
    const Entry next{.index = last + 1, .term = 100, .data = std::string(600, 'n')};
    ASSERT_TRUE((*wal)->append(std::vector{next}, HardState{100, 0, last}));
    ASSERT_TRUE((*wal)->sync());
    auto again = Wal::open(disk, small());
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_EQ((*again)->last_index(), last + 1);
  }
}

/// Stands for encryption: turns bytes around and adds a tag that depends on the place.
class FakeSealer final : public RecordSealer {
 public:
  std::uint64_t key_id() override { return key; }
  std::string wrapped_key() override { return "wrapped-" + std::to_string(key); }
  std::string seal(const Position& position, std::string_view payload) override {
    return std::string(payload.rbegin(), payload.rend()) + tag(position);
  }
  Result<std::string> unseal(const Position& position, std::string_view sealed) override {
    const std::string expected = tag(position);
    if (!sealed.ends_with(expected)) {
      return Error{Code::kDataLoss, "the seal is broken"};
    }
    sealed.remove_suffix(expected.size());
    return std::string(sealed.rbegin(), sealed.rend());
  }
  std::uint64_t key = 1;

 private:
  static std::string tag(const Position& position) {
    return "#" + std::to_string(position.key_id) + "." + std::to_string(position.sequence) + "." +
           std::to_string(position.offset);
  }
};

TEST_F(WalFaults, ASealedLogShowsNoPayloadAndChangesKeysWithSegments) {
  MemoryDisk disk;
  FakeSealer sealer;
  auto options = small();
  options.sealer = &sealer;
  {
    auto wal = *Wal::open(disk, options);
    for (Index i = 1; i <= 40; ++i) {
      sealer.key = 1 + i / 20;
      const Entry entry{.index = i, .term = 1, .data = "canary-" + std::string(400, 'x')};
      ASSERT_TRUE(wal->append(std::vector{entry}, HardState{1, 7, i - 1}));
      ASSERT_TRUE(wal->sync());
    }
  }
  const auto names = *disk.list_directory("/raft");
  for (const std::string& name : names) {
    EXPECT_EQ(disk.content("/raft/" + name).find("canary-"), std::string::npos);
  }
  EXPECT_EQ(Wal::open(disk, small()).error().reason, "LOG_LOCKED");
  auto wal = *Wal::open(disk, options);
  EXPECT_EQ(wal->last_index(), 40U);
  EXPECT_EQ((*wal->entries(1, 1, 1000))[0].data.substr(0, 7), "canary-");
  EXPECT_EQ((*wal->entries(40, 40, 1000))[0].data.substr(0, 7), "canary-");
}

}  // namespace
}  // namespace skep::raft
