// Any bytes as a layer, plain or compressed: unpacking answers a layer or an error, nothing appears
// beside the directory, nothing outside is changed, and what came out can be removed again. The
// first byte says how much of the limits is allowed.

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

#include "plugins/runtime/oci/images/fd.h"
#include "plugins/runtime/oci/images/layer_unpack.h"

namespace {

namespace fs = std::filesystem;
namespace oci = skep::oci;

/// <root>/victim stays as it is; <root>/layer is unpacked into.
class Playground {
 public:
  Playground() {
    std::string pattern =
        (fs::exists("/dev/shm") ? "/dev/shm" : "/tmp") + std::string("/skep-fuzz-XXXXXX");
    const char* const made = ::mkdtemp(pattern.data());
    SKEP_ASSERT(made != nullptr, "there is room for a directory");
    root_ = made;
    std::ofstream(root_ + "/victim") << "untouched";
  }
  ~Playground() { fs::remove_all(root_); }
  Playground(const Playground&) = delete;
  Playground& operator=(const Playground&) = delete;

  [[nodiscard]] std::string fresh_layer() const {
    fs::create_directory(root_ + "/layer");
    return root_ + "/layer";
  }
  void check() const {
    std::error_code error;
    fs::remove_all(root_ + "/layer", error);
    SKEP_ASSERT(!error, "a layer's tree can be removed");
    std::ifstream in(root_ + "/victim");
    std::string text;
    in >> text;
    SKEP_ASSERT(text == "untouched", "nothing outside the layer was written");
    SKEP_ASSERT(std::distance(fs::directory_iterator(root_), {}) == 1, "nothing appeared outside");
  }

 private:
  std::string root_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Playground playground;
  if (size == 0) {
    return 0;
  }
  oci::UnpackOptions options;
  options.ownership = oci::Ownership::kIgnore;
  options.limits = {data[0] % 2 == 0 ? 1u << 20 : 100u, data[0] % 4 < 2 ? 100u : 3u};
  const oci::OwnedFd fd(::memfd_create("layer", MFD_CLOEXEC));
  SKEP_ASSERT(::write(fd.get(), data + 1, size - 1) == static_cast<ssize_t>(size - 1),
              "memory takes it");
  const auto layer = oci::unpack_layer(fd.get(), playground.fresh_layer(), options);
  if (layer) {
    SKEP_ASSERT(layer->bytes <= options.limits.layer_bytes_max &&
                    layer->entries <= options.limits.entries_max,
                "limits hold");
  }
  playground.check();
  return 0;
}
