// Messages to bytes and back. See message.h.

#include "plugins/consensus/raft/message.h"
#include "plugins/consensus/raft/raft.pb.h"

namespace skep::raft {
namespace {

constexpr int kMembersMax = 1024;

void put_member(wire::WireMember& out, const Member& member) {
  out.set_id(member.id);
  out.set_node_id(member.node_id);
  out.set_address(member.address);
  out.set_learner(member.learner);
}

Member get_member(const wire::WireMember& in) {
  return {in.id(), in.node_id(), in.address(), in.learner()};
}

Error malformed(const char* what) {
  return Error{Code::kInvalidArgument, std::string("malformed raft message: ") + what,
               "MALFORMED_MESSAGE"};
}

Status get_entries(const wire::WireMessage& in, Message& message) {
  Index expected = in.index() + 1;
  for (const wire::WireEntry& entry : in.entries()) {
    if (entry.index() != expected++ || entry.kind() < 1 || entry.kind() > 3 ||
        entry.data().size() > kEntryBytesMax || entry.term() > in.term()) {
      return malformed("entry");
    }
    message.entries.push_back({.index = entry.index(),
                               .term = entry.term(),
                               .kind = static_cast<EntryKind>(entry.kind()),
                               .data = entry.data()});
  }
  return ok();
}

Status get_snapshot(const wire::WireSnapshot& in, Message& message) {
  if (in.index() == 0 || in.members_size() > kMembersMax || in.outgoing_size() > kMembersMax ||
      in.learners_next_size() > kMembersMax) {
    return malformed("snapshot");
  }
  SnapshotMark mark{.index = in.index(), .term = in.term(), .membership = {}, .fetched = false};
  for (const auto& member : in.members()) {
    mark.membership.members.push_back(get_member(member));
  }
  mark.membership.outgoing.insert(in.outgoing().begin(), in.outgoing().end());
  for (const auto& member : in.learners_next()) {
    mark.membership.learners_next.push_back(get_member(member));
  }
  mark.membership.auto_leave = in.auto_leave();
  message.snapshot = std::move(mark);
  return ok();
}

}  // namespace

std::string encode_message(const Message& message, std::string_view cluster) {
  wire::WireMessage out;
  out.set_type(static_cast<std::uint32_t>(message.type));
  out.set_to(message.to);
  out.set_from(message.from);
  out.set_term(message.term);
  out.set_log_term(message.log_term);
  out.set_index(message.index);
  out.set_commit(message.commit);
  for (const Entry& entry : message.entries) {
    wire::WireEntry& one = *out.add_entries();
    one.set_index(entry.index);
    one.set_term(entry.term);
    one.set_kind(static_cast<std::uint32_t>(entry.kind));
    one.set_data(entry.data);
  }
  out.set_reject(message.reject);
  out.set_reject_hint(message.reject_hint);
  out.set_forced(message.forced);
  out.set_awaits_state(message.awaits_state);
  out.set_context(message.context);
  out.set_cluster(std::string(cluster));
  if (message.snapshot) {
    wire::WireSnapshot& snapshot = *out.mutable_snapshot();
    snapshot.set_index(message.snapshot->index);
    snapshot.set_term(message.snapshot->term);
    const Membership& membership = message.snapshot->membership;
    for (const Member& member : membership.members) {
      put_member(*snapshot.add_members(), member);
    }
    for (const MemberId id : membership.outgoing) {
      snapshot.add_outgoing(id);
    }
    for (const Member& member : membership.learners_next) {
      put_member(*snapshot.add_learners_next(), member);
    }
    snapshot.set_auto_leave(membership.auto_leave);
  }
  return out.SerializeAsString();
}

Result<Message> decode_message(std::string_view bytes, std::string_view cluster) {
  wire::WireMessage in;
  if (!in.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return malformed("not a message");
  }
  if (in.cluster() != cluster) {
    return Error{Code::kPermissionDenied,
                 "a raft message of cluster '" + in.cluster() + "' reached '" +
                     std::string(cluster) + "'",
                 "WRONG_CLUSTER"};
  }
  if (in.type() < 1 || in.type() > 12 || in.from() == kNobody || in.term() == 0) {
    return malformed("type, sender or term");
  }
  Message message;
  message.type = static_cast<MessageType>(in.type());
  message.to = in.to();
  message.from = in.from();
  message.term = in.term();
  message.log_term = in.log_term();
  message.index = in.index();
  message.commit = in.commit();
  message.reject = in.reject();
  message.reject_hint = in.reject_hint();
  message.forced = in.forced();
  message.awaits_state = in.awaits_state();
  message.context = in.context();
  SKEP_TRY(get_entries(in, message));
  if (in.has_snapshot()) {
    SKEP_TRY(get_snapshot(in.snapshot(), message));
  }
  if ((message.type == MessageType::kSnapshot) != message.snapshot.has_value()) {
    return malformed("snapshot");
  }
  return message;
}

}  // namespace skep::raft
