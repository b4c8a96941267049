#include "core/control/dispatcher/assignment_set.h"

#include <functional>
#include <utility>

#include "core/model/task_state.h"
#include "core/model/validate_task.h"

namespace skep::control {
namespace {

using model::v1::Task;

/// A task concerns its node from the moment it is assigned until it is gone from the store: what is
/// to be stopped or removed stays until the node reported it.
bool concerns_node(const Task& task, const std::string& node_id) {
  return task.node_id() == node_id && task.status().state() >= model::v1::TASK_STATE_ASSIGNED;
}

/// Hash of all but what the node itself reports: a change of only that needs no message.
std::uint64_t hash_for_node(const Task& task) {
  Task stable = task;
  stable.clear_meta();
  stable.clear_status();
  return std::hash<std::string>()(model::deterministic_bytes(stable));
}

template <class References>
void note_users(std::map<std::string, std::set<std::string>>& users, const References& references,
                const Task& task) {
  for (const auto& reference : references) {
    users[reference.id()].insert(task.id());
  }
}

void forget_user(std::map<std::string, std::set<std::string>>& users, const std::string& task_id) {
  for (auto it = users.begin(); it != users.end();) {
    it->second.erase(task_id);
    it = it->second.empty() ? users.erase(it) : std::next(it);
  }
}

using Message = dispatch::v1::AssignmentsMessage;

/// Adds `message` to `out`, in fragments when it holds one object that is larger than a chunk.
void add_in_chunks(Message message, std::vector<Message>& out) {
  constexpr std::size_t kWrapBytes = 1 << 10;  // type, sequence and length fields
  if (message.ByteSizeLong() <= AssignmentSet::kMessageBytesMax + kWrapBytes) {
    return out.push_back(std::move(message));
  }
  const std::string bytes = message.SerializeAsString();
  for (std::size_t at = 0; at < bytes.size(); at += AssignmentSet::kMessageBytesMax) {
    Message& part = out.emplace_back();
    part.set_fragment(bytes.substr(at, AssignmentSet::kMessageBytesMax));
    part.set_fragment_more(at + AssignmentSet::kMessageBytesMax < bytes.size());
  }
}

}  // namespace

/// Fills messages and starts a new one before the last grows too large.
class AssignmentSet::Writer {
 public:
  Message& open(std::size_t bytes) {
    if (messages_.empty() || (bytes_ > 0 && bytes_ + bytes > kMessageBytesMax)) {
      messages_.emplace_back();
      bytes_ = 0;
    }
    bytes_ += bytes + 16;
    any_ = true;
    return messages_.back();
  }
  /// Even an empty COMPLETE says something.
  void need_one() {
    if (messages_.empty()) {
      messages_.emplace_back();
    }
    any_ = true;
  }
  std::vector<Message> finish(Message::Type type, std::uint64_t sequence, std::uint64_t revision) {
    if (!any_) {
      return {};
    }
    for (std::size_t i = 0; i < messages_.size(); ++i) {
      Message& message = messages_[i];
      message.set_type(type);
      if (type == Message::INCREMENTAL) {
        message.set_applies_to(std::to_string(sequence - 1));
      }
      message.set_results_in(std::to_string(sequence));
      message.set_revision(revision);
      message.set_more(i + 1 < messages_.size());
    }
    std::vector<Message> out;
    for (Message& message : messages_) {
      add_in_chunks(std::move(message), out);
    }
    return out;
  }

 private:
  std::vector<Message> messages_;
  std::size_t bytes_ = 0;
  bool any_ = false;
};

void AssignmentSet::add_task(const Task& task, Writer& writer) {
  forget_user(secret_users_, task.id());
  forget_user(config_users_, task.id());
  if (!model::is_terminal(task.status().state())) {
    note_users(secret_users_, task.spec().container().secrets(), task);
    note_users(config_users_, task.spec().container().configs(), task);
  }
  const std::uint64_t hash = hash_for_node(task);
  const auto [it, is_new] = sent_.try_emplace(task.id(), hash);
  if (!is_new && it->second == hash) {
    return;
  }
  it->second = hash;
  *writer.open(task.ByteSizeLong()).add_tasks() = task;
}

void AssignmentSet::sync_files(const store::View& view, Writer& writer) {
  for (const auto& [id, tasks] : secret_users_) {
    const auto secret = view.get<model::v1::Secret>(id);
    if (secret != nullptr && secrets_sent_.insert(id).second) {
      *writer.open(secret->ByteSizeLong()).add_secrets() = *secret;
    }
  }
  for (const auto& [id, tasks] : config_users_) {
    const auto config = view.get<model::v1::Config>(id);
    if (config != nullptr && configs_sent_.insert(id).second) {
      *writer.open(config->ByteSizeLong()).add_configs() = *config;
    }
  }
  for (auto it = secrets_sent_.begin(); it != secrets_sent_.end();) {
    if (!secret_users_.contains(*it)) {
      writer.open(it->size()).add_removed_secrets(*it);
      it = secrets_sent_.erase(it);
    } else {
      ++it;
    }
  }
  for (auto it = configs_sent_.begin(); it != configs_sent_.end();) {
    if (!config_users_.contains(*it)) {
      writer.open(it->size()).add_removed_configs(*it);
      it = configs_sent_.erase(it);
    } else {
      ++it;
    }
  }
}

std::vector<dispatch::v1::AssignmentsMessage> AssignmentSet::build(const store::View& view) {
  Writer writer;
  const bool complete = std::exchange(complete_, false);
  const auto dirty = std::exchange(dirty_, {});
  if (complete) {
    writer.need_one();
    for (const auto& [id, task] : view.tasks_of_node(node_id_)) {
      if (concerns_node(*task, node_id_)) {
        add_task(*task, writer);
      }
    }
  } else {
    for (const auto& id : dirty) {
      const auto task = view.get<Task>(id);
      if (task != nullptr && concerns_node(*task, node_id_)) {
        add_task(*task, writer);
      } else if (sent_.erase(id) > 0) {
        forget_user(secret_users_, id);
        forget_user(config_users_, id);
        writer.open(id.size()).add_removed_tasks(id);
      }
    }
  }
  sync_files(view, writer);
  auto messages = writer.finish(complete ? Message::COMPLETE : Message::INCREMENTAL, sequence_ + 1,
                                view.applied_index());
  if (!messages.empty()) {
    ++sequence_;
  }
  return messages;
}

}  // namespace skep::control
