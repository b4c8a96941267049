#pragma once

// What a container runs and in which environment: Docker's rules for joining a service's wishes
// with an image's defaults. Pure.

#include <string>
#include <vector>

#include "skep/result.h"
#include "skep/runtime.pb.h"

namespace skep::oci {

inline constexpr const char* kDefaultPath =
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// spec.command replaces the image's entrypoint and, with it, the image's command; spec.args
/// replaces the image's command. kInvalidArgument: nothing is left to run.
Result<std::vector<std::string>> resolve_args(const model::v1::ContainerSpec& spec,
                                              const runtime::v1::Image& image);

/// PATH, HOSTNAME (and TERM with a terminal), then the image's, then the service's; the last of one
/// name wins at the place of the first. "NAME" without '=' removes the image's value.
std::vector<std::string> resolve_env(const model::v1::ContainerSpec& spec,
                                     const runtime::v1::Image& image, const std::string& hostname);

/// The spec's directory, else the image's, else "/". kInvalidArgument when it is not absolute.
Result<std::string> resolve_directory(const model::v1::ContainerSpec& spec,
                                      const runtime::v1::Image& image);

/// "SIGTERM", "term", "15", "RTMIN+3" or "RTMAX-1" as a number. kInvalidArgument for anything else.
Result<int> parse_signal(const std::string& text);

/// The signal that asks this container to stop: spec's, else image's, else SIGTERM. A wrong one in
/// an image is ignored, as Docker does; a wrong one in the spec is kInvalidArgument.
Result<int> resolve_stop_signal(const model::v1::ContainerSpec& spec,
                                const runtime::v1::Image& image);

}  // namespace skep::oci
