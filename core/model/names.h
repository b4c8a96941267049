#pragma once

// Names people give to objects: which are allowed, which one an unnamed service gets, and how a
// reference (id, name, unambiguous id prefix) finds its object.

#include <string>
#include <string_view>
#include <vector>

#include "skep/env.h"
#include "skep/result.h"

namespace skep::model {

/// Services and networks: a DNS label of at most 63 characters that starts with a letter or digit;
/// '-' and '_' may stand inside. kInvalidArgument otherwise.
Status validate_service_name(std::string_view name);
/// Nodes: as services; the empty name is fine (the hostname is shown instead).
Status validate_node_name(std::string_view name);
/// Configs and secrets: at most 64 of [a-zA-Z0-9-_.], beginning and ending with a letter or digit.
Status validate_config_name(std::string_view name);
/// Volumes: at least two of [a-zA-Z0-9_.-], beginning with a letter or digit.
Status validate_volume_name(std::string_view name);
/// Label keys: not empty, printable, without spaces and '='.
Status validate_label_key(std::string_view key);

/// "adjective_noun" for a service without a name. Callers add a digit when it is taken.
std::string random_name(Random& random);

/// One candidate of a reference.
struct Named {
  std::string_view id;
  std::string_view name;
};
/// Index into `candidates` of the object `ref` means: full id, else exact name, else the only id that
/// begins with `ref`. kNotFound: "service 'x' not found"; kInvalidArgument: several ids match.
Result<std::size_t> resolve_reference(std::string_view ref, const std::vector<Named>& candidates,
                                      std::string_view noun);

/// Order in which people expect names: digits compare as numbers (svc-2 before svc-10).
bool natural_less(std::string_view left, std::string_view right);

}  // namespace skep::model
