#include <cstring>

#include "skep/testing/manual_env.h"

namespace skep::testing {

void ManualLoop::post(std::function<void()> work) { run_after(Duration{0}, std::move(work)); }

TimerId ManualLoop::run_after(Duration delay, std::function<void()> work) {
  const TimerId id = next_id_++;
  const TimePoint due = now_ + std::max(delay, Duration{0});
  events_.emplace(std::pair{due, id}, Event{id, std::move(work)});
  due_.emplace(id, due);
  return id;
}

void ManualLoop::cancel_timer(TimerId id) {
  const auto it = due_.find(id);
  if (it != due_.end()) {
    events_.erase({it->second, id});
    due_.erase(it);
  }
}

WatchId ManualLoop::watch_readable(int, std::function<void()>) { SKEP_UNREACHABLE(); }
WatchId ManualLoop::watch_writable(int, std::function<void()>) { SKEP_UNREACHABLE(); }
void ManualLoop::unwatch(WatchId) {}

bool ManualLoop::step() {
  if (events_.empty()) {
    return false;
  }
  const auto it = events_.begin();
  now_ = it->first.first;
  auto work = std::move(it->second.work);
  due_.erase(it->second.id);
  events_.erase(it);
  work();
  return true;
}

void ManualLoop::run_ready() {
  for (std::uint64_t steps = 0; !events_.empty() && events_.begin()->first.first <= now_; ++steps) {
    SKEP_ASSERT(steps < 10'000'000, "events at one instant end (a live-lock?)");
    step();
  }
}

void ManualLoop::advance(Duration by) {
  const TimePoint end = now_ + by;
  run_ready();
  while (!events_.empty() && events_.begin()->first.first <= end) {
    step();
    run_ready();
  }
  now_ = end;
}

bool ManualLoop::run_until(const std::function<bool()>& done, Duration limit) {
  const TimePoint end = now_ + limit;
  run_ready();
  while (!done()) {
    if (events_.empty() || events_.begin()->first.first > end) {
      now_ = std::max(now_, end);
      return false;
    }
    step();
  }
  return true;
}

void ManualLoop::clear() {
  auto events = std::move(events_);
  events_.clear();
  due_.clear();
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
