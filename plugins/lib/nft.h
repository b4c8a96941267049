#pragma once

// nftables through libnftables' JSON. A context is made for each call and freed: a kept one costs
// 0.65 MB (measured, design section 10).

#include <string>

#include "skep/result.h"

namespace skep::lib {

/// Runs one transaction, {"nftables": [...]}, in the calling thread's network namespace: all of it
/// or nothing. Blocking; worker threads only.
Status run_nft_json(const std::string& json);

}  // namespace skep::lib
