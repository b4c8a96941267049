#include "core/store/leveldb_backend.h"

#include <fcntl.h>
#include <leveldb/cache.h>
#include <leveldb/db.h>
#include <leveldb/write_batch.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "skep/posix_env.h"

namespace skep::store {
namespace {

constexpr char kFormat[] = "1";
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

}  // namespace

LevelDbBackend::LevelDbBackend(std::string directory) : directory_(std::move(directory)) {}
LevelDbBackend::~LevelDbBackend() = default;

Status LevelDbBackend::open_handle() {
  db_.reset();
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
  options.write_buffer_size = kWriteBufferBytes;
  options.block_cache = cache_.get();
  options.max_open_files = 64;
  leveldb::DB* opened = nullptr;
  const auto status = leveldb::DB::Open(options, directory_, &opened);
  if (!status.ok()) {
    return error_of(status, directory_);
  }
  db_.reset(opened);
  return ok();
}

Result<LoadedState> LevelDbBackend::open() {
  SKEP_TRY(open_handle());
  std::string format;
  auto status = db_->Get({}, "f", &format);
  if (status.IsNotFound()) {
    status = db_->Put({}, "f", kFormat);
  } else if (status.ok() && format != kFormat) {
    db_.reset();
    return Error{
        Code::kFailedPrecondition,
        directory_ + ": format " + format + " is not known to this version; install a newer agentd",
        "STATE_FORMAT"};
  }
  if (!status.ok()) {
    db_.reset();
    return error_of(status, directory_);
  }
  auto loaded = read_all();
  if (!loaded) {
    db_.reset();
  }
  return loaded;
}

Result<LoadedState> LevelDbBackend::read_all() {
  LoadedState loaded;
  leveldb::ReadOptions options;
  options.verify_checksums = true;
  options.fill_cache = false;
  const std::unique_ptr<leveldb::Iterator> it(db_->NewIterator(options));
  for (it->SeekToFirst(); it->Valid(); it->Next()) {
    const leveldb::Slice key = it->key();
    const int size = static_cast<int>(it->value().size());
    bool readable = true;
    if (key == "m") {
      readable = loaded.mark.ParseFromArray(it->value().data(), size);
    } else if (key.size() > 5 && key[0] == 'o') {
      StoredRow row;
      for (std::size_t i = 1; i <= 4; ++i) {
        row.table = (row.table << 8) | static_cast<unsigned char>(key[i]);
      }
      row.id.assign(key.data() + 5, key.size() - 5);
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
  if (db_ == nullptr) {
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
  const auto status = db_->Write({}, &updates);
  return status.ok() ? ok() : Status(error_of(status, directory_));
}

Status LevelDbBackend::sync() {
  std::error_code failure;
  for (const auto& entry : std::filesystem::directory_iterator(directory_, failure)) {
    if (entry.path().extension() == ".log") {
      SKEP_TRY(sync_path(entry.path().string(), O_RDONLY));
    }
  }
  if (failure) {
    return Error{Code::kUnavailable, directory_ + ": " + failure.message(), "STATE_IO_ERROR"};
  }
  return sync_path(directory_, O_RDONLY | O_DIRECTORY);
}

Status LevelDbBackend::set_aside() {
  db_.reset();
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

}  // namespace skep::store
