#include "plugins/lib/plain_network.h"
#include "skep/plugin.h"

namespace skep::plain {
namespace {
class NoneNetworkDriver final : public PlainNetworkDriver {
 public:
  NoneNetworkDriver() : PlainNetworkDriver(Sandbox::kOwn) {}
};
}  // namespace
}  // namespace skep::plain

SKEP_PLUGIN(skep::plain::NoneNetworkDriver, "none", "1.0.0");
