#include "tests/linearizability/linearizability.h"

#include <algorithm>
#include <map>
#include <optional>
#include <tuple>
#include <unordered_set>
#include <utility>

namespace skep::lin {
namespace {

using Value = std::uint32_t;  // 0: absent
using Bits = std::vector<std::uint64_t>;

struct Step {
  const Operation* operation = nullptr;
  Value expected = 0;
  Value value = 0;
  std::optional<std::size_t> twin = {};  // of unknown outcome: the same called before, which may take its place

  [[nodiscard]] bool is_unknown() const { return operation->returned == kNever; }
  [[nodiscard]] auto effect() const { return std::tuple(operation->kind, expected, value); }
};

/// The value after the operation; nullopt: it cannot happen at `now`. One of unknown outcome may have been refused,
/// but that explains nothing.
std::optional<Value> apply(const Step& step, Value now) {
  switch (step.operation->kind) {
    case Kind::kRead:
      return now == step.value ? std::optional(now) : std::nullopt;
    case Kind::kCreate:
      return now == 0 ? std::optional(step.value) : std::nullopt;
    case Kind::kUpdate:
      return now != 0 && now == step.expected ? std::optional(step.value) : std::nullopt;
    case Kind::kRemove:
      return now != 0 ? std::optional(Value{0}) : std::nullopt;
  }
  return std::nullopt;
}

/// Calls and returns in the order of time, as a list from which a pair is taken out and put back.
struct Event {
  std::size_t step = 0;
  bool is_call = false;
  Event* match = nullptr;  // of a call: its return
  Event* previous = nullptr;
  Event* next = nullptr;
};

struct Seen {
  Bits done;
  Value value;
  bool operator==(const Seen&) const = default;
};
struct SeenHash {
  std::size_t operator()(const Seen& seen) const {
    std::uint64_t hash = seen.value;
    for (const std::uint64_t word : seen.done) {
      hash = (hash ^ word) * 0xd6e8feb86659fd93ULL;
      hash ^= hash >> 32U;
    }
    return static_cast<std::size_t>(hash);
  }
};

class Search {
 public:
  Search(std::vector<Step> steps, std::size_t steps_max)
      : steps_(std::move(steps)), done_((steps_.size() + 63) / 64), left_(steps_max) {
    make_events();
  }
  Verdict run();

 private:
  struct Taken {
    Event* call;
    Value before;
  };
  void make_events();
  static void take_out(Event& call);
  static void put_back(Event& call);
  [[nodiscard]] bool is_done(std::size_t step) const { return (done_[step / 64] >> (step % 64) & 1U) != 0; }
  [[nodiscard]] bool fits(const Step& step) const { return !step.twin || is_done(*step.twin); }
  [[nodiscard]] Verdict failed(bool gave_up) const;

  std::vector<Step> steps_;
  std::vector<Event> events_;
  Event head_;
  Bits done_;
  std::size_t left_;
  std::size_t used_ = 0;
  std::vector<std::size_t> longest_;
  std::size_t stuck_at_ = 0;
};

void Search::make_events() {
  struct Moment {
    std::int64_t time;
    bool is_call;
    std::size_t step;
  };
  std::vector<Moment> moments;
  for (std::size_t i = 0; i < steps_.size(); ++i) {
    moments.push_back({steps_[i].operation->called, true, i});
    moments.push_back({steps_[i].operation->returned, false, i});
  }
  // At one instant calls come first: what touches counts as overlapping.
  std::sort(moments.begin(), moments.end(), [](const Moment& a, const Moment& b) {
    return std::tuple(a.time, !a.is_call, a.step) < std::tuple(b.time, !b.is_call, b.step);
  });
  // Of calls between two returns those are tried first whose outcome is known.
  const auto is_call = [](const Moment& moment) { return moment.is_call; };
  for (auto run = moments.begin(); run != moments.end();) {
    const auto end = std::find_if_not(run, moments.end(), is_call);
    std::stable_partition(run, end, [&](const Moment& moment) { return !steps_[moment.step].is_unknown(); });
    run = std::find_if(end, moments.end(), is_call);
  }
  events_.resize(moments.size());
  std::vector<Event*> call_of(steps_.size());
  Event* last = &head_;
  for (std::size_t i = 0; i < moments.size(); ++i) {
    Event& event = events_[i];
    event.step = moments[i].step;
    event.is_call = moments[i].is_call;
    event.previous = last;
    last->next = &event;
    last = &event;
    if (event.is_call) {
      call_of[event.step] = &event;
    } else {
      call_of[event.step]->match = &event;
    }
  }
}

void Search::take_out(Event& call) {
  call.previous->next = call.next;
  call.next->previous = call.previous;  // its return at least is behind it
  Event& end = *call.match;
  end.previous->next = end.next;
  if (end.next != nullptr) {
    end.next->previous = end.previous;
  }
}

void Search::put_back(Event& call) {
  Event& end = *call.match;
  end.previous->next = &end;
  if (end.next != nullptr) {
    end.next->previous = &end;
  }
  call.previous->next = &call;
  call.next->previous = &call;
}

Verdict Search::failed(bool gave_up) const {
  Verdict verdict;
  verdict.linearizable = false;
  verdict.gave_up = gave_up;
  verdict.steps = used_;
  for (const std::size_t step : longest_) {
    verdict.why += describe(*steps_[step].operation) + "\n";
  }
  verdict.why += "then does not fit: " + describe(*steps_[stuck_at_].operation);
  return verdict;
}

Verdict Search::run() {
  std::vector<Taken> taken;
  std::unordered_set<Seen, SeenHash> seen;
  Value now = 0;
  Event* event = head_.next;
  while (head_.next != nullptr) {
    if (++used_ > left_) {
      return failed(/*gave_up=*/true);
    }
    const Step& step = steps_[event->step];
    if (!event->is_call && step.is_unknown()) {
      break;  // Only such ones are left, and all of them may have been refused.
    }
    if (event->is_call) {
      if (const auto after = fits(step) ? apply(step, now) : std::nullopt) {
        done_[event->step / 64] |= std::uint64_t{1} << (event->step % 64);
        if (seen.insert({done_, *after}).second) {
          taken.push_back({event, now});
          now = *after;
          take_out(*event);
          event = head_.next;
          continue;
        }
        done_[event->step / 64] &= ~(std::uint64_t{1} << (event->step % 64));
      }
      event = event->next;
      continue;
    }
    // An operation returned that nothing tried so far could place: go back.
    if (taken.size() >= longest_.size()) {
      longest_.clear();
      for (const Taken& one : taken) {
        longest_.push_back(one.call->step);
      }
      stuck_at_ = event->step;
    }
    if (taken.empty()) {
      return failed(/*gave_up=*/false);
    }
    event = taken.back().call;
    now = taken.back().before;
    taken.pop_back();
    done_[event->step / 64] &= ~(std::uint64_t{1} << (event->step % 64));
    put_back(*event);
    event = event->next;
  }
  Verdict verdict;
  verdict.steps = used_;
  return verdict;
}

/// Numbers of the values. Those that nothing depends on have one together: who wrote which of them is all the same.
std::map<std::string, Value> number_values(const std::vector<const Operation*>& operations) {
  std::map<std::string, Value> numbers{{"", 0}};
  for (const Operation* operation : operations) {
    const std::string& seen = operation->kind == Kind::kRead ? operation->value : operation->expected;
    numbers.try_emplace(seen, static_cast<Value>(numbers.size()));
  }
  const auto unseen = static_cast<Value>(numbers.size());
  for (const Operation* operation : operations) {
    numbers.try_emplace(operation->value, unseen);
  }
  return numbers;
}

/// Of two operations of unknown outcome with the same effect the later one need not be tried before the earlier one.
void find_twins(std::vector<Step>& steps) {
  std::map<decltype(std::declval<Step>().effect()), std::vector<std::size_t>> alike;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    if (steps[i].is_unknown()) {
      alike[steps[i].effect()].push_back(i);
    }
  }
  for (auto& [effect, same] : alike) {
    std::sort(same.begin(), same.end(), [&](std::size_t a, std::size_t b) {
      return std::pair(steps[a].operation->called, a) < std::pair(steps[b].operation->called, b);
    });
    for (std::size_t i = 1; i < same.size(); ++i) {
      steps[same[i]].twin = same[i - 1];
    }
  }
}

Verdict check_key(const std::vector<const Operation*>& operations, std::size_t steps_max) {
  const auto numbers = number_values(operations);
  std::vector<Step> steps;
  for (const Operation* operation : operations) {
    if (operation->kind == Kind::kRead && operation->returned == kNever) {
      continue;  // It says nothing.
    }
    steps.push_back({operation, numbers.at(operation->expected), numbers.at(operation->value)});
  }
  find_twins(steps);
  return steps.empty() ? Verdict() : Search(std::move(steps), steps_max).run();
}

}  // namespace

std::string describe(const Operation& operation) {
  static constexpr const char* kNames[] = {"read", "create", "update", "remove"};
  std::string text = "client " + std::to_string(operation.client) + " " +
                     kNames[static_cast<std::size_t>(operation.kind)] + " " + operation.key;
  if (operation.kind == Kind::kUpdate) {
    text += " '" + operation.expected + "' ->";
  }
  if (operation.kind != Kind::kRemove) {
    text += " '" + operation.value + "'";
  }
  return text + " [" + std::to_string(operation.called) + ", " +
         (operation.returned == kNever ? "?" : std::to_string(operation.returned)) + "]";
}

Verdict check(const std::vector<Operation>& history, std::size_t steps_max) {
  std::map<std::string, std::vector<const Operation*>> by_key;
  for (const Operation& operation : history) {
    by_key[operation.key].push_back(&operation);
  }
  Verdict whole;
  for (const auto& [key, operations] : by_key) {
    Verdict verdict = check_key(operations, steps_max);
    whole.steps += verdict.steps;
    if (!verdict.linearizable) {
      verdict.key = key;
      verdict.steps = whole.steps;
      return verdict;
    }
  }
  return whole;
}

}  // namespace skep::lin
