#include "core/store/view.h"

namespace skep::store {
namespace {

template <class T>
const ObjectMap<T>& bucket(const std::map<std::string, ObjectMap<T>, std::less<>>& index,
                           std::string_view key) {
  static const ObjectMap<T> kNone;
  const auto it = index.find(key);
  return it == index.end() ? kNone : it->second;
}

/// Keeps one index: takes the object out of the bucket it was in and puts it where it belongs now.
template <class T>
void move_in_index(std::map<std::string, ObjectMap<T>, std::less<>>& index, const std::string& id,
                   const std::string* key_before, const std::string* key_after,
                   const Ptr<T>& after) {
  if (key_before != nullptr && (key_after == nullptr || *key_before != *key_after)) {
    const auto it = index.find(*key_before);
    if (it != index.end()) {
      it->second.erase(id);
      if (it->second.empty()) {
        index.erase(it);
      }
    }
  }
  if (key_after != nullptr) {
    index[*key_after].insert_or_assign(id, after);
  }
}

/// The same for a key that is computed.
template <class T, class KeyOf>
void move_by(std::map<std::string, ObjectMap<T>, std::less<>>& index, const std::string& id,
             const T* before, const Ptr<T>& after, KeyOf key_of) {
  std::string key_before;
  std::string key_after;
  if (before != nullptr) {
    key_before = key_of(*before);
  }
  if (after != nullptr) {
    key_after = key_of(*after);
  }
  move_in_index<T>(index, id, before != nullptr ? &key_before : nullptr,
                   after != nullptr ? &key_after : nullptr, after);
}

template <class T>
Ptr<T> first_of(const ObjectMap<T>& map) {
  return map.empty() ? nullptr : map.begin()->second;
}

}  // namespace

std::string_view table_name(Table table) {
  switch (table) {
    case Table::kCluster:
      return "cluster";
    case Table::kNode:
      return "node";
    case Table::kService:
      return "service";
    case Table::kTask:
      return "task";
    case Table::kNetwork:
      return "network";
    case Table::kSecret:
      return "secret";
    case Table::kConfig:
      return "config";
    case Table::kVolume:
      return "volume";
    case Table::kRemovedNode:
      return "removed_node";
  }
  return {};
}

std::string slot_key(std::string_view service_id, std::uint64_t slot, std::string_view node_id) {
  std::string key{service_id};
  key += '.';
  if (slot != 0) {
    key += std::to_string(slot);
  } else {
    key += node_id;
  }
  return key;
}

std::string slot_key(const model::v1::Task& task) {
  return slot_key(task.service_id(), task.slot(), task.node_id());
}

Ptr<model::v1::Cluster> View::cluster() const {
  return first_of(all<model::v1::Cluster>());
}
const ObjectMap<model::v1::Task>& View::tasks_of_service(std::string_view service_id) const {
  return bucket(tasks_by_service_, service_id);
}
const ObjectMap<model::v1::Task>& View::tasks_of_node(std::string_view node_id) const {
  return bucket(tasks_by_node_, node_id);
}
const ObjectMap<model::v1::Task>& View::tasks_of_slot(std::string_view key) const {
  return bucket(tasks_by_slot_, key);
}
Ptr<model::v1::Service> View::service_by_name(std::string_view name) const {
  return first_of(bucket(std::get<Index<model::v1::Service>>(by_name_), name));
}
Ptr<model::v1::Network> View::network_by_name(std::string_view name) const {
  return first_of(bucket(std::get<Index<model::v1::Network>>(by_name_), name));
}
Ptr<model::v1::Secret> View::secret_by_name(std::string_view name) const {
  return first_of(bucket(std::get<Index<model::v1::Secret>>(by_name_), name));
}
Ptr<model::v1::Config> View::config_by_name(std::string_view name) const {
  return first_of(bucket(std::get<Index<model::v1::Config>>(by_name_), name));
}
const ObjectMap<model::v1::Node>& View::nodes_by_hostname(std::string_view hostname) const {
  return bucket(nodes_by_hostname_, hostname);
}

void View::reindex(const std::string& id, const model::v1::Task* before,
                   const Ptr<model::v1::Task>& after) {
  using model::v1::Task;
  move_by<Task>(tasks_by_service_, id, before, after,
                [](const Task& task) { return task.service_id(); });
  move_by<Task>(tasks_by_node_, id, before, after, [](const Task& task) { return task.node_id(); });
  move_by<Task>(tasks_by_slot_, id, before, after, [](const Task& task) { return slot_key(task); });
}

void View::reindex(const std::string& id, const model::v1::Node* before,
                   const Ptr<model::v1::Node>& after) {
  using model::v1::Node;
  move_by<Node>(nodes_by_hostname_, id, before, after,
                [](const Node& node) { return node.description().hostname(); });
}

void View::reindex(const std::string& /*id*/, const model::v1::Cluster* /*before*/,
                   const Ptr<model::v1::Cluster>& /*after*/) {}
void View::reindex(const std::string& /*id*/, const model::v1::RemovedNode* /*before*/,
                   const Ptr<model::v1::RemovedNode>& /*after*/) {}

template <class T>
void View::reindex(const std::string& id, const T* before, const Ptr<T>& after) {
  move_by<T>(std::get<Index<T>>(by_name_), id, before, after,
             [](const T& object) { return object.spec().name(); });
}

template <class T>
void View::replace(const std::string& id, const Ptr<T>& before, const Ptr<T>& after) {
  reindex(id, before.get(), after);
  auto& table = std::get<ObjectMap<T>>(tables_);
  if (after != nullptr) {
    table.insert_or_assign(id, after);
  } else {
    table.erase(id);
  }
}

#define SKEP_STORE_REPLACE(Type)                                                         \
  template void View::replace(const std::string& id, const Ptr<model::v1::Type>& before, \
                              const Ptr<model::v1::Type>& after);
SKEP_STORE_REPLACE(Cluster)
SKEP_STORE_REPLACE(Node)
SKEP_STORE_REPLACE(Service)
SKEP_STORE_REPLACE(Task)
SKEP_STORE_REPLACE(Network)
SKEP_STORE_REPLACE(Secret)
SKEP_STORE_REPLACE(Config)
SKEP_STORE_REPLACE(RemovedNode)
#undef SKEP_STORE_REPLACE

}  // namespace skep::store
