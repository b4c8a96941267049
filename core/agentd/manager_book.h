#pragma once

// Which manager a node asks next: the leader when it is known, else the managers in turn. When all of them failed a few
// times, those that were managers by an earlier list: the newest may come from one that had just started and knew no
// better. Pure.

#include <optional>
#include <string>
#include <vector>

#include "skep/env.h"
#include "skep/result.h"

namespace skep::agentd {

struct ManagerAddress {
  std::string node_id;
  std::string address;  ///< "HOST:PORT"
  friend bool operator==(const ManagerAddress&, const ManagerAddress&) = default;
};
/// "ID=HOST:PORT"; nullopt when malformed.
std::optional<ManagerAddress> parse_manager(const std::string& text);

/// Whom a node asks that comes back: the managers that were named, then those it knows ("ID=HOST:PORT") but
/// itself, each once, kReturnTriesMax at most. kInvalidArgument: what was named is no address, or nothing was.
inline constexpr std::size_t kReturnTriesMax = 6;
Result<std::vector<std::string>> managers_to_ask(const std::vector<std::string>& named,
                                                 const std::vector<std::string>& known, const std::string& self);

class ManagerBook {
 public:
  static constexpr std::size_t kFormerMax = 8;
  static constexpr std::size_t kRounds = 5;  ///< over all managers before a former one is asked
  explicit ManagerBook(Random& random) : random_(random) {}
  /// What a manager told: all of them and the leader. Empty lists and unknown leaders change nothing.
  /// True when the list is another one than before.
  bool learn(const std::vector<std::string>& managers, const std::string& leader);
  void forget();
  /// nullopt: no manager is known.
  [[nodiscard]] std::optional<ManagerAddress> choice() const;
  /// That one did not serve: the next is asked. Ignored when it is not the present choice.
  void failed(const std::string& node_id);
  [[nodiscard]] std::vector<std::string> managers() const;

 private:
  void replace(std::vector<ManagerAddress> list);

  Random& random_;
  std::vector<ManagerAddress> all_;
  std::vector<ManagerAddress> former_;  // not in all_, at most kFormerMax, the latest first
  std::optional<ManagerAddress> leader_;
  std::size_t first_ = 0;  // of all_: not every node asks the same one first
  std::size_t failed_ = 0;
};

}  // namespace skep::agentd
