#pragma once

// The skopeo program as a fetcher of manifests, configurations and layers. One child process per
// call; credentials go through a file of mode 0600 that lives as long as the object. [worker
// thread]

#include <string>
#include <vector>

#include "plugins/runtime/oci/images/endpoints.h"
#include "plugins/runtime/oci/images/registry_auth.h"
#include "plugins/runtime/oci/images/watched_child.h"
#include "skep/env.h"

namespace skep::oci {

struct SkopeoOptions {
  std::string program;           ///< "skopeo"
  std::string directory;         ///< for its temporary files; exists, mode 0700
  std::string signature_policy;  ///< empty: no signatures wanted
  std::string certs_directory;   ///< named in messages
  std::string os;
  std::string architecture;
  Duration deadline;
};

class Skopeo {
 public:
  Skopeo(Env& env, SkopeoOptions options, const Cancel& cancel)
      : env_(env), options_(std::move(options)), cancel_(cancel) {}

  using Line = std::function<void(std::string_view)>;

  /// What is asked for: `url` in skopeo's words, `image` as people said it; `endpoint` for
  /// registries.
  struct Target {
    std::string url;
    std::string image;
    const Endpoint* endpoint = nullptr;
    const RegistryAuth* auth = nullptr;  ///< null: anonymous
  };

  /// The manifest's bytes as the registry keeps them.
  Result<std::string> manifest(const Target& target);
  /// The configuration's bytes.
  Result<std::string> config(const Target& target);
  /// Copies the image into an OCI layout; blobs that lie in `blobs` are not fetched.
  Status copy_to_layout(const Target& target, const std::string& layout, const std::string& blobs,
                        const Line& on_line);
  /// Copies the image as it is into a "dir:" directory: manifest.json and blobs named by hex
  /// digest.
  Status copy_to_directory(const Target& target, const std::string& directory, const Line& on_line);

 private:
  enum class Verb { kInspect, kCopy };
  Result<std::vector<std::string>> arguments(Verb verb, const Target& target);
  Result<std::string> run(std::vector<std::string> argv, const Target& target, const Line& on_line);
  Status write_file(const std::string& name, std::string_view content, std::string& path);

  Env& env_;
  SkopeoOptions options_;
  const Cancel& cancel_;
};

}  // namespace skep::oci
