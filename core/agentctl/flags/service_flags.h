#pragma once

// Docker's flags of `service create` and `service update`, each as an edit of a ServiceSpec. One
// row per flag; create and update share the scalar ones, lists come as --x (create) and as --x-add
// and
// --x-rm (update). Pure: what flags need of the world comes in FlagWorld.

#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "skep/model.pb.h"
#include "skep/result.h"

namespace skep::ctl {

class Command;

struct FlagWorld {
  std::map<std::string, std::string> environment = {};
  std::function<Result<std::string>(const std::string& path)> read_file = {};
};

/// Order in which edits are applied, whatever the order on the command line.
enum class EditPhase { kMode, kRemove, kSet, kAdd };
enum class FlagUse { kCreate, kUpdate, kBoth };

struct ServiceFlag {
  const char* names;
  const char* value;  ///< "" for a switch
  const char* help;
  FlagUse use;
  EditPhase phase;
  bool many;
  Status (*apply)(model::v1::ServiceSpec& spec, const std::string& value, const FlagWorld& world);
};

std::span<const ServiceFlag> container_flags();
std::span<const ServiceFlag> container_list_flags();
std::span<const ServiceFlag> health_flags();
std::span<const ServiceFlag> deploy_flags();
std::span<const ServiceFlag> update_policy_flags();
std::span<const ServiceFlag> network_flags();

/// The flags given on one command line.
class ServiceEdits {
 public:
  /// Adds every flag of `use` to `command`; what is given lands here. Must outlive the command.
  void add_flags(Command& command, FlagUse use);
  /// A new service's spec with Docker's defaults and the given flags.
  Result<model::v1::ServiceSpec> create(const std::string& image,
                                        std::vector<std::string> arguments,
                                        const FlagWorld& world) const;
  /// `spec` with the given flags applied.
  Result<model::v1::ServiceSpec> update(model::v1::ServiceSpec spec, const FlagWorld& world) const;
  [[nodiscard]] bool empty() const { return edits_.empty(); }

 private:
  Status check_mounts() const;
  Status apply(model::v1::ServiceSpec& spec, const FlagWorld& world) const;
  struct Edit {
    const ServiceFlag* flag;
    std::string value;
  };
  std::vector<Edit> edits_;
};

// ---- values ----
/// Refuses "web:1:2", of which the rules for names would only say that the name is wrong; what else an image reference
/// must be, who reads it says. kInvalidArgument.
Status check_image(const std::string& image);
/// [PUB[-PUB]:]TARGET[-TARGET][/PROTO] or target=,published=,protocol=,mode=; at most 1,000 ports.
Result<std::vector<model::v1::PublishedPort>> parse_publish(const std::string& text);
/// type=,source=,target=,... as Docker's --mount.
Result<model::v1::Mount> parse_mount(const std::string& text);
/// "key=value" or "key" (empty value).
Result<std::pair<std::string, std::string>> parse_pair(const std::string& text);
Result<std::uint64_t> parse_count(const std::string& text);
Result<bool> parse_switch(const std::string& text);

}  // namespace skep::ctl
