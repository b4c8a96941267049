#include "core/node/task_manager.h"

#include <algorithm>

#include "core/model/task_state.h"
#include "core/node/record.h"
#include "skep/log.h"

namespace skep::node {
namespace {

/// The common case of every comparison: nothing new, and so nothing to apply and compare.
bool is_known_to_run(const v1::TaskRecord& record, const runtime::v1::ContainerInfo& info) {
  return info.state() == runtime::v1::CONTAINER_STATE_RUNNING &&
         record.container() == v1::PROGRESS_DONE && record.started() == v1::PROGRESS_DONE &&
         !record.exited() && record.status().container().container_id() == info.container_id() &&
         record.status().container().pid() == info.pid();
}

bool owned(v1::Progress progress) {
  return progress == v1::PROGRESS_ATTEMPTED || progress == v1::PROGRESS_DONE;
}

}  // namespace

TaskManager::TaskManager(Env& env, rpc::Caller& caller, const NodeConfig& config, NodeParts parts,
                         DriverWatch& drivers, Report report)
    : env_(env),
      caller_(caller),
      config_(config),
      parts_(parts),
      drivers_(drivers),
      report_(std::move(report)),
      performer_(env, caller, config, parts),
      starts_(config.starts_max),
      clean_ups_(config.clean_ups_max) {}

TaskManager::~TaskManager() {
  *alive_ = false;
  for (auto& [id, entry] : entries_) {
    if (entry.wake != 0) {
      env_.loop.cancel_timer(entry.wake);
    }
    if (entry.abandon) {
      entry.abandon();
    }
    end_wait(entry);
  }
  for (auto& [key, pull] : pulls_) {
    pull.abandon();
  }
}

Status TaskManager::load() {
  SKEP_TRY_ASSIGN(std::vector<v1::TaskRecord> records, parts_.records.load());
  for (auto& record : records) {
    forget_unstarted(record);
    const std::string id = record.task().id();
    auto& entry = add(std::move(record));
    entry.dirty = false;
    report(id, entry);
  }
  return ok();
}

TaskManager::Entry& TaskManager::add(v1::TaskRecord record) {
  const std::string id = record.task().id();
  auto& entry = entries_[id];
  entry.record = std::move(record);
  return entry;
}

void TaskManager::create(const model::v1::Task& task) {
  auto& entry = add(make_record(task, config_, env_.clock.wall_now()));
  entry.reported = task.status().state();
}

void TaskManager::assign(const std::vector<model::v1::Task>& tasks) {
  for (const auto& task : tasks) {
    if (const auto it = entries_.find(task.id()); it == entries_.end()) {
      create(task);
    } else {
      if (apply_assignment(it->second.record, task)) {
        report_(task.id(), it->second.record.status());  // instead of what was to be told
        it->second.reported = it->second.record.status().state();
      }
      it->second.dirty = true;
      interrupt(task.id(), it->second);
    }
    pump(task.id());
  }
}

void TaskManager::remove(const std::vector<std::string>& task_ids) {
  for (const auto& id : task_ids) {
    const auto it = entries_.find(id);
    if (it != entries_.end() && !it->second.record.removed()) {
      it->second.record.set_removed(true);
      it->second.dirty = true;
      interrupt(id, it->second);
      pump(id);
    }
  }
}

void TaskManager::assign_all(const std::vector<model::v1::Task>& tasks) {
  std::set<std::string> wanted;
  for (const auto& task : tasks) {
    wanted.insert(task.id());
  }
  std::vector<std::string> gone;
  for (const auto& [id, entry] : entries_) {
    if (!wanted.contains(id)) {
      gone.push_back(id);
    }
  }
  complete_ = true;
  remove(gone);
  assign(tasks);
}

std::vector<std::string> TaskManager::adopt(const std::string& runtime,
                                            const DriverWatch::Containers& listed) {
  std::set<std::string> known;
  for (const auto& [id, entry] : entries_) {
    if (entry.record.planned()) {
      known.insert(entry.record.container_id());
    }
  }
  for (const auto& container : listed) {
    if (known.contains(container.container_id())) {
      continue;  // its label could tell nothing new
    }
    auto from_label = record_from_container(container, config_);
    if (!from_label) {
      if (from_label.error().code == Code::kDataLoss) {
        SKEP_WARN("container cannot be adopted", {"container", container.container_id()},
                  {"cause", from_label.error().message});
      }
      continue;
    }
    const std::string id = from_label->task().id();
    if (const auto it = entries_.find(id); it != entries_.end()) {
      merge_facts(it->second.record, *from_label);
      continue;
    }
    SKEP_INFO("container adopted without a record", {"task", id},
              {"container", container.container_id()});
    // A container is made in this state; managers may know more.
    from_label->mutable_status()->set_state(model::v1::TASK_STATE_STARTING);
    from_label->mutable_status()->set_timestamp(env_.clock.wall_now());
    from_label->set_removed(complete_);
    take_container(id, add(*std::move(from_label)), &container);
  }
  std::vector<std::string> ids;
  for (const auto& [id, entry] : entries_) {
    if (entry.record.runtime() == runtime && entry.record.container() != v1::PROGRESS_RELEASED) {
      ids.push_back(entry.record.container_id());
    }
  }
  return ids;
}

void TaskManager::take_container(const std::string& id, Entry& entry,
                                 const runtime::v1::ContainerInfo* info) {
  if (info == nullptr || !is_known_to_run(entry.record, *info)) {
    const std::string before = entry.record.SerializeAsString();
    apply_container(entry.record, info, env_.clock.wall_now());
    entry.dirty = entry.dirty || entry.record.SerializeAsString() != before;
  }
  pump(id);
}

void TaskManager::take_containers(const std::string& runtime,
                                  const DriverWatch::Containers& listed, TimePoint asked_at) {
  adopt(runtime, listed);
  std::map<std::string, const runtime::v1::ContainerInfo*> by_id;
  for (const auto& container : listed) {
    by_id[container.container_id()] = &container;
  }
  std::vector<std::string> idle;
  for (const auto& [id, entry] : entries_) {
    if (entry.record.runtime() == runtime && !entry.in_flight && entry.touched < asked_at) {
      idle.push_back(id);
    }
  }
  for (const auto& id : idle) {
    const auto it = entries_.find(id);
    if (it == entries_.end() || it->second.in_flight) {
      continue;
    }
    const auto found = by_id.find(it->second.record.container_id());
    if (found != by_id.end()) {
      take_container(id, it->second, found->second);
    } else if (owned(it->second.record.container())) {
      take_container(id, it->second, nullptr);
    }
  }
}

volume::v1::RecoverRequest TaskManager::volumes_in_use(const std::string& driver) const {
  volume::v1::RecoverRequest request;
  for (const auto& [id, entry] : entries_) {
    for (const auto& use : entry.record.volumes()) {
      if (use.driver() == driver && owned(use.mounted())) {
        auto& mount = *request.add_mounts();
        mount.set_name(use.name());
        mount.set_mount_id(id);
      }
    }
  }
  return request;
}

network::v1::RecoverRequest TaskManager::endpoints_in_use(const std::string& driver) const {
  network::v1::RecoverRequest request;
  std::set<std::string> networks;
  if (driver == config_.gateway_driver) {
    networks.insert(config_.gateway_network);
  }
  for (const auto& [id, entry] : entries_) {
    bool uses = false;
    for (const auto& use : entry.record.endpoints()) {
      if (use.driver() != driver) {
        continue;
      }
      if (owned(use.network())) {
        networks.insert(use.network_id());
      }
      uses = uses || owned(use.endpoint());
    }
    if (uses) {
      request.add_endpoint_ids(id);
    }
  }
  request.mutable_network_ids()->Assign(networks.begin(), networks.end());
  return request;
}

void TaskManager::pump_all() {
  for (const auto& id : ids()) {
    if (const auto it = entries_.find(id); it != entries_.end()) {
      for (auto& [step, retry] : it->second.view.retries) {
        retry.at = std::min(retry.at, env_.loop.now());
      }
      it->second.wait_paused = false;
      pump(id);
    }
  }
}

const v1::TaskRecord* TaskManager::record(const std::string& task_id) const {
  const auto it = entries_.find(task_id);
  return it == entries_.end() ? nullptr : &it->second.record;
}

std::vector<std::string> TaskManager::ids() const {
  std::vector<std::string> result;
  result.reserve(entries_.size());
  for (const auto& [id, entry] : entries_) {
    result.push_back(id);
  }
  return result;
}

bool TaskManager::uses_sandbox(const std::string& task_id) const {
  const auto* known = record(task_id);
  return known != nullptr && owned(known->sandbox());
}

bool TaskManager::uses_endpoint(const std::string& task_id, const std::string& network_id) const {
  const auto* known = record(task_id);
  return known != nullptr &&
         std::any_of(known->endpoints().begin(), known->endpoints().end(), [&](const auto& use) {
           return use.network_id() == network_id && owned(use.endpoint());
         });
}

bool TaskManager::network_in_use(const std::string& id, const v1::EndpointUse& use) const {
  if (use.gateway() && use.network_id() == config_.gateway_network) {
    return true;  // belongs to the node, not to a task
  }
  for (const auto& [other, entry] : entries_) {
    for (const auto& theirs : entry.record.endpoints()) {
      if (other != id && theirs.driver() == use.driver() &&
          theirs.network_id() == use.network_id() && owned(theirs.network())) {
        return true;
      }
    }
  }
  return false;
}

NodeIdentity TaskManager::identity() const {
  return {.node_id = config_.node_id,
          .hostname = parts_.facts.hostname(),
          .platform = parts_.facts.platform()};
}

}  // namespace skep::node
