#include "skep/posix_env.h"

namespace skep {
namespace {
constexpr std::size_t kJobsWaitingMax = 1024;
}

WorkerPool::WorkerPool(Loop& loop, std::size_t threads)
    : loop_(loop), threads_max_(threads == 0 ? 1 : threads) {}

WorkerPool::~WorkerPool() { stop(); }

Status WorkerPool::run(std::function<void()> work, std::function<void()> done) {
  const std::lock_guard lock(mutex_);
  if (stopping_) {
    return Error{Code::kCancelled, "the worker pool is stopping"};
  }
  if (jobs_.size() >= kJobsWaitingMax) {
    return Error{Code::kResourceExhausted, "too much work is waiting; try again later"};
  }
  jobs_.push_back({std::move(work), std::move(done)});
  if (idle_ < jobs_.size() && threads_.size() < threads_max_) {
    threads_.emplace_back([this] { thread_main(); });
  }
  wake_.notify_one();
  return ok();
}

void WorkerPool::stop() {
  std::vector<std::thread> threads;
  std::deque<Job> dropped;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    threads.swap(threads_);
    dropped.swap(jobs_);
  }
  wake_.notify_all();
  for (std::thread& thread : threads) {
    thread.join();
  }
}

void WorkerPool::thread_main() {
  std::unique_lock lock(mutex_);
  for (;;) {
    ++idle_;
    wake_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
    --idle_;
    if (stopping_) {
      return;
    }
    Job job = std::move(jobs_.front());
    jobs_.pop_front();
    lock.unlock();
    job.work();
    job.work = nullptr;
    loop_.post(std::move(job.done));
    job.done = nullptr;
    lock.lock();
  }
}

}  // namespace skep
