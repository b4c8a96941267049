#pragma once

// Names of images: Docker's grammar and its normalisation, and the sources a pull can name. Pure.
//
//   reference = [domain "/"] path [":" tag] ["@" digest]
//   domain    = host [":" port], recognised by a '.', a ':' or "localhost" in the first part
//   path      = component {"/" component}; component = lower-case letters and digits, joined by
//               ".", "_", "__" or dashes
//   tag       = letter, digit or "_", then up to 127 of those, "." and "-"

#include <string>
#include <string_view>

#include "skep/result.h"

namespace skep::oci {

inline constexpr std::string_view kDockerDomain = "docker.io";

struct Reference {
  std::string domain;  ///< "docker.io", "127.0.0.1:5000"
  std::string path;    ///< "library/web"
  std::string tag;     ///< "latest" when the text had neither tag nor digest; may be empty
  std::string digest;  ///< "sha256:...", or empty

  [[nodiscard]] std::string name() const { return domain + "/" + path; }
  /// "docker.io/library/web:1"; with a digest and no tag "docker.io/library/web@sha256:...".
  [[nodiscard]] std::string canonical() const;
};

/// kInvalidArgument says what is wrong with the text.
Result<Reference> parse_reference(std::string_view text,
                                  std::string_view default_domain = kDockerDomain);

/// The shortest text that parses to the same reference.
std::string familiar(const Reference& reference, std::string_view default_domain = kDockerDomain);

enum class SourceKind { kRegistry, kDockerArchive, kOciLayout, kOciArchive };

/// Where a pull gets an image from.
struct Source {
  SourceKind kind = SourceKind::kRegistry;
  Reference reference = {};  ///< kRegistry
  std::string path = {};     ///< the others: absolute path of the file or directory
  std::string selector =
      {};  ///< which image of the archive: "web:1" (docker-archive) or a tag; or ""
};

/// A reference, "docker-archive:PATH[:NAME:TAG]", "oci:PATH[:TAG]" or "oci-archive:PATH[:TAG]".
/// PATH is absolute and has no ':'.
Result<Source> parse_source(std::string_view text, std::string_view default_domain = kDockerDomain);

}  // namespace skep::oci
