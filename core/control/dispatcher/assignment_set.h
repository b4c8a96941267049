#pragma once

// What one node was told to have, and what it must be told next. Pure. One per assignment stream:
// the first build gives everything (COMPLETE), later ones what changed (INCREMENTAL).

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "core/store/view.h"
#include "skep/dispatch.pb.h"

namespace skep::control {

class AssignmentSet {
 public:
  /// A message stays well below the 256 KiB a stream chunk may have; what does not fit comes in
  /// fragments.
  static constexpr std::size_t kMessageBytesMax = 160 << 10;

  explicit AssignmentSet(std::string node_id) : node_id_(std::move(node_id)) {}

  /// A task of the node was created, changed or removed.
  void mark(const std::string& task_id) { dirty_.insert(task_id); }
  /// Whether build() may have something to say; how much at most.
  [[nodiscard]] bool dirty() const { return complete_ || !dirty_.empty(); }
  [[nodiscard]] std::size_t changes() const { return dirty_.size(); }
  /// The messages to send now, in order; none when nothing the node cares about changed. Several
  /// only when one would be too large (`more`).
  std::vector<dispatch::v1::AssignmentsMessage> build(const store::View& view);

 private:
  using Message = dispatch::v1::AssignmentsMessage;
  class Writer;
  void add_task(const model::v1::Task& task, Writer& writer);
  void sync_files(const store::View& view, Writer& writer);

  const std::string node_id_;
  bool complete_ = true;                       // nothing was sent yet
  std::set<std::string> dirty_;                // task ids
  std::map<std::string, std::uint64_t> sent_;  // task id -> hash of what the node acts on
  // Secrets and configs go only to nodes with a live task that names them.
  std::map<std::string, std::set<std::string>> secret_users_;  // secret id -> task ids
  std::map<std::string, std::set<std::string>> config_users_;
  std::set<std::string> secrets_sent_;
  std::set<std::string> configs_sent_;
  std::uint64_t sequence_ = 0;
};

}  // namespace skep::control
