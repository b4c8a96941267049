#include "serial_queue.h"

namespace skep {
namespace {
constexpr std::size_t kWaitingMax = 1024;
}

void SerialQueue::submit(std::function<void()> work, std::function<void()> done,
                         std::function<void(Error)> refused) {
  if (jobs_.size() >= kWaitingMax) {
    return refused(Error{Code::kResourceExhausted,
                         std::to_string(kWaitingMax) + " calls wait for this driver already",
                         "DRIVER_BUSY"});
  }
  jobs_.push_back({std::move(work), std::move(done), std::move(refused)});
  if (!running_) {
    start_next();
  }
}

void SerialQueue::start_next() {
  while (!jobs_.empty()) {
    Job job = std::move(jobs_.front());
    jobs_.pop_front();
    running_ = true;
    auto status = workers_.run(std::move(job.work),
                               [self = shared_from_this(), done = std::move(job.done)] {
                                 self->running_ = false;
                                 done();
                                 if (!self->running_) {
                                   self->start_next();
                                 }
                               });
    if (status) {
      return;
    }
    running_ = false;
    job.refused(std::move(status).error());
  }
}

}  // namespace skep
