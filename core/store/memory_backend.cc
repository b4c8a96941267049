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

MemoryBackend::Content MemoryBackend::present() const {
  Content content = durable_;
  for (const auto& batch : unsynced_) {
    put(content, batch);
  }
  return content;
}

Result<LoadedState> MemoryBackend::open() {
  const Content content = present();
  if (is_damaged(content)) {
    return Error{Code::kDataLoss, description() + ": record '" + flip_->row.second + "' cannot be read",
                 "STATE_DAMAGED"};
  }
  LoadedState loaded;
  loaded.mark = content.mark;
  for (const auto& [key, object] : content.rows) {
    loaded.rows.push_back({key.first, key.second, object});
  }
  return loaded;
}

/// Holds a copy of its moment.
class MemoryBackend::Cursor final : public StateCursor {
 public:
  Cursor(Content content, bool damaged)
      : content_(std::move(content)), damaged_(damaged), next_(content_.rows.begin()) {}
  [[nodiscard]] const v1::AppliedMark& mark() const override { return content_.mark; }
  Result<std::vector<StoredRow>> read(std::size_t bytes) override {
    std::vector<StoredRow> rows;
    for (std::size_t sum = 0; next_ != content_.rows.end() && sum < bytes; ++next_) {
      sum += next_->second.object().size();
      rows.push_back({next_->first.first, next_->first.second, next_->second});
    }
    if (damaged_ && next_ == content_.rows.end()) {
      return Error{Code::kDataLoss, "record '" + content_.rows.rbegin()->first.second + "' cannot be read",
                   "STATE_DAMAGED"};
    }
    return rows;
  }

 private:
  const Content content_;
  const bool damaged_;
  decltype(content_.rows)::const_iterator next_;
};

Result<std::unique_ptr<StateCursor>> MemoryBackend::snapshot() {
  Content content = present();
  const bool damaged = damaged_ || is_damaged(content);
  return std::unique_ptr<StateCursor>(std::make_unique<Cursor>(std::move(content), damaged));
}

Status MemoryBackend::begin_install() {
  incoming_ = Content();
  return ok();
}

Status MemoryBackend::install(const std::vector<StoredRow>& rows) {
  SKEP_TRY(maybe_fail());
  for (const auto& row : rows) {
    incoming_.rows.insert_or_assign({row.table, row.id}, row.object);
  }
  return ok();
}

Result<LoadedState> MemoryBackend::finish_install(const v1::AppliedMark& mark) {
  SKEP_TRY(maybe_fail());
  durable_ = std::exchange(incoming_, Content());
  durable_.mark = mark;
  unsynced_.clear();
  return open();
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
  incoming_ = Content();
  failures_ = 0;
}

void MemoryBackend::fail_next(std::size_t count, Error error) {
  failures_ = count;
  failure_ = std::move(error);
}

bool MemoryBackend::flip_bit(Random& random, FlipIs how) {
  if (durable_.rows.empty()) {
    return false;
  }
  const auto row = std::next(durable_.rows.begin(), static_cast<std::ptrdiff_t>(random.below(durable_.rows.size())));
  std::string& object = *row->second.mutable_object();
  if (object.empty()) {
    return false;
  }
  char& byte = object[random.below(object.size())];
  byte = static_cast<char>(static_cast<unsigned char>(byte) ^ (1U << random.below(8)));
  flip_ = Flip{row->first, object, how};
  return true;
}

bool MemoryBackend::is_flipped() const { return is_flipped(present()); }

bool MemoryBackend::is_flipped(const Content& content) const {
  if (!flip_) {
    return false;
  }
  const auto row = content.rows.find(flip_->row);
  return row != content.rows.end() && row->second.object() == flip_->object;
}

void MemoryBackend::lose_row(std::uint32_t table, const std::string& id) {
  for (const auto& batch : std::exchange(unsynced_, {})) {
    put(durable_, batch);
  }
  durable_.rows.erase({table, id});
}

}  // namespace skep::store
