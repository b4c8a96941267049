#pragma once

// Gets an image from where it is into a work directory: configuration and the layers that are not
// unpacked here yet. Checks every digest on the way. [worker thread; one object per pull]

#include <functional>
#include <string>
#include <vector>

#include "plugins/runtime/oci/images/image_store.h"
#include "plugins/runtime/oci/images/layer_store.h"
#include "plugins/runtime/oci/images/manifest.h"
#include "plugins/runtime/oci/images/reference.h"
#include "plugins/runtime/oci/images/registry_auth.h"
#include "plugins/runtime/oci/images/skopeo.h"

namespace skep::oci {

struct FetchedImage {
  std::string id;
  std::vector<std::string> names;  ///< canonical; may be empty
  std::string config;              ///< the blob; empty when the image was known and is whole
  std::vector<LayerFile> layers;   ///< to unpack
};

class ImageFetch {
 public:
  /// Whether the image is here with all its layers.
  using Known = std::function<bool(const std::string& image_id)>;

  ImageFetch(Env& env, const ImageStoreOptions& options, const LayerStore& layers, Known known,
             std::string work_directory, const Cancel& cancel,
             const ImageStore::Progress& progress);

  /// Mirrors first. With a digest in the reference nothing else is accepted.
  Result<FetchedImage> from_registry(const Reference& reference, const RegistryAuth& auth);
  /// `tag` names the image; empty: the archive's own names.
  Result<FetchedImage> from_archive(const Source& source, const std::string& tag);

 private:
  struct Remote;
  Result<FetchedImage> from_endpoint(const Reference& reference, const Endpoint& endpoint,
                                     const RegistryAuth& auth);
  Result<Manifest> read_manifest(const Remote& remote, std::string& digest);
  Status fetch_layers(const Remote& remote, const std::string& digest, const Manifest& manifest,
                      FetchedImage& out);
  Result<std::vector<std::string>> archive_names(const Source& source, const std::string& tag,
                                                 std::string& url);
  Result<FetchedImage> read_directory(const std::string& directory);
  Status prepare_blobs(const std::string& blobs, const std::vector<Descriptor>& layers,
                       const std::vector<std::string>& diff_ids);

  Env& env_;
  const ImageStoreOptions& options_;
  const LayerStore& layers_;
  Known known_;
  std::string work_;
  const ImageStore::Progress& progress_;
  Skopeo skopeo_;
};

}  // namespace skep::oci
