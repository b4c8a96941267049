#include "plugins/runtime/oci/images/layer_stream.h"

#include <archive.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

#include "plugins/runtime/oci/images/digest.h"
#include "skep/posix_env.h"

namespace skep::oci {
namespace {

constexpr std::size_t kChunk = 256 * 1024;

struct Magic {
  std::string_view bytes;
  int filter;
};
constexpr std::array<Magic, 4> kMagics{{{"\x1f\x8b", ARCHIVE_FILTER_GZIP},
                                        {"\x28\xb5\x2f\xfd", ARCHIVE_FILTER_ZSTD},
                                        {std::string_view("\xfd"
                                                          "7zXZ\0",
                                                          6),
                                         ARCHIVE_FILTER_XZ},
                                        {"BZh", ARCHIVE_FILTER_BZIP2}}};

int filter_of(std::string_view head) {
  for (const Magic& magic : kMagics) {
    if (head.starts_with(magic.bytes)) {
      return magic.filter;
    }
  }
  return ARCHIVE_FILTER_NONE;
}

class Stream final : public LayerStream {
 public:
  Stream(int fd, std::uint64_t bytes_max)
      : fd_(fd), bytes_max_(bytes_max), in_(kChunk), out_(kChunk) {}
  ~Stream() override {
    if (archive_ != nullptr) {
      archive_read_free(archive_);
    }
  }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  Status start() {
    std::array<char, 8> head{};
    const ssize_t got = ::pread(fd_, head.data(), head.size(), 0);
    if (got < 0 || ::lseek(fd_, 0, SEEK_SET) != 0) {
      return errno_error(errno, "read the layer");
    }
    const int filter = filter_of({head.data(), static_cast<std::size_t>(got)});
    if (filter == ARCHIVE_FILTER_NONE) {
      return ok();
    }
    archive_ = archive_read_new();
    SKEP_ASSERT(archive_ != nullptr, "memory is there");
    // Exactly this filter: an archive inside an archive inside ... is no layer.
    if (archive_read_append_filter(archive_, filter) != ARCHIVE_OK ||
        archive_read_support_format_raw(archive_) != ARCHIVE_OK ||
        archive_read_support_format_empty(archive_) != ARCHIVE_OK ||
        archive_read_open(archive_, this, nullptr, &Stream::feed, nullptr) != ARCHIVE_OK ||
        archive_errno(archive_) != 0) {
      return failure();  // a filter that fails at once looks like an empty stream but for the error
    }
    archive_entry* entry = nullptr;
    const int result = archive_read_next_header(archive_, &entry);
    if (result == ARCHIVE_EOF) {
      ended_ = true;
    } else if (result != ARCHIVE_OK) {
      return failure();
    }
    return ok();
  }

  Result<std::string_view> next() override {
    if (ended_) {
      return std::string_view();
    }
    SKEP_TRY_ASSIGN(const std::string_view piece,
                    archive_ == nullptr ? read_blob() : read_filtered());
    ended_ = piece.empty();
    bytes_ += piece.size();
    if (bytes_ > bytes_max_) {
      return Error{Code::kResourceExhausted,
                   "the layer unpacks to more than " + std::to_string(bytes_max_) + " bytes",
                   "LAYER_TOO_LARGE"};
    }
    diff_.update(piece.data(), piece.size());
    return piece;
  }

  Result<Digests> finish() override {
    while (!ended_) {
      SKEP_TRY(next());
    }
    for (;;) {  // bytes behind the compressed stream belong to the blob's digest
      SKEP_TRY_ASSIGN(const std::string_view rest, read_blob());
      if (rest.empty()) {
        return Digests{blob_.finish(), diff_.finish()};
      }
    }
  }

 private:
  static la_ssize_t feed(archive* a, void* self, const void** buffer) {
    auto* const stream = static_cast<Stream*>(self);
    const Result<std::string_view> piece = stream->read_blob();
    if (!piece) {
      archive_set_error(a, EIO, "%s", piece.error().message.c_str());
      return ARCHIVE_FATAL;
    }
    *buffer = piece->data();
    return static_cast<la_ssize_t>(piece->size());
  }
  Result<std::string_view> read_blob() {
    ssize_t got = 0;
    do {
      got = ::read(fd_, in_.data(), in_.size());
    } while (got < 0 && errno == EINTR);
    if (got < 0) {
      return errno_error(errno, "read the layer");
    }
    blob_.update(in_.data(), static_cast<std::size_t>(got));
    return std::string_view(in_.data(), static_cast<std::size_t>(got));
  }
  Result<std::string_view> read_filtered() {
    const la_ssize_t got = archive_read_data(archive_, out_.data(), out_.size());
    if (got < 0) {
      return failure();
    }
    return std::string_view(out_.data(), static_cast<std::size_t>(got));
  }
  Error failure() {
    const char* const text = archive_error_string(archive_);
    return Error{
        Code::kInvalidArgument,
        std::string("the layer cannot be decompressed: ") + (text == nullptr ? "damaged" : text),
        "LAYER_DAMAGED"};
  }

  int fd_;
  std::uint64_t bytes_max_;
  std::uint64_t bytes_ = 0;
  std::vector<char> in_;
  std::vector<char> out_;
  DigestStream blob_;
  DigestStream diff_;
  archive* archive_ = nullptr;  // null: the blob is a plain tar
  bool ended_ = false;
};

}  // namespace

Result<std::unique_ptr<LayerStream>> LayerStream::open(int fd, std::uint64_t bytes_max) {
  auto stream = std::make_unique<Stream>(fd, bytes_max);
  SKEP_TRY(stream->start());
  return std::unique_ptr<LayerStream>(std::move(stream));
}

}  // namespace skep::oci
