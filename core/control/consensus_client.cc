#include "core/control/consensus_client.h"

#include <algorithm>
#include <utility>

#include "core/model/ids.h"
#include "skep/log.h"

namespace skep::control {
namespace {

using namespace std::chrono_literals;
namespace methods = consensus::v1::methods;

constexpr Duration kBackoffMin = 50ms;
constexpr Duration kBackoffMax = 2s;
constexpr std::chrono::milliseconds kOpenDeadline{60'000};  // recovery reads the whole log
constexpr std::chrono::milliseconds kBarrierDeadline{10'000};

Error no_manager() {
  return Error{Code::kFailedPrecondition, "this node is not a swarm manager", "NOT_A_MANAGER"};
}

/// Whether the answer to a proposal means that it can never be committed. A lost connection or a
/// failed disk says nothing about that.
bool surely_dropped(const Error& error) {
  switch (error.code) {
    case Code::kInvalidArgument:
    case Code::kNotFound:
    case Code::kAlreadyExists:
    case Code::kConflict:
    case Code::kFailedPrecondition:
    case Code::kPermissionDenied:
    case Code::kUnauthenticated:
    case Code::kResourceExhausted:
    case Code::kUnimplemented:
      return true;
    case Code::kUnavailable:
      return error.reason == "NOT_LEADER" || error.reason == "PROPOSAL_DROPPED";
    case Code::kTimeout:
    case Code::kCancelled:
    case Code::kDataLoss:
    case Code::kInternal:
      return false;
  }
  return false;
}

/// Whether a plugin that is not there yet (or just restarts) explains the error.
bool may_pass(const Error& error) {
  return error.retryable() || error.code == Code::kNotFound || error.code == Code::kCancelled;
}

}  // namespace

template <class F>
auto ConsensusClient::guarded(F f) {
  return [alive = std::weak_ptr<char>(alive_), f = std::move(f)](auto&&... arguments) mutable {
    if (!alive.expired()) {
      f(std::forward<decltype(arguments)>(arguments)...);
    }
  };
}

ConsensusClient::ConsensusClient(Env& env, rpc::Caller& caller, store::Store& store, Config config,
                                 Handlers handlers)
    : env_(env),
      caller_(caller),
      store_(store),
      config_(std::move(config)),
      handlers_(std::move(handlers)),
      // Unique over restarts: an old proposal that commits late is never taken for a new one.
      proposer_prefix_(config_.node_id + ":" + model::new_id(env.random).substr(0, 12) + ":"),
      backoff_(kBackoffMin) {}

ConsensusClient::~ConsensusClient() {
  stop();
}

void ConsensusClient::register_methods(rpc::MethodTable& table,
                                       std::function<ConsensusClient*()> client) {
  table.on_sync<methods::Committed>(
      [client](const auto& request) -> Result<consensus::v1::CommittedResponse> {
        ConsensusClient* self = client();
        return self == nullptr ? no_manager() : self->on_committed(request);
      });
  table.on_sync<methods::Leadership>(
      [client](const auto& request) -> Result<consensus::v1::LeadershipResponse> {
        ConsensusClient* self = client();
        if (self == nullptr) {
          return no_manager();
        }
        self->on_leadership(request);
        return consensus::v1::LeadershipResponse();
      });
  table.on_sync<methods::Members>(
      [client](const auto& request) -> Result<consensus::v1::MembersResponse> {
        ConsensusClient* self = client();
        if (self == nullptr) {
          return no_manager();
        }
        self->members_.assign(request.members().begin(), request.members().end());
        if (self->handlers_.on_members) {
          self->handlers_.on_members(self->members_);
        }
        return consensus::v1::MembersResponse();
      });
}

void ConsensusClient::start() {
  SKEP_ASSERT(alive_ == nullptr, "started once");
  alive_ = std::make_shared<char>();
  open_log();
}

void ConsensusClient::stop() {
  if (alive_ == nullptr) {
    return;
  }
  alive_.reset();
  env_.loop.cancel_timer(std::exchange(reopen_timer_, 0));
  env_.loop.cancel_timer(std::exchange(deadline_timer_, 0));
  open_ = leading_ = is_leader_ = false;
  answer(tracker_.fail_all(
      Error{Code::kTimeout,
            "the manager stopped before the write was committed; it may still be: "
            "read again before repeating it",
            "PROPOSAL_UNKNOWN"}));
  for (auto& [index, done] : std::exchange(barriers_, {})) {
    done(Error{Code::kUnavailable, "the manager stopped", "MANAGER_STOPPED"});
  }
}

void ConsensusClient::plugin_restarted() {
  if (alive_ == nullptr) {
    return;
  }
  is_leader_ = false;
  set_leading(false);
  open_ = false;
  tracker_.next_incarnation();
  backoff_ = kBackoffMin;
  open_log();
}

void ConsensusClient::open_log() {
  if (opening_) {
    return;
  }
  env_.loop.cancel_timer(std::exchange(reopen_timer_, 0));
  opening_ = true;
  consensus::v1::StartRequest request;
  request.set_member_id(config_.member_id);
  request.set_cluster_id(config_.cluster_id);
  request.set_applied_index(store_.applied_index());
  request.set_applied_term(store_.applied_term());
  for (const auto& member : config_.bootstrap) {
    *request.add_bootstrap() = member;
  }
  rpc::call<methods::Start>(caller_, config_.target, request, {.deadline = kOpenDeadline},
                            guarded([this](Result<consensus::v1::StartResponse> response) {
                              on_opened(std::move(response));
                            }));
}

void ConsensusClient::on_opened(Result<consensus::v1::StartResponse> response) {
  opening_ = false;
  if (!response) {
    trouble_ = response.error().message;
    // A cluster that is just being made has nothing to lose: say that the disk is full.
    const bool give_up = response.error().code == Code::kResourceExhausted && !config_.bootstrap.empty();
    if (may_pass(response.error()) && !give_up) {
      SKEP_DEBUG("consensus log is not open yet", {"target", config_.target}, {"reason", trouble_});
      return reopen_later();
    }
    SKEP_ERROR("consensus log cannot be opened", {"target", config_.target}, {"reason", trouble_});
    if (handlers_.on_fatal) {
      handlers_.on_fatal(response.error());
    }
    return;
  }
  open_ = true;
  trouble_.clear();
  backoff_ = kBackoffMin;
  members_.assign(response->members().begin(), response->members().end());
  if (handlers_.on_members) {
    handlers_.on_members(members_);
  }
  if (handlers_.on_open) {
    handlers_.on_open();
  }
  if (alive_ != nullptr && is_leader_) {
    confirm_leadership();  // the event overtook the answer
  }
}

void ConsensusClient::reopen_later() {
  if (reopen_timer_ != 0) {
    return;
  }
  reopen_timer_ = env_.loop.run_after(backoff_, guarded([this] {
                                        reopen_timer_ = 0;
                                        open_log();
                                      }));
  backoff_ = std::min(backoff_ * 2, kBackoffMax);
}

Result<consensus::v1::CommittedResponse> ConsensusClient::on_committed(
    const consensus::v1::CommittedRequest& request) {
  const std::weak_ptr<char> alive = alive_;
  for (const auto& entry : request.entries()) {
    if (alive.expired()) {
      return Error{Code::kUnavailable, "the manager stopped", "MANAGER_STOPPED"};
    }
    if (entry.index() <= store_.applied_index()) {
      continue;  // sent again: its answer was lost
    }
    if (entry.index() != store_.applied_index() + 1) {
      SKEP_ERROR("gap in committed log entries", {"applied", store_.applied_index()},
                 {"received", entry.index()});
      env_.loop.post(guarded([this] { plugin_restarted(); }));
      return Error{Code::kFailedPrecondition,
                   "entry " + std::to_string(entry.index()) + " does not follow applied entry " +
                       std::to_string(store_.applied_index()),
                   "LOG_GAP"};
    }
    apply_entry(entry);
  }
  consensus::v1::CommittedResponse response;
  response.set_applied_index(store_.applied_index());
  return response;
}

void ConsensusClient::apply_entry(const consensus::v1::Entry& entry) {
  const auto result = store_.apply(entry.index(), entry.term(), entry.data());
  SKEP_ASSERT(result.has_value(), "the index was checked to follow the last one");
  if (result->outcome == store::Outcome::kMalformed) {
    SKEP_ERROR("log entry is no change set", {"index", entry.index()}, {"why", result->message});
  }
  answer(tracker_.applied(entry.index(), *result));
  while (!barriers_.empty() && barriers_.begin()->first <= store_.applied_index()) {
    auto done = std::move(barriers_.begin()->second);
    barriers_.erase(barriers_.begin());
    done(ok());
  }
}

void ConsensusClient::on_leadership(const consensus::v1::LeadershipRequest& request) {
  if (alive_ == nullptr) {
    return;
  }
  leader_id_ = request.leader_id();
  term_ = request.term();
  if (request.leader() == is_leader_ && request.leader() == leading_) {
    return;
  }
  is_leader_ = request.leader();
  if (!is_leader_) {
    set_leading(false);
  } else {
    confirm_leadership();
  }
}

void ConsensusClient::confirm_leadership() {
  // Until what earlier leaders committed is applied here, nothing may be decided.
  const std::uint64_t term = term_;
  read_barrier(guarded([this, term](Status status) {
    if (!is_leader_ || term != term_ || leading_) {
      return;
    }
    if (status) {
      answer(tracker_.end_earlier_incarnations());
      return set_leading(true);
    }
    SKEP_DEBUG("leadership not confirmed yet", {"reason", status.error().message});
    env_.loop.run_after(backoff_, guarded([this, term] {
                          if (is_leader_ && term == term_ && !leading_) {
                            confirm_leadership();
                          }
                        }));
  }));
}

void ConsensusClient::set_leading(bool leading) {
  if (leading == leading_) {
    return;
  }
  leading_ = leading;
  if (handlers_.on_leading) {
    handlers_.on_leading(leading, term_);
  }
}

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

void ConsensusClient::read_barrier(std::function<void(Status)> done) {
  rpc::call<methods::ReadBarrier>(
      caller_, config_.target, {}, {.deadline = kBarrierDeadline},
      guarded([this, done = std::move(done)](Result<consensus::v1::ReadBarrierResponse> response) {
        if (!response) {
          return done(std::move(response).error());
        }
        if (response->index() <= store_.applied_index()) {
          return done(ok());
        }
        barriers_.emplace(response->index(), done);
      }));
}

void ConsensusClient::snapshot_available(std::uint64_t index, std::uint64_t term) {
  if (!open_) {
    return;
  }
  consensus::v1::SnapshotAvailableRequest request;
  request.set_index(index);
  request.set_term(term);
  rpc::call<methods::SnapshotAvailable>(
      caller_, config_.target, request, {},
      [](Result<consensus::v1::SnapshotAvailableResponse> response) {
        if (!response) {  // the next one covers it
          SKEP_DEBUG("consensus did not hear of the synced state",
                     {"reason", response.error().message});
        }
      });
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
