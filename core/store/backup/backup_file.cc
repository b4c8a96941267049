#include "core/store/backup/backup_file.h"

#include <openssl/evp.h>

#include <array>
#include <utility>

#include "skep/log.h"

namespace skep::store {
namespace {

constexpr std::string_view kMagic{"SKEPBAK\x01", 8};
constexpr char kHeaderFrame = 1;
constexpr char kRowsFrame = 2;
constexpr char kEndFrame = 3;
constexpr std::size_t kFrameHeadBytes = 5;

struct FreeContext {
  void operator()(EVP_MD_CTX* context) const { ::EVP_MD_CTX_free(context); }
};

class Sha256 {
 public:
  Sha256() : context_(::EVP_MD_CTX_new()) {
    SKEP_ASSERT(
        context_ != nullptr && ::EVP_DigestInit_ex(context_.get(), ::EVP_sha256(), nullptr) == 1,
        "OpenSSL has SHA-256");
  }
  void add(std::string_view bytes) {
    ::EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size());
  }
  std::string end() {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned size = 0;
    ::EVP_DigestFinal_ex(context_.get(), digest.data(), &size);
    return {reinterpret_cast<const char*>(digest.data()), size};
  }

 private:
  std::unique_ptr<EVP_MD_CTX, FreeContext> context_;
};

std::string frame_head(char type, std::size_t size) {
  std::string head(1, type);
  for (int shift = 0; shift < 32; shift += 8) {
    head += static_cast<char>((size >> shift) & 0xff);
  }
  return head;
}

}  // namespace

struct BackupWriter::Digest : Sha256 {};
struct BackupReader::Digest : Sha256 {};

BackupWriter::BackupWriter() : digest_(std::make_unique<Digest>()) {}
BackupWriter::~BackupWriter() = default;

std::string BackupWriter::frame(char type, const std::string& payload) {
  SKEP_ASSERT(payload.size() <= kBackupFrameMax, "rows are bounded");
  std::string out = frame_head(type, payload.size()) + payload;
  digest_->add(out);
  return out;
}

std::string BackupWriter::header(v1::BackupHeader header) {
  header.set_format(kBackupFormat);
  digest_->add(kMagic);
  return std::string(kMagic) + frame(kHeaderFrame, header.SerializeAsString());
}

std::string BackupWriter::rows(const std::vector<StoredRow>& rows) {
  std::string out;
  v1::BackupRows batch;
  std::size_t bytes = 0;
  const auto flush = [&] {
    if (batch.rows_size() > 0) {
      out += frame(kRowsFrame, batch.SerializeAsString());
      batch.Clear();
      bytes = 0;
    }
  };
  for (const auto& row : rows) {
    auto& record = *batch.add_rows();
    record.set_table(row.table);
    record.set_id(row.id);
    *record.mutable_object() = row.object;
    ++rows_;
    bytes += row.object.object().size();
    if (bytes >= kBackupRowsBytes) {
      flush();
    }
  }
  flush();
  return out;
}

std::string BackupWriter::end() {
  v1::BackupEnd end;
  end.set_rows(rows_);
  end.set_checksum(digest_->end());
  const std::string payload = end.SerializeAsString();
  return frame_head(kEndFrame, payload.size()) + payload;
}

BackupReader::BackupReader(File& file, std::string name)
    : file_(file), name_(std::move(name)), digest_(std::make_unique<Digest>()) {}
BackupReader::~BackupReader() = default;

Error BackupReader::damaged(const std::string& what) const {
  return Error{
      Code::kDataLoss,
      name_ + ": " + what + "; nothing of it is used. Copy the file again, or take another backup",
      "BACKUP_DAMAGED"};
}

Result<std::string> BackupReader::bytes(std::size_t size) {
  SKEP_TRY_ASSIGN(std::string out, file_.read(offset_, size));
  if (out.size() < size) {
    return damaged("is cut off at byte " + std::to_string(offset_ + out.size()));
  }
  offset_ += size;
  return out;
}

Result<BackupReader::Frame> BackupReader::next() {
  SKEP_TRY_ASSIGN(const std::string head, bytes(kFrameHeadBytes));
  std::size_t size = 0;
  for (std::size_t i = kFrameHeadBytes - 1; i >= 1; --i) {
    size = (size << 8) | static_cast<unsigned char>(head[i]);
  }
  if (size > kBackupFrameMax) {
    return damaged("is damaged before byte " + std::to_string(offset_));
  }
  Frame frame;
  frame.type = head[0];
  SKEP_TRY_ASSIGN(frame.payload, bytes(size));
  if (frame.type != kEndFrame) {
    digest_->add(head);
    digest_->add(frame.payload);
  }
  return frame;
}

Result<v1::BackupHeader> BackupReader::header() {
  SKEP_ASSERT(offset_ == 0, "the header is read first");
  SKEP_TRY_ASSIGN(const std::string magic, file_.read(0, kMagic.size()));
  if (magic != kMagic) {
    return Error{Code::kInvalidArgument,
                 name_ + " is no backup of a swarm: 'agentctl backup create' makes those",
                 "NOT_A_BACKUP"};
  }
  offset_ = kMagic.size();
  digest_->add(magic);
  SKEP_TRY_ASSIGN(const Frame frame, next());
  v1::BackupHeader header;
  if (frame.type != kHeaderFrame || !header.ParseFromString(frame.payload)) {
    return damaged("is damaged at its beginning");
  }
  if (header.format() != kBackupFormat) {
    return Error{Code::kFailedPrecondition,
                 name_ + ": format " + std::to_string(header.format()) +
                     " is not known to this version; use the version that made it (" +
                     header.version() + ") or a newer one",
                 "BACKUP_FORMAT"};
  }
  return header;
}

Result<std::vector<StoredRow>> BackupReader::rows() {
  std::vector<StoredRow> rows;
  while (rows.empty() && !ended_) {
    SKEP_TRY_ASSIGN(const Frame frame, next());
    if (frame.type == kEndFrame) {
      SKEP_TRY(check_end(frame.payload, digest_->end()));
      ended_ = true;
      break;
    }
    v1::BackupRows batch;
    if (frame.type != kRowsFrame || !batch.ParseFromString(frame.payload)) {
      return damaged("is damaged before byte " + std::to_string(offset_));
    }
    for (auto& record : *batch.mutable_rows()) {
      if (record.table() == 0 || record.id().empty()) {
        return damaged("holds a record without a name before byte " + std::to_string(offset_));
      }
      rows.push_back(
          {record.table(), std::move(*record.mutable_id()), std::move(*record.mutable_object())});
    }
    rows_ += rows.size();
  }
  return rows;
}

Status BackupReader::check_end(const std::string& payload, const std::string& digest) {
  v1::BackupEnd end;
  if (!end.ParseFromString(payload) || end.rows() != rows_ || end.checksum() != digest) {
    return damaged("is damaged: its checksum is wrong");
  }
  SKEP_TRY_ASSIGN(const std::uint64_t size, file_.size());
  return size == offset_ ? ok() : Status(damaged("has something behind its end"));
}

}  // namespace skep::store
