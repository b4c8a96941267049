#include "plugins/runtime/oci/images/image_fetch.h"

#include <algorithm>

#include "plugins/runtime/oci/images/digest.h"
#include "plugins/runtime/oci/images/docker_archive.h"
#include "plugins/runtime/oci/images/image_config.h"
#include "skep/log.h"

namespace skep::oci {
namespace {

SkopeoOptions skopeo_options(const ImageStoreOptions& options, const std::string& work) {
  SkopeoOptions out;
  out.program = options.skopeo;
  out.directory = work;
  out.signature_policy = options.signature_policy;
  out.certs_directory = options.certs_directory;
  out.os = options.os;
  out.architecture = options.architecture;
  out.deadline = options.pull_deadline;
  return out;
}

Error damaged(std::string_view what, const std::string& has, const std::string& wanted) {
  return Error{
      Code::kDataLoss,
      "the " + std::string(what) + " arrived damaged: its digest is " + has + ", not " + wanted,
      "IMAGE_DAMAGED"};
}

Status check_platform(const runtime::v1::Image& image, const ImageStoreOptions& options) {
  const bool os = image.os().empty() || image.os() == options.os;
  const bool architecture =
      image.architecture().empty() || image.architecture() == options.architecture;
  if (os && architecture) {
    return ok();
  }
  return Error{Code::kFailedPrecondition,
               "the image is for " + image.os() + "/" + image.architecture() + ", this node is " +
                   options.os + "/" + options.architecture,
               "IMAGE_PLATFORM_MISSING"};
}

Result<runtime::v1::Image> check_config(const std::string& blob, const Manifest& manifest,
                                        const ImageStoreOptions& options) {
  SKEP_TRY_ASSIGN(runtime::v1::Image image, parse_image_config(blob));
  if (image.id() != manifest.config.digest) {
    return damaged("configuration", image.id(), manifest.config.digest);
  }
  if (static_cast<std::size_t>(image.layers_size()) != manifest.layers.size()) {
    return Error{Code::kInvalidArgument,
                 "the manifest has " + std::to_string(manifest.layers.size()) +
                     " layers, the configuration " + std::to_string(image.layers_size()),
                 "IMAGE_INVALID"};
  }
  SKEP_TRY(check_platform(image, options));
  return image;
}

}  // namespace

struct ImageFetch::Remote {
  const Reference& reference;
  const Endpoint& endpoint;
  const RegistryAuth* auth;

  [[nodiscard]] Skopeo::Target by(const std::string& suffix) const {
    return {"docker://" + endpoint.repository + suffix, familiar(reference), &endpoint, auth};
  }
};

ImageFetch::ImageFetch(Env& env, const ImageStoreOptions& options, const LayerStore& layers,
                       Known known, std::string work_directory, const Cancel& cancel,
                       const ImageStore::Progress& progress)
    : env_(env),
      options_(options),
      layers_(layers),
      known_(std::move(known)),
      work_(std::move(work_directory)),
      progress_(progress),
      skopeo_(env, skopeo_options(options, work_), cancel) {}

Result<FetchedImage> ImageFetch::from_registry(const Reference& reference,
                                               const RegistryAuth& auth) {
  const EndpointRules rules{options_.certs_directory, options_.insecure_registries,
                            options_.mirrors};
  const std::vector<Endpoint> endpoints = endpoints_for(
      reference, rules, [this](const std::string& path) { return env_.disk.exists(path); });
  for (std::size_t i = 0; i + 1 < endpoints.size(); ++i) {
    Result<FetchedImage> fetched = from_endpoint(reference, endpoints[i], auth);
    if (fetched || fetched.error().code == Code::kCancelled) {
      return fetched;
    }
    SKEP_INFO("mirror passed over", {"mirror", endpoints[i].host}, {"image", familiar(reference)},
              {"cause", fetched.error().message});
  }
  return from_endpoint(reference, endpoints.back(), auth);
}

Result<Manifest> ImageFetch::read_manifest(const Remote& remote, std::string& digest) {
  const std::string suffix = digest.empty() ? ":" + remote.reference.tag : "@" + digest;
  SKEP_TRY_ASSIGN(const std::string raw, skopeo_.manifest(remote.by(suffix)));
  const std::string has = digest_of(raw);
  if (!digest.empty() && has != digest) {
    return damaged("manifest", has, digest);
  }
  digest = has;
  return parse_manifest(raw);
}

Result<FetchedImage> ImageFetch::from_endpoint(const Reference& reference, const Endpoint& endpoint,
                                               const RegistryAuth& auth) {
  const Remote remote{reference, endpoint, endpoint.may_see_credentials ? &auth : nullptr};
  std::string digest = reference.digest;
  SKEP_TRY_ASSIGN(Manifest manifest, read_manifest(remote, digest));
  FetchedImage out;
  // As for Docker, a tag beside a digest is a remark: it may mean another image by now.
  if (reference.digest.empty()) {
    out.names.push_back(reference.canonical());
  }
  out.names.push_back(reference.name() + "@" + digest);
  if (!manifest.choices.empty()) {
    SKEP_TRY_ASSIGN(const Descriptor chosen,
                    choose_platform(manifest, {options_.os, options_.architecture, ""}));
    digest = chosen.digest;
    SKEP_TRY_ASSIGN(manifest, read_manifest(remote, digest));
    if (!manifest.choices.empty()) {
      return Error{Code::kInvalidArgument, "image '" + familiar(reference) + "' is a list of lists",
                   "IMAGE_INVALID"};
    }
  }
  out.id = manifest.config.digest;
  if (known_(out.id)) {
    return out;
  }
  SKEP_TRY(fetch_layers(remote, digest, manifest, out));
  return out;
}

Status ImageFetch::fetch_layers(const Remote& remote, const std::string& digest,
                                const Manifest& manifest, FetchedImage& out) {
  const Skopeo::Target target = remote.by("@" + digest);
  SKEP_TRY_ASSIGN(out.config, skopeo_.config(target));
  SKEP_TRY_ASSIGN(const runtime::v1::Image image, check_config(out.config, manifest, options_));
  const std::vector<std::string> diff_ids(image.layers().begin(), image.layers().end());
  const std::string blobs = work_ + "/blobs";
  bool missing = false;
  for (std::size_t i = 0; i < diff_ids.size(); ++i) {
    if (!layers_.has(diff_ids[i])) {
      missing = true;
      out.layers.push_back({blobs + "/sha256/" + digest_hex(manifest.layers[i].digest),
                            manifest.layers[i].digest, diff_ids[i]});
    }
  }
  if (!missing) {
    return ok();
  }
  SKEP_TRY(prepare_blobs(blobs, manifest.layers, diff_ids));
  const std::string layout = work_ + "/layout";
  SKEP_TRY(env_.disk.remove_tree(layout));
  return skopeo_.copy_to_layout(target, layout, blobs, [this](std::string_view line) {
    if (line.starts_with("Copying blob sha256:")) {
      progress_("fetching layer " + std::string(line.substr(20, 12)));
    }
  });
}

/// skopeo does not fetch a blob whose file is there, whatever the file holds. So layers that are
/// unpacked already get an empty one, and blobs of an attempt that failed are kept.
Status ImageFetch::prepare_blobs(const std::string& blobs, const std::vector<Descriptor>& layers,
                                 const std::vector<std::string>& diff_ids) {
  const std::string directory = blobs + "/sha256";
  SKEP_TRY(env_.disk.make_directories(directory, 0700));
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const std::string path = directory + "/" + digest_hex(layers[i].digest);
    const bool unpacked = layers_.has(diff_ids[i]);
    if (!unpacked && !env_.disk.exists(path)) {
      continue;
    }
    SKEP_TRY_ASSIGN(const auto file, env_.disk.open(path, OpenMode::kCreate));
    if (unpacked) {
      SKEP_TRY(file->truncate(0));
      continue;
    }
    SKEP_TRY_ASSIGN(const std::uint64_t size, file->size());
    if (size != layers[i].size) {
      SKEP_TRY(env_.disk.remove(path));
    }
  }
  return ok();
}

Result<std::vector<std::string>> ImageFetch::archive_names(const Source& source,
                                                           const std::string& tag,
                                                           std::string& url) {
  std::vector<std::string> names;
  if (source.kind == SourceKind::kDockerArchive) {
    SKEP_TRY_ASSIGN(const auto images, read_docker_archive(source.path, options_.default_domain));
    SKEP_TRY_ASSIGN(const std::size_t index,
                    choose_archived(images, source.selector, source.path, options_.default_domain));
    names = images[index].tags;
    url = "docker-archive:" + source.path + ":@" + std::to_string(index);
  } else {
    url = source.kind == SourceKind::kOciLayout ? "oci:" : "oci-archive:";
    url += source.path + (source.selector.empty() ? "" : ":" + source.selector);
    const Result<Reference> own = parse_reference(source.selector, options_.default_domain);
    // A bare word there is a tag ("1") or a label, not a name people gave the image.
    if (own && source.selector.find(':') != std::string::npos) {
      names.push_back(own->canonical());
    }
  }
  if (!tag.empty()) {
    SKEP_TRY_ASSIGN(const Reference wanted, parse_reference(tag, options_.default_domain));
    names = {wanted.canonical()};
  }
  return names;
}

Result<FetchedImage> ImageFetch::from_archive(const Source& source, const std::string& tag) {
  Skopeo::Target target;
  SKEP_TRY_ASSIGN(std::vector<std::string> names, archive_names(source, tag, target.url));
  target.image = target.url;
  const std::string directory = work_ + "/image";
  SKEP_TRY(env_.disk.remove_tree(directory));
  progress_("reading " + source.path);
  SKEP_TRY(skopeo_.copy_to_directory(target, directory, {}));
  SKEP_TRY_ASSIGN(FetchedImage out, read_directory(directory));
  out.names = std::move(names);
  return out;
}

Result<FetchedImage> ImageFetch::read_directory(const std::string& directory) {
  SKEP_TRY_ASSIGN(const std::string raw, env_.disk.read_file(directory + "/manifest.json"));
  SKEP_TRY_ASSIGN(const Manifest manifest, parse_manifest(raw));
  if (!manifest.choices.empty()) {
    return Error{Code::kInternal, "skopeo copied a list where one platform was asked for"};
  }
  FetchedImage out;
  out.id = manifest.config.digest;
  SKEP_TRY_ASSIGN(out.config, env_.disk.read_file(directory + "/" + digest_hex(out.id)));
  SKEP_TRY_ASSIGN(const runtime::v1::Image image, check_config(out.config, manifest, options_));
  for (std::size_t i = 0; i < manifest.layers.size(); ++i) {
    const std::string& diff_id = image.layers(static_cast<int>(i));
    if (!layers_.has(diff_id)) {
      const std::string& blob = manifest.layers[i].digest;
      out.layers.push_back({directory + "/" + digest_hex(blob), blob, diff_id});
    }
  }
  return out;
}

}  // namespace skep::oci
