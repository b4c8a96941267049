#pragma once

// Read access to the cluster state. A View is the store's own tables seen as const: it is
// consistent and does not change between two commits, because commits and readers share one loop.
// References to maps are valid until the next commit; a Ptr may be kept as long as one likes.

#include <string>
#include <string_view>
#include <tuple>

#include "core/store/tables.h"

namespace skep::store {

/// Key of the place a task fills: "SERVICE.SLOT", or "SERVICE.NODE" for global services (slot 0).
std::string slot_key(const model::v1::Task& task);
std::string slot_key(std::string_view service_id, std::uint64_t slot, std::string_view node_id);

class View {
 public:
  /// nullptr when there is none.
  template <class T>
  [[nodiscard]] Ptr<T> get(std::string_view id) const {
    const auto& map = all<T>();
    const auto it = map.find(id);
    return it == map.end() ? nullptr : it->second;
  }
  template <class T>
  [[nodiscard]] const ObjectMap<T>& all() const {
    return std::get<ObjectMap<T>>(tables_);
  }

  /// The one Cluster object; nullptr before the swarm was initialised.
  [[nodiscard]] Ptr<model::v1::Cluster> cluster() const;

  [[nodiscard]] const ObjectMap<model::v1::Task>& tasks_of_service(
      std::string_view service_id) const;
  /// Tasks assigned to the node, in any state.
  [[nodiscard]] const ObjectMap<model::v1::Task>& tasks_of_node(std::string_view node_id) const;
  /// All tasks, dead ones too, that had this place (see slot_key).
  [[nodiscard]] const ObjectMap<model::v1::Task>& tasks_of_slot(std::string_view key) const;
  /// Tasks that no node has yet.
  [[nodiscard]] const ObjectMap<model::v1::Task>& unassigned_tasks() const {
    return tasks_of_node("");
  }

  /// By spec.name, which is unique per table.
  [[nodiscard]] Ptr<model::v1::Service> service_by_name(std::string_view name) const;
  [[nodiscard]] Ptr<model::v1::Network> network_by_name(std::string_view name) const;
  [[nodiscard]] Ptr<model::v1::Secret> secret_by_name(std::string_view name) const;
  [[nodiscard]] Ptr<model::v1::Config> config_by_name(std::string_view name) const;
  /// Host names need not be unique.
  [[nodiscard]] const ObjectMap<model::v1::Node>& nodes_by_hostname(
      std::string_view hostname) const;

  /// Index of the last log entry this view contains.
  [[nodiscard]] std::uint64_t applied_index() const { return applied_index_; }

 private:
  friend class Store;
  template <class T>
  using Index = std::map<std::string, ObjectMap<T>, std::less<>>;

  /// Puts `after` in the place of `before` (either may be null) in the table and all indexes.
  template <class T>
  void replace(const std::string& id, const Ptr<T>& before, const Ptr<T>& after);
  void reindex(const std::string& id, const model::v1::Task* before,
               const Ptr<model::v1::Task>& after);
  void reindex(const std::string& id, const model::v1::Node* before,
               const Ptr<model::v1::Node>& after);
  void reindex(const std::string& id, const model::v1::Cluster* before,
               const Ptr<model::v1::Cluster>& after);
  void reindex(const std::string& id, const model::v1::RemovedNode* before,
               const Ptr<model::v1::RemovedNode>& after);
  template <class T>
  void reindex(const std::string& id, const T* before, const Ptr<T>& after);

  std::tuple<ObjectMap<model::v1::Cluster>, ObjectMap<model::v1::Node>,
             ObjectMap<model::v1::Service>, ObjectMap<model::v1::Task>,
             ObjectMap<model::v1::Network>, ObjectMap<model::v1::Secret>,
             ObjectMap<model::v1::Config>, ObjectMap<model::v1::RemovedNode>>
      tables_;
  std::tuple<Index<model::v1::Service>, Index<model::v1::Network>, Index<model::v1::Secret>,
             Index<model::v1::Config>>
      by_name_;
  Index<model::v1::Task> tasks_by_service_;
  Index<model::v1::Task> tasks_by_node_;
  Index<model::v1::Task> tasks_by_slot_;
  Index<model::v1::Node> nodes_by_hostname_;
  std::uint64_t applied_index_ = 0;
};

}  // namespace skep::store
