#include "plugins/runtime/oci/container/container_table.h"

namespace skep::oci {

Status ContainerTable::enqueue(const std::string& id, Work work) {
  Container& container = place(id);
  if (container.queue.size() >= kQueuedPerContainerMax) {
    return Error{Code::kResourceExhausted,
                 "container '" + id + "': too many requests are waiting; try again later",
                 "CONTAINER_BUSY"};
  }
  container.queue.push_back(std::move(work));
  if (!container.busy) {
    next(id);
  }
  return ok();
}

void ContainerTable::next(const std::string& id) {
  const auto it = containers_.find(id);
  if (it == containers_.end()) {
    return;
  }
  Container& container = *it->second;
  if (container.queue.empty()) {
    container.busy = false;
    if (!container.exists && container.waiters.empty()) {
      containers_.erase(it);
    }
    return;
  }
  container.busy = true;
  Work work = std::move(container.queue.front());
  container.queue.pop_front();
  work([this, id] { next(id); });
}

Container* ContainerTable::find(const std::string& id) {
  const auto it = containers_.find(id);
  return it == containers_.end() || !it->second->exists ? nullptr : it->second.get();
}

Result<Container*> ContainerTable::lookup(const std::string& text) {
  if (Container* exact = find(text)) {
    return exact;
  }
  Container* found = nullptr;
  for (const auto& [id, container] : containers_) {
    if (!container->exists) {
      continue;
    }
    if (container->record.name == text) {
      return container.get();
    }
    if (!text.empty() && id.starts_with(text)) {
      if (found != nullptr) {
        return Error{Code::kInvalidArgument,
                     "'" + text + "' stands for several containers: give more digits of the id",
                     "AMBIGUOUS_ID"};
      }
      found = container.get();
    }
  }
  if (found == nullptr) {
    return Error{Code::kNotFound, "no container '" + text + "' on this node", "CONTAINER_NOT_FOUND"};
  }
  return found;
}

Container& ContainerTable::place(const std::string& id) {
  auto& slot = containers_[id];
  if (!slot) {
    slot = std::make_unique<Container>();
    slot->record.id = id;
  }
  return *slot;
}

void ContainerTable::erase(const std::string& id) {
  const auto it = containers_.find(id);
  if (it == containers_.end()) {
    return;
  }
  it->second->exists = false;
  if (!it->second->busy) {
    containers_.erase(it);
  }
}

void ContainerTable::answer_waiters(Container& container,
                                    const Result<runtime::v1::ExitStatus>& exit) {
  const auto waiters = std::move(container.waiters);
  container.waiters.clear();
  for (const auto& waiter : waiters) {
    waiter(exit);
  }
}

std::vector<Container*> ContainerTable::all() {
  std::vector<Container*> list;
  for (const auto& [id, container] : containers_) {
    if (container->exists) {
      list.push_back(container.get());
    }
  }
  return list;
}

std::vector<std::string> ContainerTable::ids() const {
  std::vector<std::string> list;
  list.reserve(containers_.size());
  for (const auto& [id, container] : containers_) {
    list.push_back(id);
  }
  return list;
}

}  // namespace skep::oci
