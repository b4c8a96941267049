#include "core/control/leader_proof.h"

#include <utility>

#include "core/control/managers/forwarder.h"

namespace skep::control {

void LeaderProof::ask(Then then) {
  if (asked_.size() + next_.size() >= kWaitingMax) {
    return then(Error{Code::kResourceExhausted, "too many requests wait until this manager is sure that it leads",
                      "TOO_MANY_WAITING"});
  }
  next_.push_back(std::move(then));
  begin();
}

void LeaderProof::begin() {
  if (turn_ != nullptr || next_.empty()) {
    return;
  }
  asked_.swap(next_);
  turn_ = std::make_shared<char>();
  read_barrier_([this, turn = std::weak_ptr<char>(turn_)](const Status& status) {
    if (turn.expired()) {
      return;
    }
    turn_.reset();
    const auto asked = std::exchange(asked_, {});
    begin();
    for (const Then& then : asked) {
      then(status ? ok() : Status(not_leader_error()));
    }
  });
}

void LeaderProof::lost() {
  turn_.reset();
  auto waiting = std::exchange(asked_, {});
  for (Then& then : std::exchange(next_, {})) {
    waiting.push_back(std::move(then));
  }
  for (const Then& then : waiting) {
    then(not_leader_error());
  }
}

}  // namespace skep::control
