#include "core/control/consensus_client.h"

#include <algorithm>
#include <utility>

#include "core/control/errors.h"
#include "core/model/ids.h"
#include "skep/log.h"
#include "skep/mutant.h"

namespace skep::control {
namespace {

using namespace std::chrono_literals;
namespace methods = consensus::v1::methods;

constexpr Duration kBackoffMin = 50ms;
constexpr Duration kBackoffMax = 2s;
constexpr std::chrono::milliseconds kOpenDeadline{60'000};  // recovery reads the whole log
constexpr std::chrono::milliseconds kBarrierDeadline{10'000};
constexpr std::uint64_t kStateLoggedEvery = 1000;  // entries

/// Whether a plugin that is not there yet (or just restarts) explains the error.
bool may_pass(const Error& error) {
  return error.retryable() || error.code == Code::kNotFound || error.code == Code::kCancelled;
}

}  // namespace

Status check_driver(const rpc::CallContext& context) {
  if (context.principal.kind() != "plugin" && context.principal.kind() != "core") {
    return Error{Code::kPermissionDenied, "only the consensus driver of this node says that",
                 "NOT_A_DRIVER"};
  }
  return ok();
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
  const auto on = [&]<class M>(M /*method*/, auto handler) {
    table.on<M>([client, handler](const typename M::Request& request,
                                  const rpc::CallContext& context,
                                  rpc::Reply<typename M::Response> reply) {
      if (auto status = check_driver(context); !status) {
        return reply(std::move(status).error());
      }
      ConsensusClient* self = client();
      self == nullptr ? reply(no_manager()) : reply((self->*handler)(request));
    });
  };
  on(methods::Committed{}, &ConsensusClient::on_committed);
  on(methods::Leadership{}, &ConsensusClient::on_leadership);
  on(methods::Members{}, &ConsensusClient::on_members);
}

Result<consensus::v1::MembersResponse> ConsensusClient::on_members(
    const consensus::v1::MembersRequest& request) {
  members_.assign(request.members().begin(), request.members().end());
  if (handlers_.on_members) {
    handlers_.on_members(members_);
  }
  return consensus::v1::MembersResponse();
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
  request.set_begins_after_applied(config_.begins_after_applied);
  request.set_recover(config_.recover);
  // From a log that is made here and now there is nothing to recover.
  request.set_must_exist(config_.log_made || config_.recover);
  request.set_only_make(!request.must_exist() && handlers_.on_made != nullptr);
  for (const auto& member : config_.bootstrap) {
    *request.add_bootstrap() = member;
  }
  rpc::call<methods::Start>(caller_, config_.target, request, {.deadline = kOpenDeadline},
                            guarded([this, made = request.only_make()](
                                        Result<consensus::v1::StartResponse> response) {
                              made ? on_made(response ? ok() : Status(response.error()))
                                   : on_opened(std::move(response));
                            }));
}

void ConsensusClient::on_made(Status made) {
  opening_ = false;
  if (!made) {
    return not_opened(made.error());
  }
  if (auto noted = handlers_.on_made(); !noted) {
    trouble_ = "the log waits until it is noted that it was made: " + noted.error().message;
    return reopen_later();
  }
  config_.log_made = true;
  open_log();
}

void ConsensusClient::not_opened(const Error& error) {
  trouble_ = error.message;
  // A cluster that is just being made has nothing to lose: say that the disk is full.
  const bool give_up = error.code == Code::kResourceExhausted && !config_.bootstrap.empty();
  if (may_pass(error) && !give_up) {
    SKEP_DEBUG("consensus log is not open yet", {"target", config_.target}, {"reason", trouble_});
    return reopen_later();
  }
  SKEP_ERROR("consensus log cannot be opened", {"target", config_.target}, {"reason", trouble_});
  if (handlers_.on_fatal) {
    handlers_.on_fatal(error);
  }
}

void ConsensusClient::on_opened(Result<consensus::v1::StartResponse> response) {
  opening_ = false;
  if (!response) {
    return not_opened(response.error());
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
  if (alive_ != nullptr && config_.recover) {
    last_index_ = response->last_index();
    check_read_out();
  }
}

void ConsensusClient::check_read_out() {
  if (open_ && config_.recover && store_.applied_index() >= last_index_) {
    if (auto told = std::exchange(handlers_.on_read_out, nullptr)) {
      env_.loop.post(guarded(std::move(told)));
    }
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
  if (held_) {
    return Error{Code::kUnavailable, "the state is being replaced", "STATE_REPLACED"};
  }
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
    if (auto applied = apply_entry(entry); !applied) {
      return std::move(applied).error();
    }
  }
  check_read_out();
  consensus::v1::CommittedResponse response;
  response.set_applied_index(store_.applied_index());
  return response;
}

Result<std::string> ConsensusClient::open_entry(const consensus::v1::Entry& entry) const {
  if (config_.sealer == nullptr || entry.data().empty()) {
    return entry.data();
  }
  auto plain = config_.sealer->unseal(entry.data(), config_.cluster_id);
  if (!plain) {
    return std::move(plain).error().with_context("log entry " + std::to_string(entry.index()) +
                                                 " (restore data.key and the log of one and the "
                                                 "same backup, or make this node a worker and a "
                                                 "manager again)");
  }
  return plain;
}

Status ConsensusClient::apply_entry(const consensus::v1::Entry& entry) {
  const auto data = open_entry(entry);
  if (!data) {
    // To go on without it would be another state than the others have.
    SKEP_ERROR("a log entry cannot be opened", {"index", entry.index()},
               {"why", data.error().message});
    if (handlers_.on_fatal) {
      handlers_.on_fatal(data.error());
    }
    return data.error();
  }
  const auto result = store_.apply(entry.index(), entry.term(), *data);
  SKEP_ASSERT(result.has_value(), "the index was checked to follow the last one");
  if (result->outcome == store::Outcome::kMalformed) {
    SKEP_ERROR("log entry is no change set", {"index", entry.index()}, {"why", result->message});
  }
  if (entry.index() % kStateLoggedEvery == 0) {
    // The same in the log of every manager, or they went apart (the integration tests compare).
    SKEP_INFO("state of the swarm", {"cluster", config_.cluster_id}, {"index", entry.index()}, {"term", entry.term()},
              {"hash_0", store_.state_hash()[0]}, {"hash_1", store_.state_hash()[1]});
  }
  answer(tracker_.applied(entry.index(), *result));
  end_barriers();
  return ok();
}

void ConsensusClient::state_replaced() {
  held_ = false;
  answer(tracker_.skipped_to(store_.applied_index()));
  end_barriers();
}

void ConsensusClient::end_barriers() {
  while (!barriers_.empty() && barriers_.begin()->first <= store_.applied_index()) {
    auto done = std::move(barriers_.begin()->second);
    barriers_.erase(barriers_.begin());
    done(ok());
  }
}

Result<consensus::v1::LeadershipResponse> ConsensusClient::on_leadership(
    const consensus::v1::LeadershipRequest& request) {
  if (alive_ == nullptr) {
    return consensus::v1::LeadershipResponse();
  }
  if (leading_ && request.term() != term_) {
    set_leading(false);  // others led in between and were overtaken by this news
  }
  leader_id_ = request.leader_id();
  term_ = request.term();
  if (request.leader() != is_leader_ || request.leader() != leading_) {
    is_leader_ = request.leader();
    is_leader_ ? confirm_leadership() : set_leading(false);
  }
  if (alive_ != nullptr && handlers_.on_leader) {
    handlers_.on_leader(leader_id_);
  }
  return consensus::v1::LeadershipResponse();
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

void ConsensusClient::read_barrier(std::function<void(Status)> done) {
  rpc::call<methods::ReadBarrier>(
      caller_, config_.target, {}, {.deadline = kBarrierDeadline},
      guarded([this, done = std::move(done)](Result<consensus::v1::ReadBarrierResponse> response) {
        if (!response) {
          return done(std::move(response).error());
        }
        if (response->index() <= store_.applied_index() || SKEP_MUTANT(kBarrierDoesNotWait)) {
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

}  // namespace skep::control
