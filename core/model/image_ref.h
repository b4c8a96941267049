#pragma once

// Image references as people type them: [registry/]path[:tag][@digest].

#include <string>
#include <string_view>

#include "skep/result.h"

namespace skep::model {

/// A reference with Docker's defaults filled in.
struct ImageRef {
  std::string registry;  ///< "docker.io" when none was named
  std::string path;      ///< "library/busybox"
  std::string tag;       ///< "latest" when neither tag nor digest was given
  std::string digest;    ///< "sha256:..." or empty

  /// As shown: docker.io, library/ and nothing else left out.
  [[nodiscard]] std::string familiar() const;
  /// With everything spelled out.
  [[nodiscard]] std::string full() const;
};

/// kInvalidArgument: not a reference; the message says which part.
Result<ImageRef> parse_image_ref(std::string_view text);

}  // namespace skep::model
