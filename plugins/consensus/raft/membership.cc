#include "plugins/consensus/raft/membership.h"

#include <algorithm>

#include "plugins/consensus/raft/bytes.h"

namespace skep::raft {
namespace {

constexpr std::uint32_t kStepsMax = 64;

Error invalid(std::string message) {
  return Error{Code::kInvalidArgument, std::move(message), "BAD_MEMBER_CHANGE"};
}

void put_member(std::vector<Member>& members, const Member& member) {
  const auto at = std::lower_bound(members.begin(), members.end(), member.id,
                                   [](const Member& one, MemberId id) { return one.id < id; });
  if (at != members.end() && at->id == member.id) {
    *at = member;
  } else {
    members.insert(at, member);
  }
}

/// How many voters were added or taken away.
std::size_t voters_changed(const Membership& before, const Membership& after) {
  const auto old_voters = before.voters();
  const auto new_voters = after.voters();
  std::size_t changed = 0;
  for (const MemberId id : old_voters) {
    changed += new_voters.contains(id) ? 0 : 1;
  }
  for (const MemberId id : new_voters) {
    changed += old_voters.contains(id) ? 0 : 1;
  }
  return changed;
}

Membership leave_joint(Membership now) {
  for (const Member& member : now.learners_next) {
    put_member(now.members, member);
  }
  now.learners_next.clear();
  now.outgoing.clear();
  now.auto_leave = false;
  return now;
}

Membership enter_joint(const Membership& before, Membership after) {
  after.outgoing = before.voters();
  after.auto_leave = true;
  std::vector<Member> stay;
  for (const Member& member : after.members) {
    // A voter on its way to learner keeps its vote in the old half until that is left.
    if (member.learner && after.outgoing.contains(member.id)) {
      after.learners_next.push_back(member);
    } else {
      stay.push_back(member);
    }
  }
  after.members = std::move(stay);
  return after;
}

}  // namespace

std::string encode_config_change(const ConfigChange& change) {
  ByteWriter out;
  out.u32(static_cast<std::uint32_t>(change.steps.size()));
  for (const MemberStep& step : change.steps) {
    out.u8(static_cast<std::uint8_t>(step.kind));
    out.u64(step.member.id);
    out.u8(step.member.learner ? 1 : 0);
    out.str16(step.member.node_id);
    out.str16(step.member.address);
  }
  return out.take();
}

Result<ConfigChange> decode_config_change(std::string_view bytes) {
  ByteReader in(bytes);
  ConfigChange change;
  const std::uint32_t count = in.u32();
  for (std::uint32_t i = 0; i < count && i < kStepsMax && in.good(); ++i) {
    MemberStep step;
    const std::uint8_t kind = in.u8();
    if (kind != 1 && kind != 2) {
      return invalid("a member change of unknown kind");
    }
    step.kind = static_cast<MemberStep::Kind>(kind);
    step.member.id = in.u64();
    step.member.learner = in.u8() != 0;
    step.member.node_id = in.str16();
    step.member.address = in.str16();
    change.steps.push_back(std::move(step));
  }
  if (!in.finished() || count > kStepsMax) {
    return invalid("a malformed member change");
  }
  return change;
}

Result<Membership> apply_change(const Membership& now, const ConfigChange& change) {
  const bool joint = !now.outgoing.empty();
  if (change.steps.empty()) {
    if (!joint) {
      return Error{Code::kFailedPrecondition, "there is no joint configuration to leave"};
    }
    return leave_joint(now);
  }
  if (joint) {
    return Error{Code::kFailedPrecondition, "a change of the members is still under way"};
  }
  Membership after = now;
  std::set<MemberId> seen;
  for (const MemberStep& step : change.steps) {
    if (step.member.id == kNobody || !seen.insert(step.member.id).second) {
      return invalid("a change names member " + std::to_string(step.member.id) + " twice or not at all");
    }
    if (step.kind == MemberStep::Kind::kAdd) {
      put_member(after.members, step.member);
    } else {
      std::erase_if(after.members, [&](const Member& one) { return one.id == step.member.id; });
    }
  }
  if (after.voters().empty()) {
    return invalid("the change would leave no voting member");
  }
  const bool first_members = now.members.empty();
  return first_members || voters_changed(now, after) <= 1 ? after : enter_joint(now, std::move(after));
}

Quorum quorum_of(const Membership& membership) {
  return {.incoming = membership.voters(), .outgoing = membership.outgoing};
}

}  // namespace skep::raft
