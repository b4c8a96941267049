#include "plugins/network/bridge/bridge_driver.h"
#include "skep/plugin.h"

SKEP_PLUGIN(skep::bridge::BridgeDriver, "bridge", "1.0.0");
