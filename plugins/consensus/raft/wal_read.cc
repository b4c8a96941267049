// Reading entries back from the write-ahead log. See wal.h.

#include <algorithm>

#include "plugins/consensus/raft/wal.h"

namespace skep::raft {

std::optional<Term> Wal::term(Index index) const {
  if (index == content_.base_index()) {
    return content_.base_term();
  }
  if (index < content_.base_index() || index > last_index()) {
    return std::nullopt;
  }
  return content_.place(index).term;
}

Result<std::vector<Entry>> Wal::entries(Index from, Index to, std::size_t bytes_max) {
  if (from < first_index() || to > last_index() || from > to) {
    return Error{Code::kInternal, "entries " + std::to_string(from) + " to " + std::to_string(to) +
                                      " are not in the log"};
  }
  std::vector<Entry> found;
  std::size_t bytes = 0;
  for (Index index = from; index <= to; ++index) {
    Entry entry;
    if (!cache_.empty() && index >= cache_.front().index) {
      const Entry& cached = cache_[index - cache_.front().index];
      if (!found.empty() && bytes + cached.bytes() > bytes_max) {
        break;
      }
      entry = cached;
    } else {
      SKEP_TRY_ASSIGN(entry, read_from_disk(index));
    }
    bytes += entry.bytes();
    if (!found.empty() && bytes > bytes_max) {
      break;
    }
    found.push_back(std::move(entry));
  }
  return found;
}

Result<Entry> Wal::read_from_disk(Index index) {
  const EntryPlace& place = content_.place(index);
  const auto segment =
      std::find_if(segments_.begin(), segments_.end(),
                   [&](const SegmentInfo& info) { return info.sequence == place.segment; });
  ensure(segment != segments_.end(), "segments that hold live entries are kept");
  const std::string path = segment_path(options_.directory, place.segment);
  if (read_file_ == nullptr || read_sequence_ != place.segment) {
    SKEP_TRY_ASSIGN(read_file_, disk_.open(path, OpenMode::kRead));
    read_sequence_ = place.segment;
  }
  auto entry = raft::read_entry(*read_file_, place, segment->key_id, options_.sealer);
  if (!entry) {
    return std::move(entry).error().with_context(path);
  }
  return entry;
}

void Wal::cache(std::span<const Entry> entries) {
  if (entries.empty()) {
    return;
  }
  while (!cache_.empty() && cache_.back().index >= entries.front().index) {
    cached_bytes_ -= cache_.back().bytes();
    cache_.pop_back();
  }
  for (const Entry& entry : entries) {
    cached_bytes_ += entry.bytes();
    cache_.push_back(entry);
  }
  while (cached_bytes_ > options_.cache_bytes && cache_.size() > 1) {
    cached_bytes_ -= cache_.front().bytes();
    cache_.pop_front();
  }
}

}  // namespace skep::raft
