#include "plugins/consensus/raft/read_barriers.h"

#include <algorithm>

namespace skep::raft {

void ReadBarriers::add(Message request, Index commit, MemberId self) {
  const bool known = std::any_of(waiting_.begin(), waiting_.end(), [&](const Waiting& one) {
    return one.request.context == request.context;
  });
  if (!known) {
    waiting_.push_back({std::move(request), commit, {self}});
  }
}

const std::set<MemberId>* ReadBarriers::acknowledge(MemberId from, const std::string& context) {
  for (Waiting& one : waiting_) {
    if (one.request.context == context) {
      one.acknowledged.insert(from);
      return &one.acknowledged;
    }
  }
  return nullptr;
}

std::vector<ReadBarriers::Waiting> ReadBarriers::confirm(const std::string& context) {
  const auto found = std::find_if(waiting_.begin(), waiting_.end(), [&](const Waiting& one) {
    return one.request.context == context;
  });
  if (found == waiting_.end()) {
    return {};
  }
  std::vector<Waiting> released(std::make_move_iterator(waiting_.begin()),
                                std::make_move_iterator(found + 1));
  waiting_.erase(waiting_.begin(), found + 1);
  return released;
}

}  // namespace skep::raft
