#include "plugins/runtime/oci/oci_driver.h"

#include <algorithm>
#include <map>
#include <sstream>

namespace skep::oci {
namespace {

/// Root file systems made of an image's unpacked layers.
class ImageSource final : public RootfsSource {
 public:
  explicit ImageSource(std::shared_ptr<ImageStore> store) : store_(std::move(store)) {}

  Result<Rootfs> find(const model::v1::ContainerSpec& spec) override {
    SKEP_TRY_ASSIGN(ResolvedImage resolved, store_->resolve(spec.image()));
    Rootfs rootfs;
    rootfs.image = std::move(resolved.image);
    rootfs.layers.assign(resolved.layer_dirs.rbegin(), resolved.layer_dirs.rend());
    return rootfs;
  }

 private:
  std::shared_ptr<ImageStore> store_;
};

std::string setting(const plugin::v1::StartRequest& start, const std::string& key,
                    const std::string& standard) {
  const auto it = start.config().find(key);
  return it == start.config().end() || it->second.empty() ? standard : it->second;
}

std::vector<std::string> words(const std::string& text) {
  std::string spaced = text;
  std::replace(spaced.begin(), spaced.end(), ',', ' ');
  std::istringstream stream(spaced);
  std::vector<std::string> out;
  for (std::string word; stream >> word;) {
    out.push_back(word);
  }
  return out;
}

std::string under_root(const std::string& root, const std::string& path) {
  return root.empty() || root == "/" ? path : root + path;
}

}  // namespace

OciDriver::OciDriver() : ContainerDriver("oci") {}

OciDriver::~OciDriver() { OciDriver::stop(); }

void OciDriver::stop() {
  if (store_) {
    store_->cancel_pulls();
  }
  ContainerDriver::stop();
}

Result<std::shared_ptr<RootfsSource>> OciDriver::make_source(const DriverContext& context) {
  const auto& start = context.start;
  ImageStoreOptions options;
  options.directory = start.state_dir() + "/images";
  options.certs_directory =
      setting(start, "certs_directory", under_root(start.root(), "/etc/skep/certs.d"));
  options.default_domain = setting(start, "default_registry", options.default_domain);
  options.insecure_registries = words(setting(start, "insecure_registries", ""));
  options.skopeo = setting(start, "skopeo_path", options.skopeo);
  options.signature_policy = setting(start, "signature_policy", "");
  // "REGISTRY=MIRROR": several mirrors of one registry are asked in the order given.
  for (const std::string& pair : words(setting(start, "registry_mirrors", ""))) {
    const auto equals = pair.find('=');
    if (equals == std::string::npos || equals == 0 || equals + 1 == pair.size()) {
      return Error{Code::kInvalidArgument,
                   "registry_mirrors: '" + pair + "' is not REGISTRY=MIRROR", "BAD_CONFIG"};
    }
    options.mirrors[pair.substr(0, equals)].push_back(pair.substr(equals + 1));
  }
  SKEP_TRY_ASSIGN(std::unique_ptr<ImageStore> store, ImageStore::open(context.env, options));
  store_ = std::move(store);
  pulls_ = std::make_shared<PullQueue>(
      [this](const std::string& key, const runtime::v1::PullRequest& request) {
        return start_pull(key, request);
      });
  return std::shared_ptr<RootfsSource>(std::make_shared<ImageSource>(store_));
}

runtime::v1::CapabilitiesResponse OciDriver::capabilities() {
  auto response = ContainerDriver::capabilities();
  response.set_images(true);
  return response;
}

Status OciDriver::start_pull(const std::string& key, const runtime::v1::PullRequest& request) {
  auto result = std::make_shared<Result<runtime::v1::Image>>(Error{});
  auto progress = [loop = &env().loop, queue = pulls_, key](std::string_view line) {
    loop->post([queue, key, text = std::string(line)] { queue->on_line(key, text); });
  };
  return on_worker(
      [store = store_, request, progress, result] { *result = store->pull(request, progress); },
      [queue = pulls_, key, result] { queue->on_done(key, *result); });
}

void OciDriver::pull(const runtime::v1::PullRequest& request,
                     Stream<runtime::v1::methods::Pull> stream) {
  // Progress is for people: a line without credit to send it is dropped.
  auto line = [stream](std::string_view text) mutable {
    runtime::v1::PullProgress message;
    message.set_status(std::string(text));
    const auto sent = stream.send(message);
    static_cast<void>(sent.has_value());
  };
  auto done = [stream](const Result<runtime::v1::Image>& image) mutable {
    if (!image) {
      return stream.finish(image.error());
    }
    runtime::v1::PullProgress last;
    last.set_status("pulled");
    *last.mutable_image() = *image;
    stream.finish(stream.send(last));
  };
  if (Status added = pulls_->add(request, line, done); !added) {
    stream.finish(std::move(added));
  }
}

void OciDriver::list_images(Reply<runtime::v1::ListImagesResponse> reply) {
  answer_from_worker<runtime::v1::ListImagesResponse>(
      [store = store_]() -> Result<runtime::v1::ListImagesResponse> {
        SKEP_TRY_ASSIGN(auto images, store->list());
        runtime::v1::ListImagesResponse response;
        response.mutable_images()->Assign(images.begin(), images.end());
        return response;
      },
      std::move(reply));
}

void OciDriver::remove_image(const runtime::v1::RemoveImageRequest& request,
                             Reply<runtime::v1::RemoveImageResponse> reply) {
  answer_from_worker<runtime::v1::RemoveImageResponse>(
      [store = store_, request, used = images_in_use()] {
        return store->remove(request.image(),
                             request.force() ? RemoveMode::kForce : RemoveMode::kIfUnused,
                             [&used](const std::string& image_id) {
                               const auto it = used.find(image_id);
                               return it == used.end() ? std::string() : it->second;
                             });
      },
      std::move(reply));
}

void OciDriver::inspect_image(const runtime::v1::InspectImageRequest& request,
                              Reply<runtime::v1::InspectImageResponse> reply) {
  answer_from_worker<runtime::v1::InspectImageResponse>(
      [store = store_, request]() -> Result<runtime::v1::InspectImageResponse> {
        runtime::v1::InspectImageResponse response;
        SKEP_TRY_ASSIGN(*response.mutable_image(), store->inspect(request.image()));
        return response;
      },
      std::move(reply));
}

}  // namespace skep::oci
