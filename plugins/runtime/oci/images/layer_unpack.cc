#include "plugins/runtime/oci/images/layer_unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <locale.h>

#include <memory>
#include <optional>

#include "plugins/runtime/oci/images/layer_stream.h"
#include "plugins/runtime/oci/images/layer_writer.h"

namespace skep::oci {
namespace {

/// libarchive converts names through the thread's locale; in "C" it would replace every letter that
/// is not ASCII.
class Utf8Names {
 public:
  Utf8Names() : locale_(::newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr)) {
    if (locale_ != nullptr) {
      before_ = ::uselocale(locale_);
    }
  }
  ~Utf8Names() {
    if (locale_ != nullptr) {
      ::uselocale(before_);
      ::freelocale(locale_);
    }
  }
  Utf8Names(const Utf8Names&) = delete;
  Utf8Names& operator=(const Utf8Names&) = delete;

 private:
  locale_t locale_;
  locale_t before_ = nullptr;
};

/// The tar reader on top of the layer's stream.
class TarReader {
 public:
  explicit TarReader(LayerStream& stream) : stream_(stream), archive_(archive_read_new()) {
    SKEP_ASSERT(archive_ != nullptr, "memory is there");
  }
  ~TarReader() { archive_read_free(archive_); }
  TarReader(const TarReader&) = delete;
  TarReader& operator=(const TarReader&) = delete;

  Status open() {
    archive_read_support_format_tar(archive_);
    archive_read_support_format_empty(archive_);
    if (archive_read_open(archive_, this, nullptr, &TarReader::feed, nullptr) != ARCHIVE_OK) {
      return failure();
    }
    return ok();
  }
  /// nullptr at the end.
  Result<archive_entry*> next() {
    archive_entry* entry = nullptr;
    const int result = archive_read_next_header(archive_, &entry);
    if (result == ARCHIVE_EOF && !stream_error_) {
      return static_cast<archive_entry*>(nullptr);
    }
    if (result != ARCHIVE_OK && result != ARCHIVE_WARN) {
      return failure();
    }
    return entry;
  }
  [[nodiscard]] archive* handle() const { return archive_; }
  /// The stream's own error says more than libarchive's about it.
  [[nodiscard]] const std::optional<Error>& stream_error() const { return stream_error_; }

 private:
  static la_ssize_t feed(archive* a, void* self, const void** buffer) {
    auto* const reader = static_cast<TarReader*>(self);
    Result<std::string_view> piece = reader->stream_.next();
    if (!piece) {
      archive_set_error(a, -1, "%s", piece.error().message.c_str());
      reader->stream_error_ = std::move(piece).error();
      return ARCHIVE_FATAL;
    }
    *buffer = piece->data();
    return static_cast<la_ssize_t>(piece->size());
  }
  Error failure() {
    if (stream_error_) {
      return *stream_error_;
    }
    const char* const text = archive_error_string(archive_);
    return Error{Code::kInvalidArgument,
                 std::string("the layer is no usable tar: ") + (text == nullptr ? "damaged" : text),
                 "LAYER_DAMAGED"};
  }

  LayerStream& stream_;
  archive* archive_;
  std::optional<Error> stream_error_;
};

/// Headers, long names and padding come on top of what the files hold.
std::uint64_t stream_bytes_max(const UnpackLimits& limits) {
  constexpr std::uint64_t kPerEntry = 2048;
  return limits.layer_bytes_max + limits.entries_max * kPerEntry;
}

Status write_entries(TarReader& reader, LayerWriter& writer, const UnpackOptions& options) {
  for (;;) {
    if (options.cancelled && options.cancelled()) {
      return Error{Code::kCancelled, "unpacking was cancelled"};
    }
    SKEP_TRY_ASSIGN(archive_entry* const entry, reader.next());
    if (entry == nullptr) {
      return writer.finish();
    }
    if (Status status = writer.write(reader.handle(), entry); !status) {
      return reader.stream_error() ? Status(*reader.stream_error()) : status;
    }
  }
}

}  // namespace

Result<UnpackedLayer> unpack_layer(int fd, const std::string& directory,
                                   const UnpackOptions& options) {
  const Utf8Names utf8;
  SKEP_TRY_ASSIGN(const auto stream, LayerStream::open(fd, stream_bytes_max(options.limits)));
  SKEP_TRY_ASSIGN(SafeTree tree, SafeTree::open(directory));
  LayerWriter writer(std::move(tree), options);
  TarReader reader(*stream);
  SKEP_TRY(reader.open());
  SKEP_TRY(write_entries(reader, writer, options));
  SKEP_TRY_ASSIGN(LayerStream::Digests digests, stream->finish());
  return UnpackedLayer{std::move(digests.blob), std::move(digests.diff), writer.bytes(),
                       writer.entries()};
}

}  // namespace skep::oci
