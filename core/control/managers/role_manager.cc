#include "core/control/managers/role_manager.h"

#include <algorithm>

namespace skep::control {
namespace {

using consensus::v1::Member;
using consensus::v1::StatusResponse;

consensus::v1::MemberProgress progress_of(const StatusResponse& status, std::uint64_t id) {
  for (const auto& progress : status.progress()) {
    if (progress.id() == id) {
      return progress;
    }
  }
  return {};
}

/// Whether it answers, and holds the state: without, its vote would count and it could not lead.
bool could_lead(const StatusResponse& status, std::uint64_t id) {
  const auto progress = progress_of(status, id);
  return progress.active() && !progress.awaits_state();
}

/// Told to be a worker. A node that nobody knows (yet) says nothing about its member.
bool is_demoted(const store::View& view, const Member& member) {
  const auto node = view.get<model::v1::Node>(member.node_id());
  return node != nullptr && node->spec().role() == model::v1::NODE_ROLE_WORKER;
}

}  // namespace

bool is_active(const StatusResponse& status, std::uint64_t id) {
  return std::any_of(status.progress().begin(), status.progress().end(),
                     [id](const auto& one) { return one.id() == id && one.active(); });
}

std::uint64_t successor(const StatusResponse& status, const store::View& view) {
  std::uint64_t best = 0;
  for (const auto& member : status.members()) {
    if (member.learner() || member.id() == status.member_id() || !could_lead(status, member.id()) ||
        is_demoted(view, member)) {
      continue;
    }
    if (best == 0 || progress_of(status, member.id()).match_index() > progress_of(status, best).match_index()) {
      best = member.id();
    }
  }
  return best;
}

const Member* member_of(const StatusResponse& status, const std::string& node_id) {
  for (const auto& member : status.members()) {
    if (member.node_id() == node_id) {
      return &member;
    }
  }
  return nullptr;
}

Status can_remove(const StatusResponse& status, std::uint64_t id) {
  std::size_t others = 0;
  std::size_t reachable = 0;
  for (const auto& member : status.members()) {
    if (member.id() == id && member.learner()) {
      return ok();  // it has no vote
    }
    if (!member.learner() && member.id() != id) {
      ++others;
      reachable += is_active(status, member.id()) ? 1 : 0;
    }
  }
  if (others == 0) {
    return Error{Code::kFailedPrecondition,
                 "this is the last manager of the swarm; promote another node first",
                 "LAST_MANAGER"};
  }
  if (reachable < others / 2 + 1) {
    return Error{Code::kFailedPrecondition,
                 "this would result in a loss of quorum: only " + std::to_string(reachable) +
                     " of the other " + std::to_string(others) +
                     " managers can be reached; bring managers back or promote nodes first",
                 "QUORUM_AT_RISK"};
  }
  return ok();
}

std::optional<RoleStep> next_role_step(const StatusResponse& status, const store::View& view) {
  if (view.cluster() == nullptr || status.leader() != status.member_id()) {
    return std::nullopt;
  }
  for (const auto& member : status.members()) {
    if (!is_demoted(view, member)) {
      continue;
    }
    if (member.id() == status.member_id()) {
      const std::uint64_t to = successor(status, view);
      if (to != 0 && can_remove(status, member.id())) {
        return role::HandOver{to};
      }
    } else if (can_remove(status, member.id())) {
      return role::Remove{member.id()};
    }
  }
  for (const auto& member : status.members()) {
    if (member.learner() && !is_demoted(view, member) && could_lead(status, member.id()) &&
        progress_of(status, member.id()).match_index() + kCaughtUpEntries >= status.commit_index()) {
      return role::Promote{member};
    }
  }
  return std::nullopt;
}

std::vector<std::string> manager_count_warnings(std::size_t managers) {
  if (managers == 2) {
    return {
        "the swarm has two managers: it stops taking changes when either of them is lost; run "
        "three, or one"};
  }
  if (managers > 7) {
    return {std::to_string(managers) +
            " managers make every change slower and survive no more than seven do in practice; "
            "demote some"};
  }
  if (managers > 0 && managers % 2 == 0) {
    return {std::to_string(managers) + " managers survive the loss of no more of them than " +
            std::to_string(managers - 1) + " do; run an odd number"};
  }
  return {};
}

}  // namespace skep::control
