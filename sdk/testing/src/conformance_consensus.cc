#include <algorithm>
#include <chrono>
#include <map>
#include <memory>

#include "expect.h"
#include "skep/consensus.methods.h"
#include "skep/testing/conformance.h"

namespace skep::testing {
namespace {

using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace)
using namespace consensus::v1;         // NOLINT(google-build-using-namespace)
namespace calls = consensus::v1::methods;

constexpr std::uint64_t kMember = 7;
constexpr std::chrono::milliseconds kLimit = 30s;  // an election and a commit, also on a busy machine
constexpr std::size_t kEntryMax = 3 << 19;

/// Plays the core over all cases of one run: takes what is committed, and keeps the first thing that
/// was out of order.
struct Core {
  std::map<std::uint64_t, Entry> log;  ///< by index, as it was delivered first
  std::uint64_t applied = 0;
  int refuse = 0;  ///< so many batches are answered with an error
  bool leader = false;
  Status order = ok();

  void listen(rpc::MethodTable& table) {
    table.on_sync<calls::Committed>([this](const CommittedRequest& request) { return take(request); });
    table.on_sync<calls::Leadership>([this](const LeadershipRequest& request) -> Result<LeadershipResponse> {
      leader = request.leader() && request.leader_id() == kMember;
      return LeadershipResponse{};
    });
    table.on_sync<calls::Members>([](const MembersRequest&) -> Result<MembersResponse> { return MembersResponse{}; });
    table.on_sync<calls::Send>([](const SendRequest&) -> Result<SendResponse> { return SendResponse{}; });
    table.on_sync<calls::SnapshotWanted>(
        [](const SnapshotWantedRequest&) -> Result<SnapshotWantedResponse> { return SnapshotWantedResponse{}; });
  }

  Result<CommittedResponse> take(const CommittedRequest& request) {
    if (refuse > 0) {
      --refuse;
      return Error{Code::kUnavailable, "the core is busy"};
    }
    for (const Entry& entry : request.entries()) {
      if (entry.index() <= applied) {
        continue;  // sent again because its acknowledgement was late
      }
      if (entry.index() != applied + 1 && order) {
        order = Error{Code::kFailedPrecondition, "entry " + std::to_string(entry.index()) + " came after entry " +
                                                     std::to_string(applied) + ": there is a gap"};
      }
      const auto known = log.emplace(entry.index(), entry).first;
      if (known->second.SerializeAsString() != entry.SerializeAsString() && order) {
        order = Error{Code::kFailedPrecondition,
                      "entry " + std::to_string(entry.index()) + " is another one than the first time"};
      }
      applied = entry.index();
    }
    CommittedResponse response;
    response.set_applied_index(applied);
    return response;
  }
};

StartRequest start_request(const Core& core) {
  StartRequest request;
  request.set_member_id(kMember);
  request.set_cluster_id("skep-conformance");
  auto& self = *request.add_bootstrap();
  self.set_id(kMember);
  self.set_node_id("node-of-the-suite");
  request.set_applied_index(core.applied);
  return request;
}

/// Before the log of this run exists. A member that lost its log must not begin anew under its old id.
Status refuses_a_lost_log(Probe& probe, Core& core) {
  core.listen(probe.core());
  auto request = start_request(core);
  request.set_must_exist(true);
  const auto lost = probe.call<calls::Start>(request);
  SKEP_TRY(expect_error(lost, Code::kDataLoss, "start with must_exist where there is no log"));
  SKEP_TRY(expect(lost.error().reason == "LOG_LOST", "the reason is LOG_LOST, not '" + lost.error().reason + "'"));
  request.clear_bootstrap();  // a refusal makes no log
  return expect_error(probe.call<calls::Start>(request), Code::kDataLoss, "start with must_exist once more");
}

Status only_makes_a_log(Probe& probe, Core& core) {
  core.listen(probe.core());
  core.leader = false;
  auto request = start_request(core);
  request.set_only_make(true);
  for (int time = 0; time < 2; ++time) {
    const auto made = probe.call<calls::Start>(request);
    SKEP_TRY(expect_ok(made, "start with only_make"));
    SKEP_TRY(expect(made->members_size() == 1 && made->members(0).id() == kMember,
                    "start with only_make answers the member that it wrote"));
  }
  ProposeRequest proposal;
  proposal.set_data("too early");
  SKEP_TRY(expect(!probe.call<calls::Propose>(proposal).has_value(), "a log that was only made takes no proposal"));
  return expect(!core.leader && core.log.empty(), "of a log that was only made nobody leads and nothing is delivered");
}

/// Opens the log above what the core applied, and waits for the lead.
Status open(Probe& probe, Core& core) {
  core.leader = false;
  core.listen(probe.core());
  auto request = start_request(core);
  request.set_must_exist(true);  // only_makes_a_log() came before
  const auto opened = probe.call<calls::Start>(request);
  SKEP_TRY(expect_ok(opened, "start"));
  SKEP_TRY(expect(opened->members_size() == 1 && opened->members(0).id() == kMember,
                  "start answers the one member there is"));
  SKEP_TRY(expect(probe.wait([&] { return core.leader; }, kLimit), "the only member should lead, and say so"));
  return core.order;
}

Result<ProposeResponse> propose(Probe& probe, const std::string& data) {
  ProposeRequest request;
  request.set_data(data);
  return probe.call<calls::Propose>(request);
}

/// That the entry was delivered with the data and term it was accepted with.
Status committed(Probe& probe, Core& core, const ProposeResponse& accepted, const std::string& data) {
  SKEP_TRY(expect(probe.wait([&] { return core.applied >= accepted.index(); }, kLimit),
                  "entry " + std::to_string(accepted.index()) + " should be committed"));
  SKEP_TRY(core.order);
  const Entry& entry = core.log.at(accepted.index());
  return expect(entry.data() == data && entry.term() == accepted.term(),
                "entry " + std::to_string(accepted.index()) + " should come with the data and term it was accepted with");
}

Status propose_and_commit(Probe& probe, Core& core, const std::string& data) {
  const auto accepted = propose(probe, data);
  SKEP_TRY(expect_ok(accepted, "propose"));
  return committed(probe, core, *accepted, data);
}

Status commits_in_order(Probe& probe, Core& core) {
  std::vector<ProposeResponse> accepted;
  for (int i = 0; i < 50; ++i) {
    const auto one = propose(probe, "entry " + std::to_string(i));
    SKEP_TRY(expect_ok(one, "propose"));
    SKEP_TRY(expect(accepted.empty() || one->index() > accepted.back().index(), "a later proposal has a higher index"));
    accepted.push_back(*one);
  }
  for (std::size_t i = 0; i < accepted.size(); ++i) {
    SKEP_TRY(committed(probe, core, accepted[i], "entry " + std::to_string(i)));
  }
  return ok();
}

Status delivers_again(Probe& probe, Core& core) {
  SKEP_TRY(propose_and_commit(probe, core, "before"));
  const std::uint64_t last = core.applied;
  core.applied = last / 2;
  SKEP_TRY(open(probe, core));
  SKEP_TRY(expect(probe.wait([&] { return core.applied >= last; }, kLimit),
                  "start while the log is open delivers again what follows applied_index"));
  return core.order;
}

Status repeats_what_was_refused(Probe& probe, Core& core) {
  core.refuse = 5;
  SKEP_TRY(propose_and_commit(probe, core, "refused at first"));
  return expect(core.refuse == 0, "a batch is sent again until the core took it");
}

Status bounds_entries(Probe& probe, Core& core) {
  SKEP_TRY(propose_and_commit(probe, core, std::string(kEntryMax, 'x')));
  SKEP_TRY(expect_error(propose(probe, std::string(kEntryMax + 1, 'x')), Code::kInvalidArgument,
                        "propose of more than 1.5 MiB"));
  return propose_and_commit(probe, core, "after it");
}

Status tells_what_is_so(Probe& probe, Core& core) {
  SKEP_TRY(propose_and_commit(probe, core, "to be read"));
  const std::uint64_t written = core.applied;
  const auto barrier = probe.call<calls::ReadBarrier>({});
  SKEP_TRY(expect_ok(barrier, "read_barrier"));
  SKEP_TRY(expect(barrier->index() >= written, "a read barrier is not below what was acknowledged before"));
  const auto status = probe.call<calls::Status>({});
  SKEP_TRY(expect_ok(status, "status"));
  return expect(status->member_id() == kMember && status->leader() == kMember && status->error().empty() &&
                    status->commit_index() >= written && status->last_index() >= status->commit_index(),
                "status agrees with what was said: who leads, and how far the log is");
}

Status survives_nonsense(Probe& probe, Core& core) {
  const auto before = probe.call<calls::Status>({});
  SKEP_TRY(expect_ok(before, "status"));
  for (const std::string& nonsense : {std::string(), std::string("\xff\xff\xff\xff"), std::string(100'000, 'a')}) {
    DeliverRequest request;
    request.set_from(99);
    request.set_message(nonsense);
    (void)probe.call<calls::Deliver>(request).has_value();  // an error is as good as silence
  }
  PeerGoneRequest gone;
  gone.set_id(99);
  SKEP_TRY(expect_ok(probe.call<calls::PeerGone>(gone), "peer_gone of a stranger"));
  SKEP_TRY(propose_and_commit(probe, core, "after nonsense"));
  const auto after = probe.call<calls::Status>({});
  SKEP_TRY(expect_ok(after, "status"));
  return expect(after->term() == before->term() && after->leader() == kMember,
                "messages of a stranger that make no sense change neither term nor leader");
}

Status keeps_clusters_apart(Probe& probe, Core& core) {
  auto request = start_request(core);
  request.set_cluster_id("another");
  SKEP_TRY(expect_error(probe.call<calls::Start>(request), Code::kFailedPrecondition, "start with the log of another cluster"));
  request = start_request(core);
  request.set_applied_index(core.applied + 1'000'000);
  SKEP_TRY(expect_error(probe.call<calls::Start>(request), Code::kDataLoss, "start with a state newer than the log"));
  return propose_and_commit(probe, core, "after both");
}

Status survives_a_crash(Probe& probe, Core& core) {
  const auto accepted = propose(probe, "the last before the crash");
  SKEP_TRY(expect_ok(accepted, "propose"));
  if (auto crashed = probe.crash(); !crashed) {
    return crashed.error().code == Code::kUnimplemented ? skip("in-process drivers are not crashed") : std::move(crashed);
  }
  const std::uint64_t last = accepted->index();
  core.applied = 0;  // the state was never synced: everything comes again
  SKEP_TRY(open(probe, core));
  SKEP_TRY(committed(probe, core, *accepted, "the last before the crash"));
  SKEP_TRY(expect(core.applied >= last, "everything that was acknowledged is there after a crash"));
  return propose_and_commit(probe, core, "after the crash");
}

}  // namespace

std::vector<Case> consensus_suite() {
  const auto core = std::make_shared<Core>();
  using Body = Status (*)(Probe&, Core&);
  const auto with_log = [core](Body body) {
    return [core, body](Probe& probe) -> Status {
      SKEP_TRY(open(probe, *core));
      return body(probe, *core);
    };
  };
  const auto without = [core](Body body) { return [core, body](Probe& probe) { return body(probe, *core); }; };
  return {
      {"start must_exist: a log that is not there is LOG_LOST, and none is made", without(refuses_a_lost_log)},
      {"start only_make: the log is there, nobody votes, again is the same", without(only_makes_a_log)},
      {"start: the first member of a new cluster leads and says so", with_log([](Probe&, Core&) { return ok(); })},
      {"propose: committed in order, without a gap, in the term that was answered", with_log(commits_in_order)},
      {"start again: what follows applied_index comes again, the same", with_log(delivers_again)},
      {"committed: a batch that the core refuses is sent again", with_log(repeats_what_was_refused)},
      {"propose: 1.5 MiB fit, more is refused and harms nothing", with_log(bounds_entries)},
      {"read_barrier and status: they agree with what was committed", with_log(tells_what_is_so)},
      {"deliver: nonsense of strangers changes nothing", with_log(survives_nonsense)},
      {"start: another cluster's log, or one older than the state, is refused", with_log(keeps_clusters_apart)},
      {"crash: every acknowledged entry comes again, and the log goes on", with_log(survives_a_crash)},
  };
}

}  // namespace skep::testing
