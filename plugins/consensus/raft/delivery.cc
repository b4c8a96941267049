#include "plugins/consensus/raft/delivery.h"

#include <algorithm>

namespace skep::raft {

void DeliveryWindow::restart(Index applied) {
  acknowledged_ = applied;
  next_ = applied + 1;
  in_flight_ = 0;
  failures_ = 0;
  ++round_;
  waiting_ = false;
}

DeliveryWindow::Ticket DeliveryWindow::sent(Index last) {
  ensure(last >= next_, "a batch has at least one entry");
  next_ = last + 1;
  ++in_flight_;
  return {round_, last};
}

DeliveryWindow::Then DeliveryWindow::start_again() {
  next_ = acknowledged_ + 1;
  in_flight_ = 0;
  ++round_;
  ++failures_;
  waiting_ = true;
  return Then::kRetryLater;
}

DeliveryWindow::Then DeliveryWindow::on_answer(const Ticket& ticket, Index applied) {
  if (ticket.round != round_) {
    return Then::kGoOn;  // Sent before a restart: what it says may be about another incarnation.
  }
  // Never beyond what was sent, whatever the core claims.
  acknowledged_ = std::max(acknowledged_, std::min(applied, next_ - 1));
  --in_flight_;
  if (acknowledged_ < ticket.last) {
    return start_again();
  }
  failures_ = 0;
  return Then::kGoOn;
}

DeliveryWindow::Then DeliveryWindow::on_failure(const Ticket& ticket) {
  return ticket.round == round_ ? start_again() : Then::kGoOn;
}

}  // namespace skep::raft
