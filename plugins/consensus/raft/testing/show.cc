#include "plugins/consensus/raft/testing/show.h"

#include <sstream>

#include "plugins/consensus/raft/membership.h"

namespace skep::raft {

std::string show(const Entry& entry) {
  std::string text = std::to_string(entry.term) + "/" + std::to_string(entry.index);
  if (entry.kind == EntryKind::kNoop) {
    return text + " no-op";
  }
  if (entry.kind == EntryKind::kNormal) {
    return text + " \"" + entry.data + "\"";
  }
  const auto change = decode_config_change(entry.data);
  text += " change";
  for (const MemberStep& step : change->steps) {
    text += (step.kind == MemberStep::Kind::kRemove ? " remove "
             : step.member.learner                  ? " learner "
                                                    : " add ") +
            std::to_string(step.member.id);
  }
  return change->steps.empty() ? text + " leave-joint" : text;
}

std::string show(const Membership& members) {
  std::string text = "voters";
  for (const MemberId id : members.voters()) {
    text += " " + std::to_string(id);
  }
  for (const Member& member : members.members) {
    text += member.learner ? " learner " + std::to_string(member.id) : "";
  }
  if (!members.outgoing.empty()) {
    text += " outgoing";
    for (const MemberId id : members.outgoing) {
      text += " " + std::to_string(id);
    }
  }
  for (const Member& member : members.learners_next) {
    text += " learner-next " + std::to_string(member.id);
  }
  return text;
}

std::string show(const Message& m) {
  std::ostringstream out;
  out << m.from << "->" << m.to << " " << message_name(m.type) << " term " << m.term;
  if (m.type == MessageType::kAppend || m.type == MessageType::kVote ||
      m.type == MessageType::kPreVote) {
    out << " at " << m.log_term << "/" << m.index;
  } else if (m.type == MessageType::kAppendReply || m.type == MessageType::kReadIndexReply) {
    out << " index " << m.index;
  }
  if (m.commit != 0) {
    out << " commit " << m.commit;
  }
  if (m.reject) {
    out << " rejected";
    if (m.type == MessageType::kAppendReply) {
      out << " hint " << m.log_term << "/" << m.reject_hint;
    }
  }
  out << (m.forced ? " forced" : "") << (m.context.empty() ? "" : " context " + m.context);
  for (const Entry& entry : m.entries) {
    out << " [" << show(entry) << "]";
  }
  if (m.snapshot) {
    out << " snapshot " << m.snapshot->term << "/" << m.snapshot->index << " "
        << show(m.snapshot->membership);
  }
  return out.str();
}

}  // namespace skep::raft
