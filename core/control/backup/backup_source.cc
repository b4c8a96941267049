#include "core/control/backup/backup_source.h"

#include <utility>

#include "core/store/backup/backup_key.h"
#include "core/store/sealed_backend.h"
#include "skep/log.h"

namespace skep::control {

struct BackupSource::Backup {
  explicit Backup(Stream s) : stream(std::move(s)) {}
  Stream stream;
  store::DiskState::Cursor cursor;
  store::BackupWriter writer;
  std::string bytes;  // made and not sent yet; about two chunks, or one row
  bool reading = false;
  bool read_all = false;
};

BackupSource::BackupSource(store::DiskState& disk, std::shared_ptr<const base::Sealer> sealer,
                           Random& random)
    : disk_(disk), sealer_(std::move(sealer)), random_(random) {}

BackupSource::~BackupSource() {
  drop_all(Error{Code::kCancelled, "the manager stopped", "MANAGER_STOPPED"});
}

void BackupSource::drop_all(const Error& error) {
  while (!backups_.empty()) {
    end(backups_.begin()->first, Error(error));
  }
}

void BackupSource::end(std::uint64_t id, Status status) {
  auto node = backups_.extract(id);
  if (!node.empty()) {
    status ? node.mapped()->stream.finish(ok())
           : node.mapped()->stream.finish(std::move(status).error());
  }
}

void BackupSource::serve(std::uint64_t min_index, store::v1::BackupHeader header,
                         const std::string& unlock_key, Stream stream) {
  if (backups_.size() >= kBackupsMax) {
    return stream.finish(
        Error{Code::kResourceExhausted,
              "two backups are being made here already; try again when they are done",
              "TOO_MANY_BACKUPS"});
  }
  if (auto sealed =
          sealer_ == nullptr ? ok() : store::put_data_key(header, *sealer_, unlock_key, random_);
      !sealed) {
    return stream.finish(std::move(sealed).error());
  }
  const std::uint64_t id = ++last_id_;
  stream.raw()->set_handlers([](rpc::Body) {}, [] {},
                             [this, id, alive = std::weak_ptr<char>(alive_)] {
                               if (!alive.expired()) {
                                 backups_.erase(id);
                               }
                             },
                             [this, id, alive = std::weak_ptr<char>(alive_)] {
                               if (!alive.expired()) {
                                 pump(id);
                               }
                             });
  backups_.emplace(id, std::make_unique<Backup>(std::move(stream)));
  disk_.snapshot(
      min_index, [this, id, header = std::move(header),
                  alive = std::weak_ptr<char>(alive_)](Result<store::DiskState::Cursor> cursor) {
        if (alive.expired()) {
          return;
        }
        cursor ? begin(id, *std::move(cursor), header) : end(id, std::move(cursor).error());
      });
}

void BackupSource::begin(std::uint64_t id, store::DiskState::Cursor cursor,
                         store::v1::BackupHeader header) {
  const auto it = backups_.find(id);
  if (it == backups_.end()) {
    return;
  }
  Backup& backup = *it->second;
  *header.mutable_mark() = cursor->mark();
  SKEP_INFO("a backup of the swarm is taken", {"index", cursor->mark().index()});
  backup.cursor = std::move(cursor);
  backup.bytes = backup.writer.header(std::move(header));
  pump(id);
}

void BackupSource::pump(std::uint64_t id) {
  const auto it = backups_.find(id);
  if (it == backups_.end() || it->second->cursor == nullptr) {
    return;
  }
  Backup& backup = *it->second;
  while (backup.bytes.size() >= kChunkBytes || (backup.read_all && !backup.bytes.empty())) {
    agent::v1::BackupChunk chunk;
    chunk.set_data(backup.bytes.substr(0, kChunkBytes));
    if (auto sent = backup.stream.send(chunk); !sent) {
      return;  // goes on with credit; a broken stream is told by its handler
    }
    backup.bytes.erase(0, chunk.data().size());
  }
  backup.read_all ? end(id, ok()) : read_on(id, backup);
}

std::string BackupSource::make_rows(Backup& backup, std::vector<store::StoredRow> rows) {
  if (sealer_ != nullptr) {
    for (auto& row : rows) {
      store::seal_row(*sealer_, row, random_);
    }
  }
  return backup.writer.rows(rows);
}

void BackupSource::read_on(std::uint64_t id, Backup& backup) {
  if (std::exchange(backup.reading, true)) {
    return;
  }
  disk_.read(
      backup.cursor, kChunkBytes,
      [this, id, alive = std::weak_ptr<char>(alive_)](Result<std::vector<store::StoredRow>> rows) {
        if (alive.expired()) {
          return;
        }
        const auto it = backups_.find(id);
        if (it == backups_.end()) {
          return;
        }
        if (!rows) {
          return end(id, std::move(rows).error());
        }
        Backup& found = *it->second;
        found.reading = false;
        found.read_all = rows->empty();
        found.bytes += rows->empty() ? found.writer.end() : make_rows(found, *std::move(rows));
        pump(id);
      });
}

}  // namespace skep::control
