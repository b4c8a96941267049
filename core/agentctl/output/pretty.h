#pragma once

// `inspect --pretty`: objects for people, in Docker's order and words. Pure.

#include <string>

#include "skep/agent.pb.h"
#include "skep/env.h"
#include "skep/model.pb.h"

namespace skep::ctl {

std::string pretty_service(const model::v1::Service& service, WallTime now);
std::string pretty_node(const model::v1::Node& node);
std::string pretty_info(const agent::v1::InfoResponse& info);

}  // namespace skep::ctl
