#pragma once

// What a process of ours holds of the machine's memory when nothing happens.

#include "skep/env.h"

namespace skep::base {

/// Gives back what the start needed and an idle process does not: free heap pages, and the mapped pages of code and
/// constants of the program and its libraries. Those stay in the page cache, where others may take their place;
/// what is used again is mapped again, some hundred minor faults. Relocated and written pages are left alone.
/// [any thread]
void release_idle_memory();

/// Does that soon after the start and every ten minutes, as long as the loop runs. [the loop's thread]
void keep_memory_small(Loop& loop);

}  // namespace skep::base
