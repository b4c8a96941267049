#pragma once

// Task records in a LevelDB directory (node.db). Keys: "f" format number, "t" TASKID -> TaskRecord.
// Only the end of a task is synced: the agent may die at any moment without loss, and after a power
// failure what is missing of others is rebuilt from the runtimes' labels.

#include <memory>
#include <string>

#include "core/node/parts.h"

namespace leveldb {
class Cache;
class DB;
}  // namespace leveldb

namespace skep::node {

class LevelRecordStore final : public RecordStore {
 public:
  /// `directory` is made with mode 0700 when missing. A damaged one is moved to DIRECTORY.damaged
  /// (replacing an older one there) and a new one begun; rebuilt() then says so.
  /// kFailedPrecondition: another agentd has it open. kUnavailable: the disk refuses.
  static Result<std::unique_ptr<LevelRecordStore>> open(std::string directory);
  ~LevelRecordStore() override;
  LevelRecordStore(const LevelRecordStore&) = delete;
  LevelRecordStore& operator=(const LevelRecordStore&) = delete;

  Result<std::vector<v1::TaskRecord>> load() override;
  Status put(const v1::TaskRecord& record, Write how) override;
  Status remove(const std::string& task_id) override;
  [[nodiscard]] bool rebuilt() const { return rebuilt_; }

 private:
  explicit LevelRecordStore(std::string directory);
  Status open_handle();
  Status begin_anew(const std::string& why);
  Result<std::vector<v1::TaskRecord>> read_all();

  const std::string directory_;
  std::unique_ptr<leveldb::Cache> cache_;  // outlives db_
  std::unique_ptr<leveldb::DB> db_;
  bool rebuilt_ = false;
};

}  // namespace skep::node
