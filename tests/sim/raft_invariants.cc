#include "raft_invariants.h"

#include <algorithm>

#include "skep/consensus.methods.h"
#include "tests/rig/manager_process.h"

namespace skep::sim {

namespace {
constexpr std::size_t kShort = 512;  // bytes
constexpr raft::Index kMatchingDepth = 40;  // entries of two logs that are compared at one look

std::string name(raft::MemberId id) { return "member " + std::to_string(id); }
}  // namespace

std::optional<raft::Message> raft_message(std::string_view header, std::string_view body) {
  consensus::v1::DeliverRequest request;
  if (body.size() > kShort || header.find(consensus::v1::methods::Deliver::kName) == std::string_view::npos ||
      !request.ParseFromArray(body.data(), static_cast<int>(body.size()))) {
    return std::nullopt;
  }
  auto message = raft::decode_message(request.message(), rig::kClusterId);
  return message ? std::optional(*std::move(message)) : std::nullopt;
}

void RaftInvariants::look(const std::vector<Member>& members) {
  for (const Member& member : members) {
    look_at(member);
  }
  for (std::size_t i = 1; i < members.size(); ++i) {
    check_matching(members[i - 1].raft->log(), members[i].raft->log());
  }
}

void RaftInvariants::look_at(const Member& member) {
  const raft::Raft& raft = *member.raft;
  const auto [known, fresh] = seen_.try_emplace(member.id);
  Seen& seen = known->second;
  if (fresh) {
    seen.committed = raft.log().first_index() - 1;
  }
  if (raft.term() < seen.term) {
    violate_("the term of " + name(member.id) + " went back to " + std::to_string(raft.term()));
  }
  if (raft.log().committed() < seen.committed) {
    violate_("the commit index of " + name(member.id) + " went back to " +
             std::to_string(raft.log().committed()));
  }
  seen.term = raft.term();
  if (raft.role() == raft::Role::kLeader) {
    const auto [leader, is_new] = leader_of_.try_emplace(raft.term(), member.id);
    if (leader->second != member.id) {
      violate_(name(leader->second) + " and " + name(member.id) + " lead in term " +
               std::to_string(raft.term()));
    }
    if (is_new) {
      check_complete(member);
    }
  }
  check_committed(member, seen);
}

void RaftInvariants::check_committed(const Member& member, Seen& seen) {
  const raft::RaftLog& log = member.raft->log();
  // What a snapshot skipped is not in the log.
  raft::Index index = std::max(seen.committed + 1, log.first_index());
  for (; index <= log.committed(); ++index) {
    const auto term = log.term(index);
    if (!term) {
      continue;
    }
    const auto [known, is_new] =
        committed_.try_emplace(index, Committed{*term, member.raft->term()});
    if (!is_new && known->second.term != *term) {
      violate_("entry " + std::to_string(index) + " is committed with term " +
               std::to_string(known->second.term) + " and on " + name(member.id) + " with term " +
               std::to_string(*term));
    }
  }
  seen.committed = log.committed();
}

void RaftInvariants::check_complete(const Member& leader) {
  const raft::RaftLog& log = leader.raft->log();
  for (auto it = committed_.lower_bound(log.first_index()); it != committed_.end(); ++it) {
    if (it->second.seen_in >= leader.raft->term()) {
      continue;  // Perhaps committed after this leader's time.
    }
    if (log.term(it->first) != it->second.term) {
      violate_(name(leader.id) + " leads in term " + std::to_string(leader.raft->term()) +
               " without committed entry " + std::to_string(it->first));
      return;
    }
  }
}

void RaftInvariants::look_at(const raft::Message& message) {
  const bool granted = message.type == raft::MessageType::kVoteReply && !message.reject;
  if (!granted && message.type != raft::MessageType::kVote) {
    return;
  }
  // Who asks for votes has its own.
  const raft::MemberId candidate = granted ? message.to : message.from;
  const auto [known, is_new] = voted_.try_emplace({message.from, message.term}, candidate);
  if (known->second != candidate) {
    violate_(name(message.from) + " voted in term " + std::to_string(message.term) + " for " + name(known->second) +
             " and for " + name(candidate));
  }
}

void RaftInvariants::check_matching(const raft::RaftLog& left, const raft::RaftLog& right) {
  const raft::Index first = std::max(left.first_index(), right.first_index());
  raft::Index index = std::min(left.last_index(), right.last_index());
  bool equal = false;
  for (raft::Index depth = 0; index >= first && depth < kMatchingDepth; --index, ++depth) {
    const auto a = left.term(index);
    const auto b = right.term(index);
    if (!a || !b) {
      return;
    }
    if (equal && *a != *b) {
      violate_("two logs agree on entry " + std::to_string(index + 1) + " and differ before it");
      return;
    }
    equal = *a == *b;
  }
}

}  // namespace skep::sim
