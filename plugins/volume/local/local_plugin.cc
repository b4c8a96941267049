#include "plugins/volume/local/local_driver.h"
#include "skep/plugin.h"

SKEP_PLUGIN(skep::local::LocalVolumeDriver, "local", "1.0.0");
