#pragma once

// Placement constraints: `node.labels.zone==east`, `node.role!=manager`. Values compare as a whole and
// without case; a label that is not there equals the empty string. Parse once at the edge, match often.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "skep/model.pb.h"
#include "skep/result.h"

namespace skep::model {

/// One parsed expression.
struct Constraint {
  enum class Key { kId, kHostname, kIp, kRole, kOs, kArchitecture, kNodeLabel, kEngineLabel };
  Key key = Key::kId;
  bool equal = true;      ///< false for !=
  std::string label;      ///< of kNodeLabel and kEngineLabel
  std::string value;      ///< lower case
  std::string text;       ///< as printed: "node.role==manager"

  /// Whether `node` may run the task. node.ip takes an address or a CIDR.
  [[nodiscard]] bool matches(const v1::Node& node) const;
};

/// kInvalidArgument: no operator, unknown key, malformed value; the message names the expression.
Result<Constraint> parse_constraint(std::string_view expression);
Result<std::vector<Constraint>> parse_constraints(
    const google::protobuf::RepeatedPtrField<std::string>& expressions);
/// The first constraint `node` does not meet, or nullptr.
const Constraint* first_mismatch(const std::vector<Constraint>& constraints, const v1::Node& node);

/// Value of a spread descriptor ("node.labels.zone", "engine.labels.disk") on a node; absent when
/// the descriptor is no such label.
std::optional<std::string> spread_value(std::string_view descriptor, const v1::Node& node);
/// x86_64 = amd64, aarch64 = arm64, and so on, without case.
std::string canonical_architecture(std::string_view architecture);
/// Whether `node` can run images of one of `platforms` (empty list: any).
bool platform_matches(const google::protobuf::RepeatedPtrField<v1::Platform>& platforms,
                      const v1::Platform& node);

}  // namespace skep::model
