#include "core/control/managers/state_source.h"

#include <optional>
#include <utility>

#include "core/model/ids.h"
#include "skep/log.h"

namespace skep::control {
namespace {

Error gone() {
  return Error{Code::kNotFound, "that transfer of the state is over; begin anew", "SNAPSHOT_GONE"};
}

void put_size(std::string& out, std::size_t size) {
  for (int shift = 0; shift < 32; shift += 8) {
    out += static_cast<char>((size >> shift) & 0xff);
  }
}

}  // namespace

// FNV-1a: finds mistakes, not attackers; the state's own hash is compared at the end as well.
std::uint64_t chunk_checksum(std::string_view data) {
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  for (const char byte : data) {
    hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001b3ULL;
  }
  return hash;
}

struct StateSource::Transfer {
  std::string id;
  store::DiskState::Cursor cursor;
  std::optional<Stream> stream;
  std::uint64_t generation = 0;                // of the stream
  std::string bytes;                           // read and not cut into chunks yet
  std::deque<manager::v1::StateChunk> chunks;  // the last ones; sent below `next`
  std::uint64_t made = 0;                      // chunks so far
  std::uint64_t next = 0;                      // to send
  bool reading = false;
  bool read_all = false;
  TimerId idle_timer = 0;
};

StateSource::StateSource(Env& env, store::DiskState& disk) : env_(env), disk_(disk) {}

StateSource::~StateSource() {
  drop_all(gone());
}

void StateSource::drop_all(const Error& error) {
  while (!transfers_.empty()) {
    end(std::string(transfers_.begin()->first), error);
  }
}

void StateSource::end(const std::string& id, const Error& error) {
  auto node = transfers_.extract(id);
  if (node.empty()) {
    return;
  }
  env_.loop.cancel_timer(node.mapped()->idle_timer);
  if (auto stream = std::exchange(node.mapped()->stream, std::nullopt)) {
    stream->finish(error);
  }
}

void StateSource::serve(const manager::v1::FetchStateRequest& request, Stream stream) {
  if (request.snapshot_id().empty()) {
    return begin(request, std::move(stream));
  }
  const auto it = transfers_.find(request.snapshot_id());
  const std::uint64_t next = request.next_chunk();
  if (it == transfers_.end() || next > it->second->made ||
      next + it->second->chunks.size() < it->second->made) {
    return stream.finish(gone());
  }
  attach(*it->second, next, std::move(stream));
}

void StateSource::begin(const manager::v1::FetchStateRequest& request, Stream stream) {
  if (transfers_.size() + starting_ >= kTransfersMax) {
    return stream.finish(Error{Code::kResourceExhausted,
                               "several managers fetch the state already; try again later",
                               "TOO_MANY_TRANSFERS"});
  }
  if (disk_.snapshot_waits(request.min_index())) {
    return stream.finish(Error{Code::kUnavailable, "the saved state of this manager does not reach that far; ask again",
                               "STATE_BEHIND"});
  }
  ++starting_;
  disk_.snapshot(request.min_index(), [this, stream, alive = std::weak_ptr<char>(alive_)](
                                          Result<store::DiskState::Cursor> cursor) mutable {
    if (alive.expired()) {
      return stream.finish(gone());
    }
    --starting_;
    if (!cursor) {
      return stream.finish(std::move(cursor).error());
    }
    auto transfer = std::make_unique<Transfer>();
    transfer->id = model::new_id(env_.random);
    transfer->cursor = *std::move(cursor);
    SKEP_INFO("the state is given to another manager", {"index", transfer->cursor->mark().index()});
    auto& slot = transfers_[transfer->id] = std::move(transfer);
    attach(*slot, 0, std::move(stream));
  });
}

void StateSource::attach(Transfer& transfer, std::uint64_t next, Stream stream) {
  if (auto old = std::exchange(transfer.stream, std::nullopt)) {
    old->finish(Error{Code::kConflict, "the transfer was resumed elsewhere", "STREAM_REPLACED"});
  }
  env_.loop.cancel_timer(std::exchange(transfer.idle_timer, 0));
  transfer.next = next;
  const std::uint64_t generation = ++transfer.generation;
  stream.raw()->set_handlers(
      [](rpc::Body) {}, [] {},
      [this, id = transfer.id, generation, alive = std::weak_ptr<char>(alive_)] {
        if (alive.expired()) {
          return;
        }
        const auto it = transfers_.find(id);
        if (it != transfers_.end() && it->second->generation == generation) {
          it->second->stream.reset();
          arm_idle(*it->second);
        }
      },
      [this, id = transfer.id, alive = std::weak_ptr<char>(alive_)] {
        if (!alive.expired()) {
          pump(id);
        }
      });
  transfer.stream.emplace(std::move(stream));
  pump(transfer.id);
}

void StateSource::arm_idle(Transfer& transfer) {
  transfer.idle_timer = env_.loop.run_after(kIdle, [this, id = transfer.id] { end(id, gone()); });
}

void StateSource::pump(const std::string& id) {
  const auto it = transfers_.find(id);
  if (it == transfers_.end() || !it->second->stream) {
    return;
  }
  Transfer& transfer = *it->second;
  const std::uint64_t first = transfer.made - transfer.chunks.size();
  while (transfer.next < transfer.made) {
    const auto& chunk = transfer.chunks.at(transfer.next - first);
    if (auto sent = transfer.stream->send(chunk); !sent) {
      if (sent.error().code == Code::kCancelled) {  // before its handlers were there
        transfer.stream.reset();
        arm_idle(transfer);
      }
      return;  // goes on with credit; a broken stream is told by its handler
    }
    ++transfer.next;
    if (chunk.last()) {
      transfer.stream->finish(ok());
      transfer.stream.reset();
      return arm_idle(transfer);  // its end may get lost
    }
  }
  read_on(transfer);
}

void StateSource::read_on(Transfer& transfer) {
  if (transfer.reading || transfer.read_all) {
    return;
  }
  transfer.reading = true;
  disk_.read(transfer.cursor, kChunkBytes,
             [this, id = transfer.id,
              alive = std::weak_ptr<char>(alive_)](Result<std::vector<store::StoredRow>> rows) {
               if (alive.expired()) {
                 return;
               }
               const auto it = transfers_.find(id);
               if (it == transfers_.end()) {
                 return;
               }
               it->second->reading = false;
               if (!rows) {
                 if (rows.error().code == Code::kDataLoss) {
                   SKEP_ERROR("the state of this manager is damaged on disk and cannot be given to another one; "
                              "demote it, remove it, and let it join again",
                              {"cause", rows.error().message});
                 }
                 return end(id, rows.error());
               }
               take_rows(*it->second, *rows);
               pump(id);
             });
}

void StateSource::take_rows(Transfer& transfer, const std::vector<store::StoredRow>& rows) {
  for (const auto& row : rows) {
    manager::v1::StateRow record;
    record.set_table(row.table);
    record.set_id(row.id);
    *record.mutable_object() = row.object;
    put_size(transfer.bytes, record.ByteSizeLong());
    record.AppendToString(&transfer.bytes);
  }
  transfer.read_all = rows.empty();
  std::size_t cut = 0;
  while (transfer.bytes.size() - cut >= kChunkBytes || transfer.read_all) {
    auto& chunk = transfer.chunks.emplace_back();
    chunk.set_snapshot_id(transfer.id);
    chunk.set_number(transfer.made++);
    chunk.set_data(transfer.bytes.substr(cut, kChunkBytes));
    cut += chunk.data().size();
    chunk.set_checksum(chunk_checksum(chunk.data()));
    *chunk.mutable_mark() = transfer.cursor->mark();
    if (transfer.read_all && cut == transfer.bytes.size()) {
      chunk.set_last(true);
      break;
    }
  }
  transfer.bytes.erase(0, cut);
  // What was sent long ago is not asked for again: more than a window lies behind it.
  while (transfer.chunks.size() > kChunksKept &&
         transfer.made - transfer.chunks.size() < transfer.next) {
    transfer.chunks.pop_front();
  }
}

}  // namespace skep::control
