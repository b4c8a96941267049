#include "core/store/memory_backend.h"

#include <utility>

namespace skep::store {

void MemoryBackend::put(Content& content, const StateBatch& batch) {
  for (const auto& [key, object] : batch.rows) {
    if (object) {
      content.rows.insert_or_assign(key, *object);
    } else {
      content.rows.erase(key);
    }
  }
  content.mark = batch.mark;
}

Status MemoryBackend::maybe_fail() {
  if (failures_ > 0) {
    --failures_;
    return Error(failure_);
  }
  return ok();
}

Result<LoadedState> MemoryBackend::open() {
  Content content = durable_;
  for (const auto& batch : unsynced_) {
    put(content, batch);
  }
  LoadedState loaded;
  loaded.mark = content.mark;
  for (auto& [key, object] : content.rows) {
    loaded.rows.push_back({key.first, key.second, object});
  }
  return loaded;
}

Status MemoryBackend::write(const StateBatch& batch) {
  SKEP_TRY(maybe_fail());
  unsynced_.push_back(batch);
  return ok();
}

Status MemoryBackend::sync() {
  SKEP_TRY(maybe_fail());
  for (const auto& batch : unsynced_) {
    put(durable_, batch);
  }
  unsynced_.clear();
  return ok();
}

Status MemoryBackend::set_aside() {
  durable_ = Content();
  unsynced_.clear();
  return ok();
}

void MemoryBackend::crash(Random& random) {
  const auto kept = static_cast<std::ptrdiff_t>(random.below(unsynced_.size() + 1));
  unsynced_.erase(unsynced_.begin() + kept, unsynced_.end());
  failures_ = 0;
}

void MemoryBackend::fail_next(std::size_t count, Error error) {
  failures_ = count;
  failure_ = std::move(error);
}

void MemoryBackend::lose_row(std::uint32_t table, const std::string& id) {
  for (const auto& batch : std::exchange(unsynced_, {})) {
    put(durable_, batch);
  }
  durable_.rows.erase({table, id});
}

}  // namespace skep::store
