#pragma once

// What NodeAgent asks of a machine, in memory: for unit tests and the simulator.

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/node/parts.h"

namespace skep::node::testing {

/// Sandboxes survive the agent, and are gone after lose_power().
class FakeSandboxMaker final : public SandboxMaker {
 public:
  explicit FakeSandboxMaker(Loop& loop) : loop_(loop) {}
  void make(const std::string& id, std::function<void(Result<std::string>)> done) override {
    loop_.post([this, id, done] {
      if (failure) {
        return done(*failure);
      }
      sandboxes.insert(id);
      done("/run/sandbox/" + id);
    });
  }
  void remove(const std::string& id, std::function<void(Status)> done) override {
    loop_.post([this, id, done] {
      sandboxes.erase(id);
      done(ok());
    });
  }
  void list(std::function<void(Result<std::vector<std::string>>)> done) override {
    loop_.post([this, done] {
      done(std::vector<std::string>(sandboxes.begin(), sandboxes.end()));
    });
  }
  void lose_power() { sandboxes.clear(); }

  std::set<std::string> sandboxes;
  std::optional<Error> failure;

 private:
  Loop& loop_;
};

class FakeDriverDirectory final : public DriverDirectory {
 public:
  std::vector<DriverState> drivers() override {
    std::vector<DriverState> result;
    for (const auto& [name, incarnation] : incarnations) {
      result.push_back({.name = name, .incarnation = incarnation});
    }
    return result;
  }
  std::map<std::string, std::uint64_t> incarnations;
};

class FakeNodeFacts final : public NodeFacts {
 public:
  std::string hostname() override { return name; }
  model::v1::Platform platform() override {
    model::v1::Platform result;
    result.set_os("linux");
    result.set_architecture("x86_64");
    return result;
  }
  model::v1::Resources resources() override {
    model::v1::Resources result;
    result.set_nano_cpus(nano_cpus);
    result.set_memory_bytes(memory_bytes);
    return result;
  }
  std::string name = "node1";
  std::int64_t nano_cpus = 4'000'000'000;
  std::int64_t memory_bytes = std::int64_t{8} << 30;
};

/// Writes survive the agent; lose_power() forgets a random tail of those since the last sync(),
/// as node.db does, most of whose writes are not synced.
class MemoryRecordStore final : public RecordStore {
 public:
  Result<std::vector<v1::TaskRecord>> load() override {
    std::vector<v1::TaskRecord> result;
    for (const auto& [id, bytes] : replay(writes_.size())) {
      result.emplace_back().ParseFromString(bytes);
    }
    return result;
  }
  Status put(const v1::TaskRecord& record, Write how) override {
    if (failure) {
      return *failure;
    }
    writes_.emplace_back(record.task().id(), record.SerializeAsString());
    how == Write::kSynced ? sync() : void();
    return ok();
  }
  Status remove(const std::string& task_id) override {
    if (failure) {
      return *failure;
    }
    writes_.emplace_back(task_id, "");
    return ok();
  }
  void lose_power(Random& random) {
    writes_.resize(writes_.size() - random.below(writes_.size() + 1));
    sync();
  }
  void sync() {
    synced_ = replay(writes_.size());
    writes_.clear();
  }
  /// The disk is damaged: everything is gone.
  void wipe() {
    synced_.clear();
    writes_.clear();
  }
  [[nodiscard]] std::size_t size() const { return replay(writes_.size()).size(); }
  [[nodiscard]] std::string bytes() const {
    std::string all;
    for (const auto& [id, bytes] : writes_) {
      all += bytes;
    }
    return all;
  }
  std::optional<Error> failure;

 private:
  [[nodiscard]] std::map<std::string, std::string> replay(std::size_t count) const {
    auto result = synced_;
    for (std::size_t i = 0; i < count; ++i) {
      if (writes_[i].second.empty()) {
        result.erase(writes_[i].first);
      } else {
        result[writes_[i].first] = writes_[i].second;
      }
    }
    return result;
  }
  std::map<std::string, std::string> synced_;
  std::vector<std::pair<std::string, std::string>> writes_;  ///< empty bytes: removed
};

}  // namespace skep::node::testing
