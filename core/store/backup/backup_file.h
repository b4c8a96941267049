#pragma once

// The backup file of a swarm's state. Bounded memory both ways; node-local, one thread, blocks when
// it reads. Nothing in it is believed before its checksum was right, so a reader throws away what
// it made of the rows when the end does not come.
//
//   file  = "SKEPBAK" %x01, frame (1, BackupHeader), frames (2, BackupRows), frame (3, BackupEnd)
//   frame = type (1 byte), payload size (4 bytes, little endian), payload (skep.store.v1,
//   store.proto)
//
// BackupEnd has the SHA-256 of everything before its own frame; nothing follows it.

#include <memory>
#include <string>
#include <vector>

#include "core/store/store.h"
#include "skep/env.h"

namespace skep::store {

inline constexpr std::uint32_t kBackupFormat = 1;
/// A frame holds rows of about 192 KiB together, or one that is larger.
inline constexpr std::size_t kBackupFrameMax = 4 << 20;
inline constexpr std::size_t kBackupRowsBytes = 192 << 10;

/// Makes the bytes, piece after piece: header() once, rows() as often as wanted, end() once.
class BackupWriter {
 public:
  BackupWriter();
  ~BackupWriter();
  BackupWriter(const BackupWriter&) = delete;
  BackupWriter& operator=(const BackupWriter&) = delete;

  std::string header(v1::BackupHeader header);
  std::string rows(const std::vector<StoredRow>& rows);
  std::string end();

 private:
  struct Digest;
  std::string frame(char type, const std::string& payload);
  std::unique_ptr<Digest> digest_;
  std::uint64_t rows_ = 0;
};

class BackupReader {
 public:
  /// `file` outlives the reader; `name` is what errors call it.
  BackupReader(File& file, std::string name);
  ~BackupReader();
  BackupReader(const BackupReader&) = delete;
  BackupReader& operator=(const BackupReader&) = delete;

  /// First. kInvalidArgument NOT_A_BACKUP; kFailedPrecondition BACKUP_FORMAT: of a newer version;
  /// kDataLoss BACKUP_DAMAGED: cut off or changed.
  Result<v1::BackupHeader> header();
  /// The next rows; none: that was all, and the checksum is right.
  Result<std::vector<StoredRow>> rows();
  [[nodiscard]] std::uint64_t rows_read() const { return rows_; }

 private:
  struct Digest;
  struct Frame {
    char type = 0;
    std::string payload;
  };
  Result<Frame> next();
  Result<std::string> bytes(std::size_t size);
  [[nodiscard]] Error damaged(const std::string& what) const;
  Status check_end(const std::string& payload, const std::string& digest);

  File& file_;
  const std::string name_;
  std::unique_ptr<Digest> digest_;
  std::uint64_t offset_ = 0;
  std::uint64_t rows_ = 0;
  bool ended_ = false;
};

}  // namespace skep::store
