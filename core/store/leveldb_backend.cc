#include "core/store/leveldb_backend.h"

#include <fcntl.h>
#include <leveldb/cache.h>
#include <leveldb/db.h>
#include <leveldb/write_batch.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "skep/posix_env.h"

namespace skep::store {
namespace {

constexpr char kFormat[] = "1";
constexpr char kIncoming[] = ".incoming";
constexpr char kOld[] = ".old";
constexpr std::size_t kCacheBytes = 1 << 20;  // the state is read once, at start
constexpr std::size_t kWriteBufferBytes = 1 << 20;

std::string row_key(std::uint32_t table, std::string_view id) {
  std::string key = "o";
  for (int shift = 24; shift >= 0; shift -= 8) {
    key += static_cast<char>((table >> shift) & 0xff);
  }
  key += id;
  return key;
}

bool is_row(const leveldb::Slice& key) {
  return key.size() > 5 && key[0] == 'o';
}

/// Table and id of a row's key; the object is not filled.
StoredRow row_of(const leveldb::Slice& key) {
  StoredRow row;
  for (std::size_t i = 1; i <= 4; ++i) {
    row.table = (row.table << 8) | static_cast<unsigned char>(key[i]);
  }
  row.id.assign(key.data() + 5, key.size() - 5);
  return row;
}

Error error_of(const leveldb::Status& status, const std::string& directory) {
  const std::string text = status.ToString();
  if (status.IsCorruption()) {
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

Error io_error(const std::string& path, const char* verb) {
  return Error{Code::kUnavailable, path + ": " + verb + ": " + std::strerror(errno),
               "STATE_IO_ERROR"};
}

Status sync_path(const std::string& path, int flags) {
  const int fd = ::open(path.c_str(), flags | O_CLOEXEC);
  if (fd < 0) {
    // LevelDB deletes a log once its content is in a synced table.
    return errno == ENOENT ? ok() : Status(io_error(path, "open"));
  }
  const int result = ::fsync(fd);
  auto status = result == 0 ? ok() : Status(io_error(path, "sync"));
  ::close(fd);
  return status;
}

/// LevelDB syncs tables and manifest itself.
Status sync_logs(const std::string& directory) {
  std::error_code failure;
  for (const auto& entry : std::filesystem::directory_iterator(directory, failure)) {
    if (entry.path().extension() == ".log") {
      SKEP_TRY(sync_path(entry.path().string(), O_RDONLY));
    }
  }
  if (failure) {
    return Error{Code::kUnavailable, directory + ": " + failure.message(), "STATE_IO_ERROR"};
  }
  return sync_path(directory, O_RDONLY | O_DIRECTORY);
}

}  // namespace

/// An open database; its cursors keep it open.
struct LevelDbBackend::Handle {
  std::unique_ptr<leveldb::Cache> cache;  // outlives db
  std::unique_ptr<leveldb::DB> db;
  std::atomic<bool> closing{false};  // cursors let go at their next call
};

LevelDbBackend::LevelDbBackend(std::string directory) : directory_(std::move(directory)) {}
LevelDbBackend::~LevelDbBackend() = default;

void LevelDbBackend::close_handle() {
  if (const auto handle = std::exchange(handle_, nullptr)) {
    handle->closing = true;
  }
}

Status LevelDbBackend::open_handle() {
  close_handle();
  incoming_.reset();
  SKEP_TRY(finish_swap());
  SKEP_TRY_ASSIGN(handle_, open_at(directory_));
  return ok();
}

Result<LevelDbBackend::HandlePtr> LevelDbBackend::open_at(const std::string& directory) {
  std::error_code failure;
  std::filesystem::create_directories(directory, failure);
  if (!failure) {
    std::filesystem::permissions(directory, std::filesystem::perms::owner_all, failure);
  }
  if (failure) {
    return errno_error(failure.value(), directory + ": make");
  }
  auto handle = std::make_shared<Handle>();
  handle->cache.reset(leveldb::NewLRUCache(kCacheBytes));
  leveldb::Options options;
  options.create_if_missing = true;
  options.paranoid_checks = true;
  options.write_buffer_size = kWriteBufferBytes;
  options.block_cache = handle->cache.get();
  options.max_open_files = 64;
  leveldb::DB* opened = nullptr;
  const auto status = leveldb::DB::Open(options, directory, &opened);
  if (!status.ok()) {
    return error_of(status, directory);
  }
  handle->db.reset(opened);
  return handle;
}

Result<LoadedState> LevelDbBackend::open() {
  SKEP_TRY(open_handle());
  std::string format;
  auto status = handle_->db->Get({}, "f", &format);
  if (status.IsNotFound()) {
    status = handle_->db->Put({}, "f", kFormat);
  } else if (status.ok() && format != kFormat) {
    close_handle();
    return Error{
        Code::kFailedPrecondition,
        directory_ + ": format " + format + " is not known to this version; install a newer agentd",
        "STATE_FORMAT"};
  }
  if (!status.ok()) {
    close_handle();
    return error_of(status, directory_);
  }
  auto loaded = read_all();
  if (!loaded) {
    close_handle();
  }
  return loaded;
}

Result<LoadedState> LevelDbBackend::read_all() {
  LoadedState loaded;
  leveldb::ReadOptions options;
  options.verify_checksums = true;
  options.fill_cache = false;
  const std::unique_ptr<leveldb::Iterator> it(handle_->db->NewIterator(options));
  for (it->SeekToFirst(); it->Valid(); it->Next()) {
    const leveldb::Slice key = it->key();
    const int size = static_cast<int>(it->value().size());
    bool readable = true;
    if (key == "m") {
      readable = loaded.mark.ParseFromArray(it->value().data(), size);
    } else if (is_row(key)) {
      StoredRow row = row_of(key);
      readable = row.object.ParseFromArray(it->value().data(), size);
      loaded.rows.push_back(std::move(row));
    }
    if (!readable) {
      return Error{Code::kDataLoss, directory_ + ": record '" + key.ToString() + "' cannot be read",
                   "STATE_DAMAGED"};
    }
  }
  if (!it->status().ok()) {
    return error_of(it->status(), directory_);
  }
  return loaded;
}

Status LevelDbBackend::write(const StateBatch& batch) {
  if (handle_ == nullptr) {
    return Error{Code::kUnavailable, directory_ + ": not open", "STATE_IO_ERROR"};
  }
  leveldb::WriteBatch updates;
  for (const auto& [key, object] : batch.rows) {
    if (object) {
      updates.Put(row_key(key.first, key.second), object->SerializeAsString());
    } else {
      updates.Delete(row_key(key.first, key.second));
    }
  }
  updates.Put("m", batch.mark.SerializeAsString());
  const auto status = handle_->db->Write({}, &updates);
  return status.ok() ? ok() : Status(error_of(status, directory_));
}

Status LevelDbBackend::sync() {
  return sync_logs(directory_);
}

Status LevelDbBackend::set_aside() {
  close_handle();
  for (int number = 1; number <= 1'000; ++number) {
    const std::string target = directory_ + ".damaged-" + std::to_string(number);
    std::error_code failure;
    if (std::filesystem::exists(target, failure)) {
      continue;
    }
    std::filesystem::rename(directory_, target, failure);
    if (failure) {
      return Error{Code::kUnavailable,
                   directory_ + ": cannot be moved to " + target + ": " + failure.message(),
                   "STATE_IO_ERROR"};
    }
    return ok();
  }
  return Error{Code::kResourceExhausted,
               directory_ + ": there are 1000 damaged copies beside it; remove some",
               "STATE_IO_ERROR"};
}

/// A LevelDB snapshot and an iterator over it.
class LevelDbBackend::Cursor final : public StateCursor {
 public:
  Cursor(std::shared_ptr<Handle> handle, v1::AppliedMark mark, const leveldb::Snapshot* snapshot)
      : handle_(std::move(handle)), mark_(std::move(mark)), snapshot_(snapshot) {
    leveldb::ReadOptions options;
    options.verify_checksums = true;
    options.fill_cache = false;
    options.snapshot = snapshot_;
    rows_.reset(handle_->db->NewIterator(options));
    rows_->Seek("o");
  }
  ~Cursor() override { let_go(); }
  Cursor(const Cursor&) = delete;
  Cursor& operator=(const Cursor&) = delete;

  [[nodiscard]] const v1::AppliedMark& mark() const override { return mark_; }

  Result<std::vector<StoredRow>> read(std::size_t bytes) override {
    if (handle_ == nullptr || handle_->closing) {
      let_go();
      return Error{Code::kUnavailable, "the state was opened again meanwhile", "SNAPSHOT_GONE"};
    }
    std::vector<StoredRow> rows;
    for (std::size_t sum = 0; rows_->Valid() && is_row(rows_->key()) && sum < bytes;
         rows_->Next()) {
      StoredRow row = row_of(rows_->key());
      sum += rows_->value().size();
      if (!row.object.ParseFromArray(rows_->value().data(),
                                     static_cast<int>(rows_->value().size()))) {
        return Error{Code::kDataLoss, "record '" + row.id + "' cannot be read", "STATE_DAMAGED"};
      }
      rows.push_back(std::move(row));
    }
    if (!rows_->status().ok()) {
      return error_of(rows_->status(), "state");
    }
    return rows;
  }

 private:
  void let_go() {
    rows_.reset();
    if (handle_ != nullptr) {
      handle_->db->ReleaseSnapshot(snapshot_);
      handle_.reset();
    }
  }

  std::shared_ptr<Handle> handle_;
  const v1::AppliedMark mark_;
  const leveldb::Snapshot* const snapshot_;
  std::unique_ptr<leveldb::Iterator> rows_;
};

Result<std::unique_ptr<StateCursor>> LevelDbBackend::snapshot() {
  if (handle_ == nullptr) {
    return Error{Code::kUnavailable, directory_ + ": not open", "STATE_IO_ERROR"};
  }
  const leveldb::Snapshot* snapshot = handle_->db->GetSnapshot();
  leveldb::ReadOptions options;
  options.snapshot = snapshot;
  std::string bytes;
  v1::AppliedMark mark;
  const auto status = handle_->db->Get(options, "m", &bytes);
  if ((!status.ok() && !status.IsNotFound()) || !mark.ParseFromString(bytes)) {
    handle_->db->ReleaseSnapshot(snapshot);
    return status.ok()
               ? Error{Code::kDataLoss, directory_ + ": its mark cannot be read", "STATE_DAMAGED"}
               : error_of(status, directory_);
  }
  return std::unique_ptr<StateCursor>(std::make_unique<Cursor>(handle_, std::move(mark), snapshot));
}

Status LevelDbBackend::begin_install() {
  incoming_.reset();
  std::error_code failure;
  std::filesystem::remove_all(directory_ + kIncoming, failure);
  if (failure) {
    return Error{Code::kUnavailable, directory_ + kIncoming + ": " + failure.message(),
                 "STATE_IO_ERROR"};
  }
  SKEP_TRY_ASSIGN(incoming_, open_at(directory_ + kIncoming));
  const auto status = incoming_->db->Put({}, "f", kFormat);
  return status.ok() ? ok() : Status(error_of(status, directory_ + kIncoming));
}

Status LevelDbBackend::install(const std::vector<StoredRow>& rows) {
  if (incoming_ == nullptr) {
    return Error{Code::kUnavailable, directory_ + ": no state is being gathered", "STATE_IO_ERROR"};
  }
  leveldb::WriteBatch batch;
  for (const auto& row : rows) {
    batch.Put(row_key(row.table, row.id), row.object.SerializeAsString());
  }
  const auto status = incoming_->db->Write({}, &batch);
  return status.ok() ? ok() : Status(error_of(status, directory_ + kIncoming));
}

Result<LoadedState> LevelDbBackend::finish_install(const v1::AppliedMark& mark) {
  if (incoming_ == nullptr) {
    return Error{Code::kUnavailable, directory_ + ": no state is being gathered", "STATE_IO_ERROR"};
  }
  if (handle_ != nullptr && handle_.use_count() > 1) {
    // An open database looks for its files by name: it must not live through a swap.
    handle_->closing = true;
    return Error{Code::kUnavailable, directory_ + ": is being read; try again", "STATE_IN_USE"};
  }
  const auto status = incoming_->db->Put({}, "m", mark.SerializeAsString());
  if (!status.ok()) {
    return error_of(status, directory_ + kIncoming);
  }
  SKEP_TRY(sync_logs(directory_ + kIncoming));
  incoming_.reset();
  close_handle();
  SKEP_TRY(sync_logs(directory_ + kIncoming));  // closing may have written
  std::error_code failure;
  std::filesystem::remove_all(directory_ + kOld, failure);
  if (!failure) {
    std::filesystem::rename(directory_, directory_ + kOld, failure);
  }
  if (failure) {
    return Error{Code::kUnavailable, directory_ + ": cannot be put aside: " + failure.message(),
                 "STATE_IO_ERROR"};
  }
  return open();
}

Status LevelDbBackend::finish_swap() {
  std::error_code failure;
  const std::string parent = std::filesystem::path(directory_).parent_path().string();
  const bool present = std::filesystem::exists(directory_, failure);
  const bool old = std::filesystem::exists(directory_ + kOld, failure);
  const bool incoming = std::filesystem::exists(directory_ + kIncoming, failure);
  if (!present && old) {
    SKEP_TRY(sync_path(parent, O_RDONLY | O_DIRECTORY));
    std::filesystem::rename(directory_ + (incoming ? kIncoming : kOld), directory_, failure);
    if (failure) {
      return Error{Code::kUnavailable,
                   directory_ + ": cannot be put in place: " + failure.message(), "STATE_IO_ERROR"};
    }
    SKEP_TRY(sync_path(parent, O_RDONLY | O_DIRECTORY));
  }
  // What is left over: of a swap that is done, or of a state that was never complete.
  std::filesystem::remove_all(directory_ + kOld, failure);
  std::filesystem::remove_all(directory_ + kIncoming, failure);
  return ok();
}

}  // namespace skep::store
