#include "script_world.h"

#include <algorithm>
#include <sstream>
#include <stdexcept>

#include "core/control/orchestrator/update.h"
#include "core/control/standard_loops.h"
#include "core/model/ids.h"
#include "core/model/names.h"
#include "core/model/task_state.h"
#include "core/model/task_status.h"
#include "core/model/units.h"
#include "core/model/validate.h"

namespace skep::control::testing {

namespace {

[[noreturn]] void fail(const std::string& message) {
  throw std::runtime_error(message);
}

template <class T>
T must(Result<T> result) {
  if (!result) {
    fail(result.error().message);
  }
  return *std::move(result);
}


std::int64_t duration_ns(const std::string& text) {
  return must(model::parse_duration(text)).count();
}

}  // namespace

/// Commits at once and answers from the loop, as the consensus client does.
class ScriptWorld::DirectProposer final : public store::Proposer {
 public:
  explicit DirectProposer(ScriptWorld& world) : world_(world) {}
  void propose(store::Transaction transaction, store::OnCommitted done) override {
    const auto bytes = transaction.encode("test:1", world_.env_.loop.wall_now());
    auto answer = bytes ? Result<std::uint64_t>(0) : Result<std::uint64_t>(bytes.error());
    if (bytes) {
      const std::uint64_t index = world_.store_.applied_index() + 1;
      const auto applied = must(world_.store_.apply(index, 1, *bytes));
      answer = applied.outcome == store::Outcome::kApplied
                   ? Result<std::uint64_t>(index)
                   : Result<std::uint64_t>(Error{Code::kConflict, applied.message});
    }
    world_.env_.loop.post([done = std::move(done), answer] { done(answer); });
  }

 private:
  ScriptWorld& world_;
};

ScriptWorld::ScriptWorld() : proposer_(std::make_unique<DirectProposer>(*this)) {
  pb::Cluster cluster;
  cluster.set_id("cluster");
  cluster.mutable_spec()->set_task_history_limit(5);
  store::Transaction transaction;
  transaction.put(cluster);
  commit(std::move(transaction));
  store_.subscribe([this](const store::Commit& done) {
    tell(done);
    for (const auto& loop : loops_) {
      loop->on_commit(done);
    }
  });
  lead();
}

ScriptWorld::~ScriptWorld() {
  for (const auto& loop : loops_) {
    loop->stop();
  }
  loops_.clear();
}

void ScriptWorld::lead() {
  for (const auto& loop : loops_) {
    loop->stop();
  }
  loops_.clear();
  for (const MakeLoop& make : standard_loops()) {
    loops_.push_back(make({env_.env, store_.view(), *proposer_}));
    loops_.back()->start();
  }
}

void ScriptWorld::commit(store::Transaction transaction) {
  const std::string bytes = must(transaction.encode("script:1", env_.loop.wall_now()));
  silent_ = true;
  const auto applied = must(store_.apply(store_.applied_index() + 1, 1, bytes));
  silent_ = false;
  if (applied.outcome != store::Outcome::kApplied) {
    fail(applied.message);
  }
}

void ScriptWorld::settle() {
  do {
    env_.loop.advance(std::chrono::milliseconds(300));  // Debounces; shorter than any policy.
  } while (auto_nodes_ && act_as_nodes());
}

bool ScriptWorld::act_as_nodes() {
  bool acted = false;
  for (const auto& [id, task] : store_.view().all<pb::Task>()) {
    const auto node = store_.view().get<pb::Node>(task->node_id());
    if (node == nullptr || node->status().state() != pb::NODE_STATE_READY ||
        task->status().state() < pb::TASK_STATE_ASSIGNED || !model::is_alive(*task)) {
      continue;
    }
    pb::TaskStatus status;
    status.set_timestamp(env_.loop.wall_now());
    if (task->desired_state() >= pb::TASK_STATE_SHUTDOWN) {
      status.set_state(pb::TASK_STATE_SHUTDOWN);
    } else if (task->desired_state() >= pb::TASK_STATE_RUNNING) {
      status.set_state(pb::TASK_STATE_RUNNING);
    } else {
      status.set_state(pb::TASK_STATE_READY);
    }
    if (status.state() > task->status().state()) {
      pb::Task changed = *task;
      model::apply_status(changed, status);
      store::Transaction transaction;
      transaction.put(std::move(changed));
      commit(std::move(transaction));
      return true;  // The tables changed under the loop.
    }
  }
  return acted;
}

std::string ScriptWorld::task_name(const pb::Task& task) {
  const auto known = names_.find(task.id());
  if (known != names_.end()) {
    return known->second;
  }
  const std::string slot =
      task.service_name() + "." + (task.slot() != 0 ? std::to_string(task.slot()) : task.node_id());
  const int incarnation = ++incarnations_[slot];
  return names_[task.id()] = slot + (incarnation > 1 ? "#" + std::to_string(incarnation) : "");
}

std::string ScriptWorld::describe_task(const pb::Task* before, const pb::Task* after) {
  if (after == nullptr) {
    return "removed " + task_name(*before);
  }
  const std::string name = task_name(*after);
  if (before == nullptr) {
    std::string line = "create " + name + " " + after->spec().container().image();
    if (after->desired_state() == pb::TASK_STATE_READY) {
      const std::int64_t wait = after->start_not_before() == 0
                                    ? 0
                                    : after->start_not_before() - env_.loop.wall_now();
      line += wait > 0 ? " (waits " + model::print_duration(Duration(wait)) + ")" : " (prepares)";
    }
    return line;
  }
  if (before->desired_state() != after->desired_state()) {
    const pb::TaskState desired = after->desired_state();
    const std::string verb = desired >= pb::TASK_STATE_REMOVE     ? "forget "
                             : desired >= pb::TASK_STATE_SHUTDOWN ? "shutdown "
                                                                  : "start ";
    const bool reason = desired == pb::TASK_STATE_SHUTDOWN && !after->status().error().empty() &&
                        after->status().error() != before->status().error();
    return verb + name + (reason ? " \"" + after->status().error() + "\"" : "");
  }
  if (before->status().state() < pb::TASK_STATE_ASSIGNED &&
      after->status().state() == pb::TASK_STATE_ASSIGNED) {
    return "assign " + name + " to " + after->node_id();
  }
  if (before->status().error() != after->status().error()) {
    return "waits " + name + " \"" + after->status().error() + "\"";
  }
  return {};
}

std::string ScriptWorld::describe(const store::Event& event) {
  if (event.table == store::Table::kTask) {
    return describe_task(event.before_as<pb::Task>(), event.after_as<pb::Task>());
  }
  const auto* before = event.before_as<pb::Service>();
  const auto* after = event.after_as<pb::Service>();
  if (after == nullptr) {
    return {};
  }
  const auto& status = after->update_status();
  if (before == nullptr || before->update_status().state() != status.state()) {
    std::string message = status.message();
    for (const auto& [id, name] : names_) {
      if (const auto at = message.find(id); at != std::string::npos) {
        message.replace(at, id.size(), name);
      }
    }
    return "service " + after->spec().name() + " " +
           std::string(model::update_state_name(status.state())) + ": " + message;
  }
  if (before->endpoint().SerializeAsString() != after->endpoint().SerializeAsString()) {
    std::string line = "service " + after->spec().name() + " publishes";
    for (const auto& port : after->endpoint().ports()) {
      line += " " + std::to_string(port.published_port()) + ":" + std::to_string(port.target_port());
    }
    return line;
  }
  return {};
}

void ScriptWorld::tell(const store::Commit& commit) {
  std::vector<std::string> lines;
  // Names are given in order of slots, whatever the ids.
  std::vector<const store::Event*> events;
  for (const store::Event& event : commit.events) {
    events.push_back(&event);
  }
  std::stable_sort(events.begin(), events.end(), [](const auto* a, const auto* b) {
    const auto slot = [](const store::Event* event) {
      const auto* task = event->after_as<pb::Task>();
      return task == nullptr ? std::pair<std::uint64_t, std::string>()
                             : std::pair(task->slot(), task->node_id());
    };
    return slot(a) < slot(b);
  });
  for (const store::Event* event : events) {
    if (std::string line = describe(*event); !line.empty()) {
      lines.push_back(std::move(line));
    }
  }
  if (silent_) {
    return;
  }
  std::sort(lines.begin(), lines.end(),
            [](const auto& a, const auto& b) { return model::natural_less(a, b); });
  lines_.insert(lines_.end(), lines.begin(), lines.end());
}

pb::Task ScriptWorld::find_task(const std::string& name) const {
  for (const auto& [id, known] : names_) {
    if (known == name) {
      if (const auto task = store_.view().get<pb::Task>(id)) {
        return *task;
      }
    }
  }
  fail("no task '" + name + "'");
}

pb::Service ScriptWorld::find_service(const std::string& name) const {
  const auto service = store_.view().service_by_name(name);
  return service != nullptr ? *service : (fail("no service '" + name + "'"), pb::Service());
}

std::string ScriptWorld::run(const std::string& line) {
  lines_.clear();
  Words words;
  std::istringstream stream(line);
  for (std::string word; stream >> word;) {
    words.push_back(word);
  }
  try {
    const std::string& verb = words.at(0);
    if (verb == "node") {
      command_node(words);
    } else if (verb == "service") {
      command_service(words);
    } else if (verb == "update") {
      command_update(words);
    } else if (verb == "rollback") {
      command_rollback(words);
    } else if (verb == "report") {
      command_report(words, line);
    } else if (verb == "rm") {
      store::Transaction transaction;
      transaction.remove(find_service(words.at(1)));
      commit(std::move(transaction));
    } else if (verb == "rm-node") {
      const auto node = store_.view().get<pb::Node>(words.at(1));
      store::Transaction transaction;
      transaction.remove(*node);
      commit(std::move(transaction));
    } else if (verb == "advance") {
      env_.loop.advance(Duration(duration_ns(words.at(1))));
    } else if (verb == "auto") {
      auto_nodes_ = words.at(1) == "on";
    } else if (verb == "new-leader") {
      lead();
    } else {
      fail("unknown command '" + verb + "'");
    }
    settle();
  } catch (const std::exception& error) {
    return std::string("error: ") + error.what() + "\n";
  }
  std::string text;
  for (const std::string& told : lines_) {
    text += told + "\n";
  }
  return text;
}

}  // namespace skep::control::testing
