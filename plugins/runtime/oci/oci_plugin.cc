#include "plugins/runtime/oci/oci_driver.h"
#include "skep/plugin.h"

SKEP_PLUGIN(skep::oci::OciDriver, "oci", "1.0.0");
