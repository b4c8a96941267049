#include "plugins/runtime/process/process_driver.h"
#include "skep/plugin.h"

SKEP_PLUGIN(skep::process::ProcessDriver, "process", "1.0.0");
