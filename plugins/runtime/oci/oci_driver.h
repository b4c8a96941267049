#pragma once

// The runtime driver "oci": images from registries and archives (images/), containers by an OCI
// runtime and conmon (container/). Loop thread only; image work runs on workers.

#include <memory>

#include "plugins/runtime/oci/container/container_driver.h"
#include "plugins/runtime/oci/images/image_store.h"
#include "plugins/runtime/oci/images/pull_queue.h"

namespace skep::oci {

class OciDriver final : public ContainerDriver {
 public:
  OciDriver();
  ~OciDriver() override;

  void stop() override;
  runtime::v1::CapabilitiesResponse capabilities() override;
  void pull(const runtime::v1::PullRequest& request,
            Stream<runtime::v1::methods::Pull> stream) override;
  void list_images(Reply<runtime::v1::ListImagesResponse> reply) override;
  void remove_image(const runtime::v1::RemoveImageRequest& request,
                    Reply<runtime::v1::RemoveImageResponse> reply) override;
  void inspect_image(const runtime::v1::InspectImageRequest& request,
                     Reply<runtime::v1::InspectImageResponse> reply) override;

 protected:
  Result<std::shared_ptr<RootfsSource>> make_source(const DriverContext& context) override;

 private:
  Status start_pull(const std::string& key, const runtime::v1::PullRequest& request);

  std::shared_ptr<PullQueue> pulls_;   // shared with progress that is still on its way
  std::shared_ptr<ImageStore> store_;  // shared with work on worker threads
};

}  // namespace skep::oci
