#pragma once

// bus::Peers over a LocalBus: node X calls as participant "X/link" the participants "Y/core".

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "core/bus/peers.h"
#include "skep/testing/local_bus.h"

namespace skep::rig {

bus::v1::Principal who(const std::string& kind, const std::string& id, const std::string& role = "");
/// "n1" of "n1/core".
std::string node_of(const std::string& participant);

class LocalPeers final : public bus::Peers {
 public:
  struct Options {
    std::string node;
    std::string role = "manager";  ///< what its certificate says
    /// Whether a connection to that node can be made now.
    std::function<bool(const std::string& node)> connects;
    /// Whether that node refuses this one as removed, and from which incarnation of the swarm.
    std::function<std::optional<std::uint64_t>(const std::string& node)> refuses = {};
    /// Whether that node takes a call of this method as a manager's, whatever the certificate says.
    std::function<bool(const std::string& node, std::string_view method)> still_manager = {};
  };
  /// Frames and answers arrive on `loop`.
  LocalPeers(testing::LocalBus& bus, Loop& loop, Options options);
  ~LocalPeers() override;
  rpc::Caller& to(const std::string& node_id, const std::string& address) override;
  void refuse(const std::string& node_id, bool refused, std::uint64_t incarnation) override;
  void set_on_gone(std::function<void(const std::string&)> callback) override {
    on_gone = std::move(callback);
  }
  std::function<void(const std::string&)> on_gone;
  std::function<void(const std::string&, std::uint64_t incarnation)> on_removed;
  [[nodiscard]] const std::set<std::string>& refused() const { return refused_; }
  [[nodiscard]] std::uint64_t incarnation() const { return incarnation_; }

 private:
  class Target;
  testing::LocalBus& bus_;
  Loop& loop_;
  const Options options_;
  rpc::MethodTable none_;
  rpc::Caller* caller_ = nullptr;
  std::map<std::string, std::unique_ptr<Target>> targets_;
  std::set<std::string> refused_;
  std::uint64_t incarnation_ = 0;
};

}  // namespace skep::rig
