// Majority arithmetic against a slow definition of it, over random configurations.

#include "plugins/consensus/raft/quorum.h"

#include <gtest/gtest.h>

#include "plugins/consensus/raft/membership.h"
#include "skep/testing/manual_env.h"

namespace skep::raft {
namespace {

/// The definition: the largest index that more than half of the voters reached.
Index slow_index(const std::set<MemberId>& voters, const std::map<MemberId, Index>& matched) {
  if (voters.empty()) {
    return ~Index{0};
  }
  Index best = 0;
  for (const MemberId candidate : voters) {
    const auto at = matched.find(candidate);
    const Index index = at == matched.end() ? 0 : at->second;
    std::size_t reached = 0;
    for (const MemberId id : voters) {
      const auto other = matched.find(id);
      reached += (other == matched.end() ? 0 : other->second) >= index ? 1 : 0;
    }
    if (2 * reached > voters.size()) {
      best = std::max(best, index);
    }
  }
  return best;
}

/// The definition: won when every way to complete the votes wins, lost when none does.
VoteResult slow_vote(const Quorum& quorum, std::map<MemberId, bool> votes) {
  std::vector<MemberId> missing;
  for (const MemberId id : quorum.all()) {
    if (!votes.contains(id)) {
      missing.push_back(id);
    }
  }
  bool some_win = false;
  bool some_lose = false;
  for (std::uint64_t bits = 0; bits < (std::uint64_t{1} << missing.size()); ++bits) {
    for (std::size_t i = 0; i < missing.size(); ++i) {
      votes[missing[i]] = (bits >> i & 1) != 0;
    }
    bool wins = true;
    for (const auto* half : {&quorum.incoming, &quorum.outgoing}) {
      std::size_t granted = 0;
      for (const MemberId id : *half) {
        granted += votes[id] ? 1 : 0;
      }
      wins = wins && (half->empty() || 2 * granted > half->size());
    }
    (wins ? some_win : some_lose) = true;
  }
  return !some_lose ? VoteResult::kWon : some_win ? VoteResult::kPending : VoteResult::kLost;
}

TEST(Quorum, AgreesWithTheDefinitionOnRandomConfigurations) {
  testing::SeededRandom random(7);
  for (int run = 0; run < 50'000; ++run) {
    Quorum quorum;
    std::map<MemberId, Index> matched;
    std::map<MemberId, bool> votes;
    const auto members = 1 + random.below(7);
    for (MemberId id = 1; id <= members; ++id) {
      if (random.chance(70)) {
        quorum.incoming.insert(id);
      }
      if (random.chance(30)) {
        quorum.outgoing.insert(id);
      }
      if (random.chance(80)) {
        matched[id] = random.below(20);
      }
      if (random.chance(60)) {
        votes[id] = random.chance(50);
      }
    }
    const auto index = quorum.committed_index([&](MemberId id) {
      const auto found = matched.find(id);
      return found == matched.end() ? Index{0} : found->second;
    });
    ASSERT_EQ(index, std::min(slow_index(quorum.incoming, matched),
                              slow_index(quorum.outgoing, matched)))
        << "run " << run;
    const VoteResult result = quorum.vote_result(votes);
    const VoteResult expected = slow_vote(quorum, votes);
    // A joint vote may still say pending where both halves can no longer be won together, never the
    // other way round.
    ASSERT_TRUE(result == expected ||
                (result == VoteResult::kPending && expected == VoteResult::kLost))
        << "run " << run;
  }
}

TEST(Membership, AnyTwoConsecutiveConfigurationsShareAQuorumMember) {
  testing::SeededRandom random(8);
  for (int run = 0; run < 3'000; ++run) {
    Membership now;
    for (MemberId id = 1; id <= 1 + random.below(5); ++id) {
      now.members.push_back({id, "", "", random.chance(20)});
    }
    if (now.voters().empty()) {
      continue;
    }
    ConfigChange change;
    for (MemberId id = 1; id <= 6; ++id) {
      if (random.chance(30)) {
        change.steps.push_back({random.chance(50) ? MemberStep::Kind::kAdd : MemberStep::Kind::kRemove,
                                {id, "", "", random.chance(30)}});
      }
    }
    const auto after = apply_change(now, change);
    if (!after) {
      continue;
    }
    const Quorum before = quorum_of(now);
    const Quorum next = quorum_of(*after);
    // Split the voters of both in every way: never do both sides win.
    std::set<MemberId> all = before.all();
    const auto more = next.all();
    all.insert(more.begin(), more.end());
    const std::vector<MemberId> ids(all.begin(), all.end());
    for (std::uint64_t bits = 0; bits < (std::uint64_t{1} << ids.size()); ++bits) {
      std::map<MemberId, bool> left;
      std::map<MemberId, bool> right;
      for (std::size_t i = 0; i < ids.size(); ++i) {
        left[ids[i]] = (bits >> i & 1) != 0;
        right[ids[i]] = !left[ids[i]];
      }
      ASSERT_FALSE(before.vote_result(left) == VoteResult::kWon &&
                   next.vote_result(right) == VoteResult::kWon)
          << "run " << run;
    }
  }
}

}  // namespace
}  // namespace skep::raft
