// The log of one voter is gone when it comes back: somebody removed it, or the disk lost it. Or it is damaged
// (world_flips.cc). It must not vote under its old id; an operator does what it advises. See world.h.

#include <algorithm>

#include "world.h"

namespace skep::sim {

namespace {
constexpr Duration kBackSoon = 4s;
constexpr Duration kOperatorLooks = 2s;
constexpr int kJoinTries = 8;
constexpr std::size_t kVotersLeast = 3;  // two cannot decide without the one
constexpr const char* kSays[] = {"is empty though it was made before", raft::kDamagedWayOut.data()};
constexpr const char* kSaysWhileItRuns = "does not match its checksum any more";  // and is found damaged when it starts
}  // namespace

bool World::is_hurt(const Manager& manager) const {
  return is_lost(manager) || (flip_ && flip_->id == manager.id);
}

bool World::is_lost(const Manager& manager) const {
  return lost_log_ && lost_log_->id == manager.id && lost_log_->member_id == manager.member_id;
}

/// One log at a time, and only while all members vote: a change of them under way may need just this one.
bool World::may_lose_log(const Manager& manager) const {
  const Manager* lead = leader();
  if (lost_log_ || flip_ || lead == nullptr || !joining_.empty() || !manager.log_made) {
    return false;
  }
  const auto& members = lead->manager->consensus().members();
  const auto votes = [&](const auto& entry) {
    return std::any_of(members.begin(), members.end(), [&](const auto& member) {
      return member.id() == entry.second->member_id && !member.learner();
    });
  };
  const auto known = static_cast<std::size_t>(
      std::count_if(managers_.begin(), managers_.end(), [](const auto& entry) { return !entry.second->removed; }));
  return members.size() >= kVotersLeast && members.size() == known &&
         std::all_of(managers_.begin(), managers_.end(),
                     [&](const auto& entry) { return entry.second->removed || votes(entry); });
}

void World::lose_log() {
  Manager* manager = victim();
  if (manager == nullptr || !may_lose_log(*manager)) {
    return;
  }
  fire("log lost");
  stop_manager(*manager, /*power=*/rng_.chance(50));
  manager->lose_log();
  if (rng_.chance(50)) {
    manager->backend = std::make_shared<store::MemoryBackend>();  // and manager.db with it
  }
  lost_log_ = LostLog{manager->id, manager->member_id};
  start_later(*manager, between(0s, kBackSoon));
  loop_.run_after(kOperatorLooks, [this] { bring_back_lost_log(); });
}

/// A worker first, then a manager under a new id.
void World::bring_back_lost_log() {
  Manager& manager = *managers_.at(lost_log_->id);
  const Manager* lead = leader();
  const bool taken_in = manager.member_id != lost_log_->member_id;
  if (lead != nullptr && !joining_.contains(manager.id)) {
    const auto& members = lead->manager->consensus().members();
    const auto member = std::find_if(members.begin(), members.end(),
                                     [&](const auto& one) { return one.id() == manager.member_id; });
    const bool votes = member != members.end() && !member->learner();
    if ((taken_in && votes) || (healed_ && manager.removed)) {
      manager.fatal.clear();  // of the member that it was
      lost_log_.reset();
      return;
    }
    if (!taken_in && member != members.end()) {
      const auto node = lead->view().get<pb::Node>(manager.id);
      if (node != nullptr && node->spec().role() == pb::NODE_ROLE_MANAGER) {
        set_role(manager.id, pb::NODE_ROLE_WORKER, [] {});
      }
    } else if (!taken_in) {
      retire(manager);  // its agent is told so by its session, also when it was off
      joining_.insert(manager.id);
      set_role(manager.id, pb::NODE_ROLE_MANAGER, [this, id = manager.id] { join(id, kJoinTries); });
    }
  }
  loop_.run_after(kOperatorLooks, [this] { bring_back_lost_log(); });
}

void World::check_lost_log() {
  if (!lost_log_) {
    return;
  }
  const Manager& manager = *managers_.at(lost_log_->id);
  if (is_lost(manager) && manager.runs() && manager.manager->consensus().is_open()) {
    invariants_.violate("manager " + manager.id + " takes part as member " + std::to_string(manager.member_id) +
                        " although the log of that member is lost or damaged");
  }
}

bool World::is_told_as_lost(const Manager& manager, const std::string& told) const {
  const auto says = [&](const char* what) { return told.find(what) != std::string::npos; };
  return (is_lost(manager) && std::any_of(std::begin(kSays), std::end(kSays), says)) ||
         (flip_ && flip_->id == manager.id && says(kSaysWhileItRuns));
}

}  // namespace skep::sim
