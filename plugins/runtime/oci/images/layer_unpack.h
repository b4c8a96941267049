#pragma once

// Unpacks one layer into a directory as overlayfs wants a lower directory: whiteouts ".wh.NAME"
// become devices 0/0, ".wh..wh..opq" the opaque attribute. Keeps owners, modes (setuid too), times,
// hard links, devices, sparse files and extended attributes (user.*, security.capability); leaves
// out attributes that would speak to overlayfs itself. [worker thread]
//
// Later entries replace earlier ones of the same name. A whiteout next to an entry of the same name
// in one layer hides only what lies in lower layers.

#include <cstdint>
#include <functional>
#include <string>

#include "plugins/runtime/oci/images/image_store.h"
#include "skep/result.h"

namespace skep::oci {

enum class Ownership {
  kApply,   ///< root: owners, devices, trusted.* attributes
  kIgnore,  ///< anybody: no owners and devices, user.overlay.* attributes (mount with userxattr)
};

struct UnpackOptions {
  UnpackLimits limits = {};
  Ownership ownership = Ownership::kApply;
  std::function<bool()> cancelled = {};  ///< asked for each entry; empty: never
};

struct UnpackedLayer {
  std::string blob_digest;  ///< of the bytes as they came
  std::string diff_id;      ///< of the tar inside
  std::uint64_t bytes = 0;  ///< content of regular files
  std::uint64_t entries = 0;
};

/// Reads the blob (tar, plain or gzip, zstd, xz, bzip2) from the start of `fd` into `directory`,
/// which exists and is empty. After an error the directory holds anything: remove it.
/// kInvalidArgument: damaged, or an entry that leads out, with LAYER_DAMAGED or LAYER_MALICIOUS.
/// kResourceExhausted: a limit or the disk. kCancelled.
Result<UnpackedLayer> unpack_layer(int fd, const std::string& directory,
                                   const UnpackOptions& options);

}  // namespace skep::oci
