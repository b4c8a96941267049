#pragma once

// The driver's picture of its containers: records, who waits for which exit, and one queue of work
// per container, so that create, start, stop and remove of one container never overlap while
// different containers run in parallel on the workers. Loop thread only.

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "plugins/runtime/oci/container/record.h"
#include "skep/env.h"
#include "skep/runtime.h"

namespace skep::oci {

inline constexpr std::size_t kQueuedPerContainerMax = 64;
inline constexpr std::size_t kWaitersPerContainerMax = 64;

struct Container {
  ContainerRecord record;
  bool exists = false;  ///< create() succeeded (or recover() found it)
  std::vector<std::function<void(const Result<runtime::v1::ExitStatus>&)>> waiters;
  WatchId conmon_watch = 0;
  int conmon_pidfd = -1;
  bool busy = false;
  std::deque<std::function<void(std::function<void()> done)>> queue;
};

class ContainerTable {
 public:
  using Work = std::function<void(std::function<void()> done)>;

  /// Runs `work` when everything queued for `id` before has called its `done`.
  /// kResourceExhausted: too much is queued for this container.
  Status enqueue(const std::string& id, Work work);

  /// nullptr when it was never created or is removed.
  Container* find(const std::string& id);
  /// By id, unambiguous prefix of an id, or name. kNotFound; kInvalidArgument: ambiguous.
  Result<Container*> lookup(const std::string& text);
  /// A place for `id`, made when missing.
  Container& place(const std::string& id);
  /// Forgets it as soon as its queue is empty.
  void erase(const std::string& id);

  /// Tells everybody who waits and forgets them.
  static void answer_waiters(Container& container, const Result<runtime::v1::ExitStatus>& exit);

  [[nodiscard]] std::vector<Container*> all();
  /// Also of those that are just being made.
  [[nodiscard]] std::vector<std::string> ids() const;
  [[nodiscard]] bool knows(const std::string& id) const { return containers_.contains(id); }

 private:
  void next(const std::string& id);

  std::map<std::string, std::unique_ptr<Container>> containers_;
};

}  // namespace skep::oci
