// Volume drivers whose code misbehaves, made with the SDK's glue. BROKEN_CASE picks the way.
#include <skep/plugin.h>
#include <unistd.h>

#include <cstdlib>
#include <stdexcept>

namespace {

enum class Case { FINE, THROWS_IN_START, HANGS_IN_START, CRASHES_IN_START, CRASHES_IN_CALL };
constexpr Case kCase = Case::BROKEN_CASE;

using skep::Code;
using skep::Error;
using skep::Result;
using skep::Status;

class Broken final : public skep::VolumeDriver {
 public:
  Status start(const skep::DriverContext& /*context*/) override {
    switch (kCase) {
      case Case::THROWS_IN_START:
        throw std::runtime_error("the storage cupboard is locked");
      case Case::HANGS_IN_START:
        for (;;) {
          ::pause();
        }
      case Case::CRASHES_IN_START:
        std::abort();
      case Case::FINE:
      case Case::CRASHES_IN_CALL:
        break;
    }
    return skep::ok();
  }
  Result<skep::volume::v1::Volume> create(const skep::volume::v1::CreateRequest& request) override {
    if (kCase == Case::CRASHES_IN_CALL) {
      std::abort();
    }
    return none(request.name());
  }
  Status remove(const skep::volume::v1::RemoveRequest& /*request*/) override { return skep::ok(); }
  Result<std::string> mount(const skep::volume::v1::MountRequest& request) override { return none(request.name()); }
  Status unmount(const skep::volume::v1::UnmountRequest& /*request*/) override { return skep::ok(); }
  Result<skep::volume::v1::Volume> get(const std::string& name) override { return none(name); }
  Result<std::vector<skep::volume::v1::Volume>> list() override { return std::vector<skep::volume::v1::Volume>{}; }

 private:
  static Error none(const std::string& name) { return Error{Code::kNotFound, "no volume '" + name + "' here"}; }
};

}  // namespace

SKEP_PLUGIN(Broken, BROKEN_ID, "1.0.0");
