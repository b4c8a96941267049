#include <algorithm>
#include <cstring>
#include <functional>
#include <utility>

#include "skep/testing/manual_env.h"

namespace skep::testing {

void ManualLoop::post(std::function<void()> work) { run_after(Duration{0}, std::move(work)); }

TimerId ManualLoop::run_after(Duration delay, std::function<void()> work) {
  const TimerId id = next_id_++;
  heap_.emplace_back(now_ + std::max(delay, Duration{0}), id);
  std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
  work_.emplace(id, std::move(work));
  return id;
}

void ManualLoop::cancel_timer(TimerId id) { work_.erase(id); }

const ManualLoop::Due* ManualLoop::next() {
  while (!heap_.empty() && !work_.contains(heap_.front().second)) {
    std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
    heap_.pop_back();
  }
  return heap_.empty() ? nullptr : &heap_.front();
}

WatchId ManualLoop::watch_readable(int, std::function<void()>) { SKEP_UNREACHABLE(); }
WatchId ManualLoop::watch_writable(int, std::function<void()>) { SKEP_UNREACHABLE(); }
void ManualLoop::unwatch(WatchId) {}

bool ManualLoop::step() {
  const Due* due = next();
  if (due == nullptr) {
    return false;
  }
  now_ = due->first;
  const auto found = work_.find(due->second);
  const auto work = std::move(found->second);
  work_.erase(found);
  std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
  heap_.pop_back();
  work();
  return true;
}

void ManualLoop::run_ready() {
  const Due* due = next();
  for (std::uint64_t steps = 0; due != nullptr && due->first <= now_; ++steps, due = next()) {
    SKEP_ASSERT(steps < 10'000'000, "events at one instant end (a live-lock?)");
    step();
  }
}

void ManualLoop::advance(Duration by) {
  const TimePoint end = now_ + by;
  run_ready();
  for (const Due* due = next(); due != nullptr && due->first <= end; due = next()) {
    step();
    run_ready();
  }
  now_ = end;
}

bool ManualLoop::run_until(const std::function<bool()>& done, Duration limit) {
  const TimePoint end = now_ + limit;
  run_ready();
  while (!done()) {
    const Due* due = next();
    if (due == nullptr || due->first > end) {
      now_ = std::max(now_, end);
      return false;
    }
    step();
  }
  return true;
}

void ManualLoop::clear() {
  heap_.clear();
  const auto dropped = std::exchange(work_, {});  // what is destroyed may cancel timers
}

namespace {
std::uint64_t splitmix(std::uint64_t& state) {
  std::uint64_t z = (state += 0x9e3779b97f4a7c15ULL);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}
std::uint64_t rotate_left(std::uint64_t x, int k) { return (x << k) | (x >> (64 - k)); }
}  // namespace

SeededRandom::SeededRandom(std::uint64_t seed) {
  for (std::uint64_t& word : state_) {
    word = splitmix(seed);
  }
}

std::uint64_t SeededRandom::next() {
  const std::uint64_t result = rotate_left(state_[1] * 5, 7) * 9;
  const std::uint64_t t = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= t;
  state_[3] = rotate_left(state_[3], 45);
  return result;
}

std::string SeededRandom::bytes(std::size_t size) {
  std::string out;
  while (out.size() < size) {
    const std::uint64_t word = next();
    out.append(reinterpret_cast<const char*>(&word), std::min(sizeof(word), size - out.size()));
  }
  return out;
}

Status InlineWorkers::run(std::function<void()> work, std::function<void()> done) {
  work();
  loop_.run_after(delay, std::move(done));
  return ok();
}

Result<ProcessResult> FakeSubprocess::run(const ProcessSpec& spec, Duration) {
  if (!on_run) {
    return Error{Code::kNotFound, "start program '" + spec.argv[0] + "': no such program here"};
  }
  return on_run(spec);
}

Result<Subprocess::Child> FakeSubprocess::start(const ProcessSpec& spec) {
  return Error{Code::kUnimplemented, "start program '" + spec.argv[0] + "': nothing starts here"};
}

}  // namespace skep::testing
