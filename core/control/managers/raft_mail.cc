#include "core/control/managers/raft_mail.h"

#include <utility>

#include "skep/log.h"

namespace skep::control {
namespace {

namespace methods = consensus::v1::methods;

// A member that takes longer than this is told the newest instead.
constexpr std::chrono::milliseconds kDeliverDeadline{5'000};
constexpr std::chrono::milliseconds kLocalDeadline{30'000};

}  // namespace

RaftMail::RaftMail(rpc::Caller& local, bus::Peers* peers, Config config)
    : local_(local), peers_(peers), config_(std::move(config)) {}

RaftMail::~RaftMail() = default;

void RaftMail::set_members(const std::vector<consensus::v1::Member>& members) {
  if (members.empty()) {
    return;
  }
  current_.clear();
  for (const auto& member : members) {
    current_.insert(member.id());
  }
  note_members(members);
}

void RaftMail::note_members(const std::vector<consensus::v1::Member>& members) {
  for (const auto& member : members) {
    book_[member.id()] = member;
  }
}

const consensus::v1::Member* RaftMail::find(std::uint64_t id) const {
  const auto it = book_.find(id);
  return it == book_.end() ? nullptr : &it->second;
}

std::set<std::string> RaftMail::voters() const {
  std::set<std::string> ids;
  for (const std::uint64_t id : current_) {
    if (const auto* member = find(id); member != nullptr && !member->learner()) {
      ids.insert(member->node_id());
    }
  }
  return ids;
}

void RaftMail::note_sender(const consensus::v1::DeliverRequest& request,
                           const bus::v1::Principal& principal) {
  const auto known = book_.find(request.from());
  if (known == book_.end() && book_.size() >= current_.size() + kBookMax) {
    return;
  }
  auto& member = known == book_.end() ? book_[request.from()] : known->second;
  member.set_id(request.from());
  member.set_node_id(principal.id());
  if (!request.address().empty()) {
    member.set_address(request.address());
  }
}

Status RaftMail::send(const consensus::v1::SendRequest& request) {
  if (peers_ == nullptr || find(request.to()) == nullptr) {
    return Error{Code::kNotFound,
                 "there is no other manager with member id " + std::to_string(request.to()),
                 "UNKNOWN_MEMBER"};
  }
  Box& box = boxes_[request.to()];
  box.waiting.push_back(request.message());
  box.waiting_bytes += request.message().size();
  bool lost = false;
  while (box.waiting.size() > kWaitingMax || box.waiting_bytes > kWaitingBytesMax) {
    box.waiting_bytes -= box.waiting.front().size();
    box.waiting.pop_front();
    ++dropped_;
    lost = true;
  }
  if (lost) {
    tell_loss(request.to());
  }
  pump(request.to());
  return ok();
}

void RaftMail::pump(std::uint64_t to) {
  const auto* target = find(to);
  Box& box = boxes_[to];
  SKEP_ASSERT(target != nullptr || box.waiting.empty(), "the address book never forgets a member");
  while (!box.waiting.empty() && box.in_flight < kInFlightMax &&
         (box.in_flight == 0 || box.in_flight_bytes < kInFlightBytesMax)) {
    consensus::v1::DeliverRequest request;
    request.set_from(config_.self);
    request.set_address(config_.address);
    const std::size_t bytes = box.waiting.front().size();
    request.set_message(std::move(box.waiting.front()));
    box.waiting.pop_front();
    box.waiting_bytes -= bytes;
    ++box.in_flight;
    box.in_flight_bytes += bytes;
    rpc::call<methods::Deliver>(peers_->to(target->node_id(), target->address()), "core", request,
                                {.deadline = kDeliverDeadline},
                                [this, to, bytes, alive = std::weak_ptr<char>(alive_)](
                                    const Result<consensus::v1::DeliverResponse>& response) {
                                  if (!alive.expired()) {
                                    answered(to, bytes, response ? ok() : Status(response.error()));
                                  }
                                });
  }
}

void RaftMail::answered(std::uint64_t to, std::size_t bytes, const Status& status) {
  Box& box = boxes_[to];
  --box.in_flight;
  box.in_flight_bytes -= bytes;
  if (config_.on_sent) {
    config_.on_sent(to, status);
  }
  if (!status) {
    SKEP_DEBUG("a consensus message did not arrive", {"member", to},
               {"reason", status.error().message});
    tell_loss(to);
    const bool stranger =
        status.error().reason == "NOT_A_MEMBER" || status.error().reason == "NOT_ALLOWED";
    if (stranger && config_.on_stranger) {
      config_.on_stranger();
    }
  }
  pump(to);
}

void RaftMail::tell_loss(std::uint64_t to) {
  Box& box = boxes_[to];
  if (std::exchange(box.telling_loss, true)) {
    return;
  }
  consensus::v1::PeerGoneRequest request;
  request.set_id(to);
  request.set_messages_lost(true);
  rpc::call<methods::PeerGone>(local_, config_.consensus_target, request,
                               {.deadline = kLocalDeadline},
                               [this, to, alive = std::weak_ptr<char>(alive_)](const auto&) {
                                 if (!alive.expired()) {
                                   boxes_[to].telling_loss = false;
                                 }
                               });
}

void RaftMail::connection_gone(const std::string& node_id) {
  for (const auto& [id, member] : book_) {
    if (member.node_id() == node_id && id != config_.self) {
      consensus::v1::PeerGoneRequest request;
      request.set_id(id);
      rpc::call<methods::PeerGone>(local_, config_.consensus_target, request,
                                   {.deadline = kLocalDeadline}, [](const auto&) {});
    }
  }
}

Status RaftMail::check_sender(std::uint64_t from, const bus::v1::Principal& principal,
                              bool leading) const {
  if (principal.kind() != "node" || principal.role() != "manager") {
    return Error{Code::kPermissionDenied, "only managers send consensus messages", "NOT_A_MANAGER"};
  }
  const auto* known = find(from);
  if (known != nullptr && known->node_id() != principal.id()) {
    return Error{Code::kPermissionDenied,
                 "member " + std::to_string(from) + " is node '" + known->node_id() + "'; node '" +
                     principal.id() + "' may not speak for it",
                 "NOT_THIS_NODE"};
  }
  // A follower may not have heard of a new member yet; the leader has.
  if (leading && !current_.contains(from)) {
    return Error{Code::kFailedPrecondition,
                 "member " + std::to_string(from) + " does not belong to the managers (any more)",
                 "NOT_A_MEMBER"};
  }
  return ok();
}

void RaftMail::deliver(const consensus::v1::DeliverRequest& request, const bus::v1::Principal& from,
                       bool leading, rpc::Reply<consensus::v1::DeliverResponse> reply) {
  if (auto status = check_sender(request.from(), from, leading); !status) {
    return reply(std::move(status).error());
  }
  note_sender(request, from);
  if (config_.on_heard && find(request.from()) != nullptr) {
    config_.on_heard(request.from());
  }
  rpc::call<methods::Deliver>(local_, config_.consensus_target, request,
                              {.deadline = kLocalDeadline}, std::move(reply));
}

}  // namespace skep::control
