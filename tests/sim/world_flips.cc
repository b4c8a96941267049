// One byte of a manager's log or state changes at rest: a flipped bit of a disk. Whoever reads it must notice, and take
// part in nothing (log) or get the state again. Of one manager at a time: what one of them lost the others hold. See
// world.h.

#include <algorithm>
#include <utility>

#include "world.h"

namespace skep::sim {

namespace {
constexpr const char* kLogDirectory = "/raft/log";
constexpr Duration kBackSoon = 4s;
constexpr Duration kOperatorLooks = 2s;
constexpr std::size_t kBehindWritten = 32;  // bytes that were never written may change too
constexpr std::uint64_t kCaughtUp = 50;     // entries

/// All that a log holds, as a member that opens it would see it.
struct Content {
  raft::HardState state;
  raft::SnapshotMark mark;
  raft::Index first = 0;
  std::vector<raft::Entry> entries;
  bool operator==(const Content&) const = default;
};

Result<Content> read_log(testing::MemoryDisk& disk, raft::MemberId member) {
  raft::WalOptions options;
  options.directory = kLogDirectory;
  options.cluster = rig::kClusterId;
  options.member = member;
  options.must_exist = true;
  SKEP_TRY_ASSIGN(const auto wal, raft::Wal::open(disk, std::move(options)));
  Content content{wal->hard_state(), wal->mark(), wal->first_index(), {}};
  for (raft::Index index = wal->first_index(); index <= wal->last_index(); ++index) {
    auto entry = wal->entries(index, index, raft::kEntryBytesMax);
    if (!entry) {
      return Error{Code::kInternal, "it can be opened, but entry " + std::to_string(index) +
                                        " cannot be read: " + entry.error().message};
    }
    content.entries.push_back(std::move(entry->front()));
  }
  return content;
}

/// A log of the same bytes on another disk.
void copy_log(testing::MemoryDisk& from, testing::MemoryDisk& to) {
  SKEP_ASSERT(to.make_directories(kLogDirectory, 0700).has_value(), "nothing makes it fail");
  const auto names = from.list_directory(kLogDirectory);
  SKEP_ASSERT(names.has_value(), "a byte in it was flipped");
  for (const std::string& name : *names) {
    const std::string path = std::string(kLogDirectory) + "/" + name;
    const auto file = to.open(path, OpenMode::kCreate);
    SKEP_ASSERT(file && (*file)->write(0, from.content(path)).has_value(), "nothing makes it fail");
  }
}
}  // namespace

void World::flip_bit() {
  Manager* manager = victim();
  if (manager == nullptr || !may_lose_log(*manager)) {
    return;
  }
  const bool down = rng_.chance(50);
  if (down) {
    stop_manager(*manager, /*power=*/rng_.chance(50));
  }
  if (!(rng_.chance(60) ? flip_in_log(*manager) : flip_in_state(*manager)) || down) {
    return start_later(*manager, between(0s, kBackSoon));
  }
  // Sooner or later its agent is restarted, and then it is found, if it is still there.
  loop_.run_after(between(0s, 20s), [this, number = flip_->number] {
    if (flip_ && flip_->number == number) {
      Manager& same = *managers_.at(flip_->id);
      stop_manager(same, /*power=*/false);
      start_later(same, between(0s, kBackSoon));
    }
  });
}

/// Mostly where something was written. Not to zero: that the log may take for a write that did not finish. Not in what
/// is not synced: a loss of power would take it back.
bool World::flip_in_log(Manager& manager) {
  auto& disk = manager.process.disk;
  const auto names = disk.list_directory(kLogDirectory);
  if (!names || names->empty()) {
    return false;
  }
  Flip flip{manager.id, ++flips_, std::string(kLogDirectory) + "/" + (*names)[rng_.below(names->size())]};
  const std::string content = disk.content(flip.path);
  const auto last = content.find_last_not_of('\0');
  if (last == std::string::npos || !disk.is_synced(flip.path)) {
    return false;
  }
  flip.offset = rng_.below(std::min(last + kBehindWritten, content.size()));
  const auto before = static_cast<unsigned char>(content[flip.offset]);
  flip.mask = static_cast<unsigned char>(1U << rng_.below(8));
  if (flip.mask == before) {
    flip.mask = before == 0x80 ? 1 : static_cast<unsigned char>(before << 1U);
  }
  flip.now = static_cast<unsigned char>(before ^ flip.mask);
  disk.corrupt(flip.path, flip.offset, flip.mask);
  flip_ = std::move(flip);
  fire("bit of a log flipped");
  return true;
}

/// Half of the time the database notices by a checksum. A seal is always behind one: without, a changed key id is that
/// of another key.
bool World::flip_in_state(Manager& manager) {
  const auto notices = manager_world_.sealer != nullptr || rng_.chance(50)
                           ? store::MemoryBackend::FlipIs::kNoticed
                           : store::MemoryBackend::FlipIs::kSilent;
  if (!manager.backend->flip_bit(rng_, notices)) {
    return false;
  }
  flip_ = Flip{manager.id, ++flips_, {}};
  fire("bit of a state flipped");
  return true;
}

/// Its manager is about to start, and reads its state too.
void World::judge_flip(Manager& manager) {
  if (flip_ && flip_->id == manager.id && flip_->path.empty()) {
    flip_->read = true;
    outcome_.reached["flipped bit in a state"] += manager.backend->is_flipped() ? 1 : 0;
  }
  judge_flip_in_log(manager);
}

/// Its log is about to be opened. What it must do is what the log says with the byte and without.
void World::judge_flip_in_log(Manager& manager) {
  if (!flip_ || flip_->id != manager.id || flip_->path.empty()) {
    return;
  }
  const Flip flip = *std::exchange(flip_, std::nullopt);
  testing::MemoryDisk with;
  testing::MemoryDisk without;
  copy_log(manager.process.disk, with);
  copy_log(manager.process.disk, without);
  const std::string content = without.content(flip.path);
  if (flip.offset >= content.size() || static_cast<unsigned char>(content[flip.offset]) != flip.now) {
    return;  // written over, or its segment was dropped
  }
  without.corrupt(flip.path, flip.offset, flip.mask);
  const auto wanted = read_log(without, manager.member_id);
  const auto found = read_log(with, manager.member_id);
  if (!wanted || (found && *found == *wanted)) {
    return;  // it was written over with the same, or it means nothing
  }
  if (found || found.error().code != Code::kDataLoss) {
    return invariants_.violate("a flipped bit in " + flip.path + " of " + manager.id + " at offset " +
                               std::to_string(flip.offset) + " is not noticed: " +
                               (found ? "the log says something else" : found.error().message));
  }
  ++outcome_.reached["flipped bit in a log"];
  lost_log_ = LostLog{manager.id, manager.member_id};
  loop_.run_after(kOperatorLooks, [this] { bring_back_lost_log(); });
}

/// A manager whose state was damaged has it again: the next one may be hurt.
void World::look_at_flipped_state() {
  if (!flip_ || !flip_->read) {
    return;
  }
  const Manager& manager = *managers_.at(flip_->id);
  const Manager* lead = leader();
  if (lead != nullptr && manager.runs() && manager.manager->consensus().is_open() &&
      manager.manager->store().applied_index() + kCaughtUp >= lead->manager->store().applied_index()) {
    flip_.reset();
  }
}

}  // namespace skep::sim
