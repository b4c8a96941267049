#pragma once

// What the node side asks of the machine besides Env and the bus: interfaces with a real binding in
// this folder and a fake one in tests and the simulator. All calls and callbacks on the loop.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "skep/env.h"
#include "skep/model.pb.h"
#include "skep/node.pb.h"
#include "skep/result.h"

namespace skep::node {

/// Makes the network namespaces of tasks. Ids are task ids. Each call is idempotent.
class SandboxMaker {
 public:
  virtual ~SandboxMaker() = default;
  /// A namespace with loopback up and sysctls set; answers its path. An existing one is success.
  virtual void make(const std::string& id, std::function<void(Result<std::string>)> done) = 0;
  /// Removing what is not there is success.
  virtual void remove(const std::string& id, std::function<void(Status)> done) = 0;
  /// Ids of all sandboxes under this root.
  virtual void list(std::function<void(Result<std::vector<std::string>>)> done) = 0;
};

/// A driver that answers calls now. Another incarnation means its plugin restarted, and that it must
/// be told what is in use (recover) before anything else is asked of it.
struct DriverState {
  std::string name;  ///< "volume/local"
  std::uint64_t incarnation = 0;
};

/// What the plugin host knows. The node asks at every tick and whenever NodeAgent::drivers_changed()
/// was called; an unhealthy or stopped driver is simply not in the list.
class DriverDirectory {
 public:
  virtual ~DriverDirectory() = default;
  virtual std::vector<DriverState> drivers() = 0;
};

/// Facts about this machine for its NodeDescription.
class NodeFacts {
 public:
  virtual ~NodeFacts() = default;
  virtual std::string hostname() = 0;
  virtual model::v1::Platform platform() = 0;
  virtual model::v1::Resources resources() = 0;
};

/// Task records on disk. Writes may be lost in a power failure (never in a crash of the agent), unless one after them
/// was synced: what runs can be rebuilt from the runtime's list, but what ended and is gone cannot. Never called from
/// another thread.
class RecordStore {
 public:
  virtual ~RecordStore() = default;
  virtual Result<std::vector<v1::TaskRecord>> load() = 0;
  enum class Write : std::uint8_t { kPlain, kSynced };
  virtual Status put(const v1::TaskRecord& record, Write how) = 0;
  /// Removing what is not there is success.
  virtual Status remove(const std::string& task_id) = 0;
};

}  // namespace skep::node
