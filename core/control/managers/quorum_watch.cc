#include "core/control/managers/quorum_watch.h"

#include <algorithm>

#include "core/control/errors.h"
#include "core/link/certificate.h"

namespace skep::control {
namespace {

const char* const kLook = "'agentctl info' on the other managers tells how they are";

}  // namespace

std::size_t count_votes(const std::vector<consensus::v1::Member>& members) {
  return static_cast<std::size_t>(std::count_if(members.begin(), members.end(),
                                                [](const auto& member) { return !member.learner(); }));
}

void QuorumWatch::leader_changed(std::uint64_t leader, TimePoint now) {
  if (leader == 0) {
    leaderless_since_ = leaderless_since_.value_or(now);
    return;
  }
  // Followers have nothing to say to each other: what was last known of others grows old.
  if (std::exchange(leaderless_since_, std::nullopt) && leader != self_) {
    contacts_.clear();
  }
}

void QuorumWatch::heard(std::uint64_t member, TimePoint now) {
  contacts_[member].heard = now;
}

void QuorumWatch::took(std::uint64_t member, const Status& status, TimePoint now) {
  Contact& contact = contacts_[member];
  if (status) {
    contact.took = now;
    contact.refused_since.reset();
    contact.cause.clear();
    return;
  }
  contact.refused_since = contact.refused_since.value_or(now);
  contact.cause = cause_of_unreachable(status.error());
}

bool QuorumWatch::votes(std::uint64_t member, TimePoint now) const {
  const auto it = contacts_.find(member);
  return it != contacts_.end() && !it->second.refused_since && it->second.heard &&
         now - *it->second.heard < kHeardFor;
}

std::string QuorumWatch::absent(const consensus::v1::Member& member, const Picture& picture) const {
  const auto it = contacts_.find(member.id());
  const Contact contact = it == contacts_.end() ? Contact() : it->second;
  const bool takes = contact.took && picture.now - *contact.took < kHeardFor;
  TimePoint since = *leaderless_since_;
  if (contact.refused_since) {
    since = *contact.refused_since;
  } else if (contact.heard) {
    since = std::max(since, *contact.heard);
  }
  const std::string why = contact.refused_since ? contact.cause
                          : takes ? "it answers, but its log is silent: see 'agentctl info' there"
                                  : "no answer";
  return "'" + picture.name_of(member.node_id()) + "' at " + member.address() + " since " +
         link::date_text(picture.wall_now - (picture.now - since).count()) + " (" + why + ")";
}

std::string QuorumWatch::no_leader(const Picture& picture) const {
  const std::size_t all = count_votes(picture.members);
  const std::size_t needed = all / 2 + 1;
  std::size_t reached = 0;
  bool own = false;
  std::string others;
  for (const auto& member : picture.members) {
    if (member.learner()) {
      continue;
    }
    own = own || member.id() == self_;
    if (member.id() == self_ || votes(member.id(), picture.now)) {
      ++reached;
    } else {
      others += (others.empty() ? "" : ", ") + absent(member, picture);
    }
  }
  const std::string begin = "the swarm has no leader now";
  if (!own) {
    return begin + ", as far as this manager hears, which has no vote of its own yet; " + kLook;
  }
  std::string text = begin + ": " + std::to_string(needed) + " of " + std::to_string(all) +
                     (all == 1 ? " vote is" : " votes are") + " needed, and this manager reaches " +
                     std::to_string(reached) + (reached == 1 ? ", its own" : " with its own");
  if (!others.empty()) {
    text += "; it does not reach " + others;
  }
  if (reached >= needed) {
    return text + "; those it reaches have not agreed on one yet: if that lasts, " + kLook;
  }
  return text +
         "; start these managers or mend the network between them; if they are lost for good, run "
         "'agentctl swarm init --force-new-cluster' on one that is left (docs/recovery.md)";
}

std::string QuorumWatch::trouble(const Picture& picture) const {
  if (!picture.log_stalled.empty()) {
    return "the log of this manager can store nothing now: " + picture.log_stalled +
           "; free space on its disk, then it goes on by itself ('agentctl doctor' shows where it lies)";
  }
  if (!picture.log_failed.empty()) {
    return "this manager takes no part in the swarm, its log failed: " + picture.log_failed +
           " (docs/recovery.md, 'agentctl plugin ls')";
  }
  if (!picture.log_closed.empty() && picture.now - began_ >= kElection) {
    return "this manager takes no part in the swarm, its log is not open: " + picture.log_closed +
           " ('agentctl plugin ls')";
  }
  if (!leaderless_since_ || picture.now - *leaderless_since_ < kElection) {
    return "";
  }
  return no_leader(picture);
}

}  // namespace skep::control
