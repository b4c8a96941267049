#include "core/agentctl/progress/progress.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/agentctl/text.h"
#include "core/model/defaults.h"
#include "core/model/names.h"
#include "core/model/task_state.h"
#include "core/model/validate.h"

namespace skep::ctl {
namespace {

using model::v1::Service;
using model::v1::Task;
using model::v1::UpdateStatus;

constexpr std::size_t kBarsMax = 20;  // above, only the overall line is drawn
constexpr std::size_t kBarWidth = 50;

int stage_of(model::TaskState state) {
  constexpr std::pair<model::TaskState, int> kOrder[] = {
      {model::v1::TASK_STATE_NEW, 1},       {model::v1::TASK_STATE_PENDING, 2},
      {model::v1::TASK_STATE_ASSIGNED, 3},  {model::v1::TASK_STATE_ACCEPTED, 4},
      {model::v1::TASK_STATE_PREPARING, 5}, {model::v1::TASK_STATE_READY, 6},
      {model::v1::TASK_STATE_STARTING, 7},  {model::v1::TASK_STATE_RUNNING, 9}};
  for (const auto& [known, stage] : kOrder) {
    if (known == state) {
      return stage;
    }
  }
  return 0;
}

// As the managers see it: a task of an older version that asks for the same is not replaced.
bool is_up_to_date(const Service& service, const Task& task) {
  if (task.spec_version() == service.spec_version()) {
    return true;
  }
  const auto host_ports = [](const auto& ports) {
    std::string bytes;
    for (const auto& port : ports) {
      bytes += port.mode() == model::v1::PublishedPort::HOST ? port.SerializeAsString() : "";
    }
    return bytes;
  };
  return model::is_current_version(service, task) &&
         (task.status().state() == model::v1::TASK_STATE_NEW ||
          host_ports(task.ports()) == host_ports(service.spec().endpoint().ports()));
}

std::string slot_key(const Task& task) {
  return task.slot() != 0 ? std::to_string(task.slot()) : task.node_id();
}

// What one slot shows: its wanted task of the newest specification, and the latest error.
struct Slot {
  const Task* current = nullptr;
  const Task* newest = nullptr;
};

bool newer(const Task& a, const Task* b) {
  return b == nullptr || a.meta().created_at() > b->meta().created_at() ||
         (a.meta().created_at() == b->meta().created_at() &&
          a.meta().version() > b->meta().version());
}

std::string error_of(const Slot& slot) {
  const std::string own = slot.current != nullptr ? slot.current->status().error() : "";
  return !own.empty() || slot.newest == nullptr ||
                 (slot.current != nullptr && stage_of(slot.current->status().state()) == 9)
             ? own
             : slot.newest->status().error();
}

}  // namespace

ProgressView ServiceProgress::count_job(const Service& service,
                                        const std::vector<Task>& tasks) const {
  std::uint64_t complete = 0;
  std::string error;
  for (const Task& task : tasks) {
    complete += task.status().state() == model::v1::TASK_STATE_COMPLETE ? 1 : 0;
    error = task.status().error().empty() ? error : task.status().error();
  }
  const std::uint64_t total = service.spec().has_replicated_job()
                                  ? service.spec().replicated_job().total_completions()
                                  : tasks.size();
  ProgressView view{.overall = fmt::format("job progress: {} out of {} complete", complete, total)};
  if (!error.empty()) {
    view.slots.push_back({"job", "running", 0, error});
  }
  if (complete >= total && total > 0) {
    view.outcome = ok();
  }
  return view;
}

ProgressView ServiceProgress::count(const Service& service, const std::vector<Task>& tasks,
                                    bool& converged) const {
  std::map<std::string, Slot, decltype(&model::natural_less)> slots(&model::natural_less);
  const bool replicated = service.spec().has_replicated();
  const std::uint64_t replicas = service.spec().replicated().replicas();
  for (std::uint64_t i = 1; replicated && i <= std::min<std::uint64_t>(replicas, 10'000); ++i) {
    slots[std::to_string(i)];
  }
  std::size_t unwanted = 0;
  std::vector<std::string> extra;
  for (const Task& task : tasks) {
    const bool wanted = task.desired_state() <= model::v1::TASK_STATE_RUNNING;
    const bool up_to_date = is_up_to_date(service, task);
    if (!up_to_date) {
      unwanted += wanted ? 1 : 0;
      continue;
    }
    Slot& slot = slots[slot_key(task)];
    slot.newest = newer(task, slot.newest) ? &task : slot.newest;
    slot.current = wanted && newer(task, slot.current) ? &task : slot.current;
  }
  // Slots are numbers the managers choose: any `replicas` of them will do.
  for (auto it = slots.begin(); it != slots.end();) {
    it = it->second.current == nullptr && (!replicated || slots.size() > replicas) ? slots.erase(it)
                                                                                   : std::next(it);
  }
  const std::uint64_t total = replicated ? replicas : slots.size();
  ProgressView view;
  std::uint64_t running = 0;
  std::size_t number = 0;
  for (const auto& [key, slot] : slots) {
    const model::TaskState state =
        slot.current != nullptr ? slot.current->status().state() : model::v1::TASK_STATE_NEW;
    running += slot.current != nullptr && state == model::v1::TASK_STATE_RUNNING ? 1 : 0;
    view.slots.push_back({replicated ? fmt::format("{}/{}", ++number, total) : key.substr(0, 12),
                          slot.current != nullptr ? std::string(model::task_state_name(state)) : "",
                          slot.current != nullptr ? stage_of(state) : 0, error_of(slot)});
  }
  view.overall =
      fmt::format("overall progress: {} out of {} tasks", std::min(running, total), total);
  converged =
      running == total && slots.size() <= total && unwanted == 0 && (replicated || total > 0);
  return view;
}

ProgressView ServiceProgress::update(const Service& service, const std::vector<Task>& tasks,
                                     TimePoint now) {
  if (service.spec().has_replicated_job() || service.spec().has_global_job()) {
    return count_job(service, tasks);
  }
  bool converged = false;
  ProgressView view = count(service, tasks, converged);
  const UpdateStatus& status = service.update_status();
  const bool back = status.state() == UpdateStatus::ROLLBACK_STARTED ||
                    status.state() == UpdateStatus::ROLLBACK_COMPLETED;
  if (back && !rolling_back_ && (earlier_ == 0 || status.started_at() != earlier_)) {
    saw_rollback_ = true;
    view.note = fmt::format("rollback: {}", status.message());
  }
  if (status.state() == UpdateStatus::PAUSED || status.state() == UpdateStatus::ROLLBACK_PAUSED) {
    view.outcome =
        Error{Code::kFailedPrecondition,
              fmt::format("service {} paused: {}\n  look with 'agentctl service ps {}', then "
                          "update it again or go "
                          "back with 'agentctl service rollback {}'",
                          status.state() == UpdateStatus::PAUSED ? "update" : "rollback",
                          status.message(), service.spec().name(), service.spec().name()),
              "UPDATE_PAUSED"};
    return view;
  }
  converged = converged && status.state() != UpdateStatus::ROLLBACK_STARTED;
  if (!converged) {
    converged_at_.reset();
    return view;
  }
  converged_at_ = converged_at_.value_or(now);
  const Duration monitor = model::update_monitor(back ? model::effective_rollback(service.spec())
                                                      : model::effective_update(service.spec()));
  const Duration left = monitor - (now - *converged_at_);
  const bool nothing_runs =
      service.spec().has_replicated() && service.spec().replicated().replicas() == 0;
  if (left.count() > 0 && !nothing_runs) {
    const auto seconds = (left + std::chrono::milliseconds(999)) / std::chrono::seconds(1);
    view.verify = fmt::format("verify: Waiting {} second{} to verify that tasks are stable...",
                              seconds, seconds == 1 ? "" : "s");
    return view;
  }
  view.verify = fmt::format("verify: Service {} converged", service.spec().name());
  view.outcome =
      saw_rollback_
          ? Status(Error{Code::kFailedPrecondition,
                         fmt::format("service rolled back: {}", status.message()), "ROLLED_BACK"})
          : ok();
  return view;
}

std::string ProgressPrinter::show(const ProgressView& view) {
  return terminal_ ? draw(view) : lines(view);
}

std::string ProgressPrinter::draw(const ProgressView& view) {
  std::vector<std::string> block{view.overall};
  if (!view.note.empty()) {
    block.push_back(view.note);
  }
  for (const SlotLine& slot : view.slots) {
    if (view.slots.size() > kBarsMax) {
      break;
    }
    const std::size_t done =
        kBarWidth * static_cast<std::size_t>(slot.stage) / static_cast<std::size_t>(kStages);
    std::string bar = slot.stage > 0 ? std::string(done > 0 ? done - 1 : 0, '=') + ">" : "";
    bar.resize(kBarWidth, ' ');
    block.push_back(slot.error.empty() ? fmt::format("{}: {:<10}[{}]", slot.label, slot.state, bar)
                                       : fmt::format("{}: {}", slot.label, slot.error));
  }
  if (!view.verify.empty()) {
    block.push_back(view.verify);
  }
  std::string out = drawn_ > 0 ? fmt::format("\x1b[{}A", drawn_) : "";
  for (const std::string& line : block) {
    out += "\r" + ellipsis(line, columns_ > 1 ? columns_ - 1 : 1) + "\x1b[K\n";
  }
  drawn_ = block.size();
  return out + "\x1b[J";
}

std::string ProgressPrinter::lines(const ProgressView& view) {
  std::string out;
  if (view.overall != shown_.overall) {
    out += view.overall + "\n";
  }
  if (view.note != shown_.note && !view.note.empty()) {
    out += view.note + "\n";
  }
  for (const SlotLine& slot : view.slots) {
    std::string& known = errors_[slot.label];
    if (!slot.error.empty() && slot.error != known) {
      out += fmt::format("{}: {}\n", slot.label, slot.error);
      known = slot.error;
    }
  }
  // The countdown is one line; it starts again when a task failed meanwhile.
  if (view.verify != shown_.verify && !view.verify.empty() &&
      (shown_.verify.empty() || view.outcome)) {
    out += view.verify + "\n";
  }
  shown_ = view;
  return out;
}

}  // namespace skep::ctl
