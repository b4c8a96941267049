#pragma once

// Names and records of images: what is found under which text, what a removal takes with it. Pure;
// image_store.cc reads and writes the files.
//
//   names.json             {"names": {"docker.io/library/web:1": "sha256:ID", ...@sha256:D...}}
//   images/sha256/ID.json  {"config": "the configuration blob as it came"}

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "plugins/runtime/oci/images/image_store.h"
#include "skep/result.h"

namespace skep::oci {

/// Canonical name (with tag, or with "@" and digest) -> image id.
using Names = std::map<std::string, std::string>;

/// kDataLoss when the text is damaged.
Result<Names> parse_names(std::string_view text);
std::string format_names(const Names& names);

/// kDataLoss when the text is damaged or the blob is not that image's.
Result<runtime::v1::Image> parse_record(std::string_view text, const std::string& id);
std::string format_record(std::string_view config_blob);

/// What a text from a person means among the images that are there.
struct Found {
  std::string id;
  std::string name;  ///< the key in Names it was found under; empty: found by id
};
/// Names win over ids. kNotFound; kInvalidArgument: no reference, or a prefix of several ids.
Result<Found> find_image(std::string_view text, const Names& names,
                         const std::vector<std::string>& ids, std::string_view default_domain);

/// Fills tags and digests, as people see them.
void add_names(runtime::v1::Image& image, const Names& names, std::string_view default_domain);

struct Removal {
  std::vector<std::string> names;  ///< keys to take away
  bool image = false;              ///< the image itself goes too
};
/// `user`: a container that uses the image, or empty. Rules as in ImageStore::remove().
Result<Removal> plan_removal(const Found& found, const Names& names, RemoveMode mode,
                             const std::string& user, std::string_view default_domain);

/// Layers of no image.
std::vector<std::string> unused_layers(const std::vector<std::string>& layers,
                                       const std::set<std::string>& used);

}  // namespace skep::oci
