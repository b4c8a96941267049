#pragma once

// A layer's tar stream: reads the blob, checks its digest, takes off gzip, zstd, xz or bzip2 (one
// of them, once), checks the digest of what is inside. For .cc files. [one thread]

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "skep/result.h"

namespace skep::oci {

class LayerStream {
 public:
  /// Reads `fd` from its start; the caller keeps owning it. More than `bytes_max` unpacked bytes
  /// end in kResourceExhausted.
  static Result<std::unique_ptr<LayerStream>> open(int fd, std::uint64_t bytes_max);
  virtual ~LayerStream() = default;
  /// The next piece, valid until the next call; empty at the end.
  virtual Result<std::string_view> next() = 0;

  struct Digests {
    std::string blob;  ///< of the bytes as they came
    std::string diff;  ///< of the tar inside
  };
  /// Reads to the end of both and answers what they were.
  virtual Result<Digests> finish() = 0;
};

}  // namespace skep::oci
