#pragma once

// Raft's values as the script tests print them.

#include <string>

#include "plugins/consensus/raft/message.h"

namespace skep::raft {

/// "2/5 "data"", "2/2 no-op", "2/6 change add 4 remove 3".
std::string show(const Entry& entry);
/// "voters 1 2 4 outgoing 1 2 3 learner-next 2".
std::string show(const Membership& members);
/// "1->2 append term 2 at 2/3 commit 3 [2/4 "x"]".
std::string show(const Message& message);

}  // namespace skep::raft
