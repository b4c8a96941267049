#include "plugins/consensus/raft/raft_driver.h"
#include "skep/plugin.h"

SKEP_PLUGIN(skep::raft::RaftDriver, "raft", "1.0.0");
