#include "plugins/lib/plain_network.h"
#include "skep/plugin.h"

namespace skep::plain {
namespace {
class HostNetworkDriver final : public PlainNetworkDriver {
 public:
  HostNetworkDriver() : PlainNetworkDriver(Sandbox::kNode) {}
};
}  // namespace
}  // namespace skep::plain

SKEP_PLUGIN(skep::plain::HostNetworkDriver, "host", "1.0.0");
