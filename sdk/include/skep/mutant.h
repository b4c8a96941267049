#pragma once

// Deliberate defects: classic bugs of systems like this one, one line each. The simulator proves that it
// sees something by switching one on; only its program `sim_mutants` compiles them in, everywhere else
// SKEP_MUTANT(name) is plain false and the names do not exist.

#ifdef SKEP_MUTANTS

#include <array>

namespace skep {

enum class Mutant {
  kNone,
  // the log and its members (plugins/consensus/raft)
  kCommitsOlderTerms,
  kVoteNotWritten,
  kVoteNotSynced,
  kLogNotSynced,
  kRepliesBeforeSync,
  kSyncErrorForgiven,
  kPreVoteClearsVote,
  kPreVoteCountsAsVote,
  kStepDownForgetsVote,
  kVotesTwice,
  kVoteIgnoresLog,
  kOldTermsCount,
  kOldLeaderNotAnswered,
  kNoEntryAtTermStart,
  kReadBeforeFirstCommit,
  kReadWithoutQuorum,
  kAcksWholeLog,
  kKeepsConflictingEntries,
  kCommitsBeyondAppend,
  kHeartbeatCommitsBlindly,
  kSentCountsAsStored,
  kHalfIsMajority,
  kCommitsByMinority,
  kProbeStaysPaused,
  kLostSnapshotNotRepeated,
  kStaleSnapshotTruncates,
  kStateNotFetched,
  kSnapshotForgetsTerm,
  kTruncationNotWritten,
  kTruncationKeepsMembers,
  kChecksumIgnored,
  kNeverHandsOver,
  kLostLogBegunAnew,
  // the state and its writes (core/store, core/control)
  kStoreIgnoresVersions,
  kAppliedIndexAhead,
  kCompactsUnsynced,
  kDoneWhenAccepted,
  kOverwrittenCountsAsDone,
  kBarrierDoesNotWait,
  kLostWritesTriedAgain,
  kWatchResumesLate,
  kRotationForgetsOldRoot,
  kRenewsWithoutBarrier,
  // nodes and tasks
  kNoGraceForNewLeader,
  kAssignmentsForgotten,
  kTaskStatesGoBack,
  kStatusAckedUncommitted,
  kSchedulerForgetsInFlight,
  kConstraintsIgnored,
  kSuccessorDoesNotWait,
  kTaskEndInvented,
};

struct MutantInfo {
  Mutant mutant;
  const char* name;
  const char* what;
};
inline constexpr auto kMutants = std::to_array<MutantInfo>({
    {Mutant::kCommitsOlderTerms, "CommitsOlderTerms", "counts copies of entries of earlier terms (logcabin #44)"},
    {Mutant::kVoteNotWritten, "VoteNotWritten", "the term is written without the vote (hashicorp/raft #661)"},
    {Mutant::kVoteNotSynced, "VoteNotSynced", "a vote leaves before it is on disk (robustmq #2039)"},
    {Mutant::kLogNotSynced, "LogNotSynced", "entries are acknowledged without a sync"},
    {Mutant::kRepliesBeforeSync, "RepliesBeforeSync", "answers leave before the sync was tried (ahnlich #387)"},
    {Mutant::kSyncErrorForgiven, "SyncErrorForgiven", "a failed sync counts as done (rostam #94)"},
    {Mutant::kPreVoteClearsVote, "PreVoteClearsVote", "a pre-vote forgets the vote (canonical/raft #196)"},
    {Mutant::kPreVoteCountsAsVote, "PreVoteCountsAsVote", "a late pre-vote answer is counted as a vote (canonical/raft #196)"},
    {Mutant::kStepDownForgetsVote, "StepDownForgetsVote", "stepping down forgets the vote of the term (akka-raft #56)"},
    {Mutant::kVotesTwice, "VotesTwice", "votes for whoever asks (camunda #1068)"},
    {Mutant::kVoteIgnoresLog, "VoteIgnoresLog", "votes for members with less in their log (NuRaft #134)"},
    {Mutant::kOldTermsCount, "OldTermsCount", "messages of earlier terms count"},
    {Mutant::kOldLeaderNotAnswered, "OldLeaderNotAnswered", "a deposed leader is never told (etcd #8501)"},
    {Mutant::kNoEntryAtTermStart, "NoEntryAtTermStart", "a leader does not begin its term with an entry"},
    {Mutant::kReadBeforeFirstCommit, "ReadBeforeFirstCommit", "reads before the term's first commit (etcd #7331)"},
    {Mutant::kReadWithoutQuorum, "ReadWithoutQuorum", "reads without asking the others (etcd #20418, d-engine #381)"},
    {Mutant::kAcksWholeLog, "AcksWholeLog", "an append acknowledges entries that were not compared (yugabyte #32875)"},
    {Mutant::kKeepsConflictingEntries, "KeepsConflictingEntries", "a follower keeps entries that conflict with the leader's"},
    {Mutant::kCommitsBeyondAppend, "CommitsBeyondAppend", "commits entries that were not compared"},
    {Mutant::kHeartbeatCommitsBlindly, "HeartbeatCommitsBlindly", "a heartbeat commits what the follower may not have"},
    {Mutant::kSentCountsAsStored, "SentCountsAsStored", "what was sent counts as stored"},
    {Mutant::kHalfIsMajority, "HalfIsMajority", "half of the votes win"},
    {Mutant::kCommitsByMinority, "CommitsByMinority", "one copy less than a majority commits"},
    {Mutant::kProbeStaysPaused, "ProbeStaysPaused", "a follower that missed a message gets nothing more (swarmkit #1658)"},
    {Mutant::kLostSnapshotNotRepeated, "LostSnapshotNotRepeated", "a snapshot that got lost is not sent again (swarmkit #2374)"},
    {Mutant::kStaleSnapshotTruncates, "StaleSnapshotTruncates", "an old snapshot replaces a longer log (etcd PR #1763)"},
    {Mutant::kStateNotFetched, "StateNotFetched", "takes part as if it held the state of a snapshot (etcd #6129)"},
    {Mutant::kSnapshotForgetsTerm, "SnapshotForgetsTerm", "the term of a snapshot's last entry is lost (RedisLabs/raft #2)"},
    {Mutant::kTruncationNotWritten, "TruncationNotWritten", "entries that were cut off come back (tsoracle #260, etcd #22442)"},
    {Mutant::kTruncationKeepsMembers, "TruncationKeepsMembers", "members of entries that were cut off stay (scylladb #30936)"},
    {Mutant::kChecksumIgnored, "ChecksumIgnored", "a write that did not finish is taken for a record"},
    {Mutant::kNeverHandsOver, "NeverHandsOver", "a leader that cannot store keeps its role (etcd #3068)"},
    {Mutant::kLostLogBegunAnew, "LostLogBegunAnew", "a member whose log was removed votes again, with an empty one"},
    {Mutant::kStoreIgnoresVersions, "StoreIgnoresVersions", "applies change sets of stale versions"},
    {Mutant::kAppliedIndexAhead, "AppliedIndexAhead", "the applied index is not that of the rows beside it (etcd #13766)"},
    {Mutant::kCompactsUnsynced, "CompactsUnsynced", "the log is cut below what is synced (redisraft #43)"},
    {Mutant::kDoneWhenAccepted, "DoneWhenAccepted", "a change is done when the log took it (etcd #14370)"},
    {Mutant::kOverwrittenCountsAsDone, "OverwrittenCountsAsDone", "a change whose entry another leader replaced is done"},
    {Mutant::kBarrierDoesNotWait, "BarrierDoesNotWait", "a read does not wait until what was committed is applied"},
    {Mutant::kLostWritesTriedAgain, "LostWritesTriedAgain", "a write whose answer was lost is done twice"},
    {Mutant::kWatchResumesLate, "WatchResumesLate", "a watch that is resumed skips the first change"},
    {Mutant::kRotationForgetsOldRoot, "RotationForgetsOldRoot", "a new root is trusted alone while some nodes still have the old one"},
    {Mutant::kRenewsWithoutBarrier, "RenewsWithoutBarrier", "a leader that was overtaken renews certificates from its old state"},
    {Mutant::kNoGraceForNewLeader, "NoGraceForNewLeader", "a new leader trusts timers it never set (ROCm/spur #624)"},
    {Mutant::kAssignmentsForgotten, "AssignmentsForgotten", "what changed while a message was sent is not sent"},
    {Mutant::kTaskStatesGoBack, "TaskStatesGoBack", "a late report replaces a newer one"},
    {Mutant::kStatusAckedUncommitted, "StatusAckedUncommitted", "a node's report is acknowledged before it is committed"},
    {Mutant::kSchedulerForgetsInFlight, "SchedulerForgetsInFlight", "does not count decisions in flight"},
    {Mutant::kConstraintsIgnored, "ConstraintsIgnored", "tasks go to nodes that their constraints exclude"},
    {Mutant::kSuccessorDoesNotWait, "SuccessorDoesNotWait", "a successor does not wait for its predecessor"},
    {Mutant::kTaskEndInvented, "TaskEndInvented", "reports an end it did not see"},
});

/// Which defect is on. Set once by sim_mutants.
inline Mutant active_mutant = Mutant::kNone;

}  // namespace skep
#define SKEP_MUTANT(name) (::skep::active_mutant == ::skep::Mutant::name)
#else
#define SKEP_MUTANT(name) false
#endif
