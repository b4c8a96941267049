#pragma once

// The images of one node: pulls them with skopeo, unpacks their layers once into content-addressed
// directories for overlayfs, and knows their names and configuration. One object per directory;
// the truth is on disk, so a crash at any point loses nothing that was answered. Node-local.
//
// Thread: every call blocks and belongs on a worker thread (env.workers), never on the loop. Calls
// may run at the same time; file locks in the directory order them, also between processes.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "skep/env.h"
#include "skep/result.h"
#include "skep/runtime.pb.h"

namespace skep::oci {

/// Against layers that are small on the wire and huge on disk.
struct UnpackLimits {
  std::uint64_t layer_bytes_max = 64ull << 30;  ///< of one layer, unpacked
  std::uint64_t entries_max = 2'000'000;        ///< files of one layer
};

struct ImageStoreOptions {
  std::string directory;        ///< <root>/var/lib/skep/...: made when missing, mode 0700
  std::string certs_directory;  ///< <root>/etc/skep/certs.d; HOST[:PORT]/{*.crt,*.cert,*.key} in it
  std::string default_domain = "docker.io";
  std::vector<std::string> insecure_registries = {};  ///< HOST, HOST:PORT or CIDR
  /// Registry -> mirrors (HOST[:PORT][/PREFIX]) asked first, in this order.
  std::map<std::string, std::vector<std::string>> mirrors = {};
  std::string skopeo = "skopeo";
  std::string signature_policy = {};  ///< a containers-policy.json; empty: no signatures wanted
  Duration pull_deadline = std::chrono::minutes(30);
  UnpackLimits limits = {};
  std::string os = "linux";
  std::string architecture = {};  ///< as in Go ("amd64"); empty: this machine's
};

/// What a container is made from. The layer directories stay while the image is there.
struct ResolvedImage {
  runtime::v1::Image image;
  std::vector<std::string> layer_dirs;  ///< absolute, bottom first (overlayfs wants the reverse)
};

enum class RemoveMode { kIfUnused, kForce };

class ImageStore {
 public:
  /// Lines for people while a pull runs; called on the pulling thread.
  using Progress = std::function<void(std::string_view line)>;
  /// Which container (name for the message) uses the image id; empty: none. Called on the removing
  /// thread.
  using UsedBy = std::function<std::string(const std::string& image_id)>;

  /// Opens the directory and removes what a crash left half done. kFailedPrecondition: a directory
  /// of a newer format.
  static Result<std::unique_ptr<ImageStore>> open(const Env& env, ImageStoreOptions options);
  virtual ~ImageStore() = default;

  /// Makes request.image present under its name. Sources: a reference ("web", "host:5000/web:1",
  /// "web@sha256:..."), "docker-archive:PATH[:TAG]", "oci:PATH[:TAG]", "oci-archive:PATH[:TAG]";
  /// request.tag names an archive's image that has no name of its own. Layers that are here are not
  /// fetched again; a repeat asks the registry whether the tag moved.
  /// kNotFound: no such image there. kUnauthenticated: no or wrong credentials. kUnavailable: the
  /// registry did not answer (an image pulled earlier is still there for resolve()).
  /// kFailedPrecondition: skopeo is missing. kResourceExhausted: disk or limit. kDataLoss: digests
  /// differ. kInvalidArgument: not a reference, auth that is no base64 JSON, a malicious layer.
  /// kCancelled: cancel_pulls().
  virtual Result<runtime::v1::Image> pull(const runtime::v1::PullRequest& request,
                                          const Progress& progress) = 0;
  /// By name ("web" = "web:latest"), name@digest, id or unambiguous prefix of an id. kNotFound.
  virtual Result<ResolvedImage> resolve(std::string_view reference) = 0;
  virtual Result<runtime::v1::Image> inspect(std::string_view reference) = 0;
  /// Newest first. Images whose last tag moved away have no tags.
  virtual Result<std::vector<runtime::v1::Image>> list() = 0;
  /// A name is untagged; the image goes with its last name, an id takes all its names (only with
  /// kForce when they are several). kFailedPrecondition: a container uses it (kForce: its names go,
  /// the image itself stays until it is removed by id without a user). kNotFound.
  virtual Result<runtime::v1::RemoveImageResponse> remove(std::string_view reference,
                                                          RemoveMode mode,
                                                          const UsedBy& used_by) = 0;
  /// [any thread] Ends running pulls with kCancelled and refuses new ones; for stop().
  virtual void cancel_pulls() = 0;
};

/// "docker.io/library/web:1" -> "web:1": names as people see them. Other text is returned as it is.
std::string familiar_name(std::string_view reference);

}  // namespace skep::oci
