#include "core/node/level_records.h"

#include <leveldb/cache.h>
#include <leveldb/db.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "skep/log.h"
#include "skep/posix_env.h"

namespace skep::node {
namespace {

constexpr char kFormat[] = "1";
constexpr std::size_t kCacheBytes = 256 << 10;  // records are read once, at start
constexpr std::size_t kWriteBufferBytes = 512 << 10;

std::string key_of(const std::string& task_id) { return "t" + task_id; }

Error error_of(const leveldb::Status& status, const std::string& directory) {
  const std::string text = status.ToString();
  if (status.IsCorruption() || status.IsInvalidArgument()) {
    return Error{Code::kDataLoss, directory + ": " + text, "STATE_DAMAGED"};
  }
  const auto says = [&text](const char* words) { return text.find(words) != std::string::npos; };
  if (says(std::strerror(EAGAIN)) || says("already held by process")) {
    return Error{Code::kFailedPrecondition,
                 directory + ": in use by another agentd (" + text + "); stop that one first",
                 "STATE_IN_USE"};
  }
  if (says(std::strerror(ENOSPC)) || says(std::strerror(EDQUOT))) {
    return Error{Code::kResourceExhausted, directory + ": " + text + "; free some space and start again",
                 "DISK_FULL"};
  }
  if (says(std::strerror(EROFS)) || says(std::strerror(EACCES))) {
    return Error{Code::kPermissionDenied, directory + ": cannot be written (" + text +
                     "); make the file system writable and start again", "STATE_READ_ONLY"};
  }
  return Error{Code::kUnavailable, directory + ": " + text, "STATE_IO_ERROR"};
}

}  // namespace

LevelRecordStore::LevelRecordStore(std::string directory) : directory_(std::move(directory)) {}
LevelRecordStore::~LevelRecordStore() = default;

Result<std::unique_ptr<LevelRecordStore>> LevelRecordStore::open(std::string directory) {
  std::unique_ptr<LevelRecordStore> store(new LevelRecordStore(std::move(directory)));
  if (auto status = store->open_handle(); !status) {
    if (status.error().code != Code::kDataLoss) {
      return std::move(status).error();
    }
    SKEP_TRY(store->begin_anew(status.error().message));
  }
  return store;
}

Status LevelRecordStore::open_handle() {
  std::error_code failure;
  std::filesystem::create_directories(directory_, failure);
  if (!failure) {
    std::filesystem::permissions(directory_, std::filesystem::perms::owner_all, failure);
  }
  if (failure) {
    return errno_error(failure.value(), directory_ + ": make");
  }
  if (cache_ == nullptr) {
    cache_.reset(leveldb::NewLRUCache(kCacheBytes));
  }
  leveldb::Options options;
  options.create_if_missing = true;
  options.paranoid_checks = true;
  options.block_cache = cache_.get();
  options.write_buffer_size = kWriteBufferBytes;
  options.max_open_files = 64;
  leveldb::DB* db = nullptr;
  if (const auto status = leveldb::DB::Open(options, directory_, &db); !status.ok()) {
    return error_of(status, directory_);
  }
  db_.reset(db);
  std::string format;
  const auto status = db_->Get({}, "f", &format);
  if (status.IsNotFound()) {
    const auto written = db_->Put({}, "f", kFormat);
    return written.ok() ? ok() : Status(error_of(written, directory_));
  }
  if (!status.ok()) {
    return error_of(status, directory_);
  }
  if (format != kFormat) {
    return Error{Code::kFailedPrecondition,
                 directory_ + ": format '" + format + "' was written by a newer agentd; use that one",
                 "STATE_FORMAT"};
  }
  return ok();
}

Status LevelRecordStore::begin_anew(const std::string& why) {
  db_.reset();
  const std::string aside = directory_ + ".damaged";
  SKEP_ERROR("task records are damaged: moved aside and rebuilt from the runtimes",
             {"moved_to", aside}, {"cause", why});
  std::error_code failure;
  std::filesystem::remove_all(aside, failure);
  std::filesystem::rename(directory_, aside, failure);
  if (failure) {
    return Error{Code::kUnavailable,
                 directory_ + ": cannot be moved to " + aside + ": " + failure.message(),
                 "STATE_IO_ERROR"};
  }
  rebuilt_ = true;
  return open_handle();
}

Result<std::vector<v1::TaskRecord>> LevelRecordStore::load() {
  auto records = read_all();
  if (records || records.error().code != Code::kDataLoss) {
    return records;
  }
  SKEP_TRY(begin_anew(records.error().message));
  return std::vector<v1::TaskRecord>();
}

Result<std::vector<v1::TaskRecord>> LevelRecordStore::read_all() {
  std::vector<v1::TaskRecord> records;
  leveldb::ReadOptions options;
  options.verify_checksums = true;
  options.fill_cache = false;
  const std::unique_ptr<leveldb::Iterator> it(db_->NewIterator(options));
  for (it->Seek("t"); it->Valid() && it->key().starts_with("t"); it->Next()) {
    auto& record = records.emplace_back();
    const auto value = it->value();
    if (!record.ParseFromArray(value.data(), static_cast<int>(value.size())) ||
        key_of(record.task().id()) != it->key().ToString()) {
      return Error{Code::kDataLoss, directory_ + ": malformed record '" + it->key().ToString() + "'",
                   "STATE_DAMAGED"};
    }
  }
  if (!it->status().ok()) {
    return error_of(it->status(), directory_);
  }
  return records;
}

Status LevelRecordStore::put(const v1::TaskRecord& record, Write how) {
  leveldb::WriteOptions options;
  options.sync = how == Write::kSynced;
  const auto status = db_->Put(options, key_of(record.task().id()), record.SerializeAsString());
  return status.ok() ? ok() : Status(error_of(status, directory_));
}

Status LevelRecordStore::remove(const std::string& task_id) {
  const auto status = db_->Delete({}, key_of(task_id));
  return status.ok() ? ok() : Status(error_of(status, directory_));
}

}  // namespace skep::node
