// The proposals of the consensus client. See consensus_client.h.

#include <algorithm>
#include <utility>

#include "core/control/consensus_client.h"
#include "core/control/errors.h"
#include "skep/log.h"
#include "skep/mutant.h"

namespace skep::control {
namespace {

namespace methods = consensus::v1::methods;

/// Whether the answer to a proposal means that it can never be committed. A lost connection or a
/// failed disk says nothing about that.
bool surely_dropped(const Error& error) {
  return is_refusal(error.code) ||
         (error.code == Code::kUnavailable &&
          (error.reason == "NOT_LEADER" || error.reason == "PROPOSAL_DROPPED"));
}

}  // namespace

void ConsensusClient::propose(store::Transaction transaction, store::OnCommitted done) {
  const std::string id = proposer_prefix_ + std::to_string(++proposals_);
  auto refuse = [this](store::OnCommitted refused, Error error) {
    env_.loop.post([refused = std::move(refused), error = std::move(error)] { refused(error); });
  };
  if (alive_ == nullptr) {
    return refuse(std::move(done),
                  Error{Code::kUnavailable, "the manager is not running", "MANAGER_STOPPED"});
  }
  auto encoded = transaction.encode(id, env_.clock.wall_now());
  if (!encoded) {
    return refuse(std::move(done), std::move(encoded).error());
  }
  if (config_.sealer != nullptr) {
    *encoded = config_.sealer->seal(*encoded, config_.cluster_id, env_.random);
  }
  const std::size_t size = encoded->size();
  if (auto status = tracker_.add(id, size, env_.clock.now() + config_.proposal_timeout, done);
      !status) {
    return refuse(std::move(done), std::move(status).error());
  }
  arm_deadline();
  consensus::v1::ProposeRequest request;
  request.set_data(*std::move(encoded));
  rpc::call<methods::Propose>(caller_, config_.target, request,
                              {.deadline = config_.proposal_timeout},
                              guarded([this, id](Result<consensus::v1::ProposeResponse> response) {
                                on_proposed(id, std::move(response));
                              }));
}

void ConsensusClient::on_proposed(const std::string& id,
                                  Result<consensus::v1::ProposeResponse> response) {
  if (response && SKEP_MUTANT(kDoneWhenAccepted)) {
    return answer(tracker_.applied(response->index(), {store::Outcome::kApplied, id, ""}));
  }
  if (response) {
    return tracker_.accepted(id, response->index());
  }
  Error error = std::move(response).error();
  // After any other error it may be in the log: its entry or its deadline will tell.
  if (!surely_dropped(error)) {
    return;
  }
  const bool reopen = error.reason == "LOG_NOT_OPEN" && open_;
  if (error.code == Code::kNotFound || error.code == Code::kUnimplemented || reopen) {
    // Whoever proposed something is not to think that what it wrote about was not found.
    error = Error{Code::kUnavailable, "the consensus log is not there now: " + error.message,
                  "NO_CONSENSUS"};
  }
  const std::weak_ptr<char> alive = alive_;
  answer(tracker_.dropped(id, std::move(error)));
  if (reopen && !alive.expired()) {
    plugin_restarted();  // nobody told us
  }
}

void ConsensusClient::answer(std::vector<ProposalTracker::Answer> answers) {
  for (auto& [done, result] : answers) {
    done(std::move(result));
  }
}

void ConsensusClient::arm_deadline() {
  if (deadline_timer_ != 0 || tracker_.empty()) {
    return;
  }
  const Duration wait =
      std::max<Duration>(tracker_.next_deadline() - env_.clock.now(), Duration{1});
  deadline_timer_ = env_.loop.run_after(wait, guarded([this] {
                                          deadline_timer_ = 0;
                                          const std::weak_ptr<char> alive = alive_;
                                          answer(tracker_.expire(env_.clock.now()));
                                          if (!alive.expired()) {
                                            arm_deadline();
                                          }
                                        }));
}

}  // namespace skep::control
