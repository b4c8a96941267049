#pragma once

// The table of contents of a docker-archive ("docker save"): which images it holds. [worker thread]

#include <string>
#include <string_view>
#include <vector>

#include "skep/result.h"

namespace skep::oci {

struct ArchivedImage {
  std::vector<std::string> tags;  ///< canonical names
};

/// kNotFound: no such file. kInvalidArgument: no docker-archive.
Result<std::vector<ArchivedImage>> read_docker_archive(const std::string& path,
                                                       std::string_view default_domain);

/// The index of the image that `selector` ("web:1", "@2", "" for the only one) means.
/// kInvalidArgument or kNotFound name what there is.
Result<std::size_t> choose_archived(const std::vector<ArchivedImage>& images,
                                    const std::string& selector, const std::string& path,
                                    std::string_view default_domain);

}  // namespace skep::oci
