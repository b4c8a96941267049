#pragma once

// A bus inside one loop: participants call each other by target as over the real one, with the same
// endpoints (deadlines, streams, credit), but frames travel as posted events. For tests of
// components that speak to each other, and for the simulator, which decides the fate of every
// frame.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "skep/env.h"
#include "skep/rpc_endpoint.h"

namespace skep::testing {

class LocalBus {
 public:
  /// How long a frame travels from one participant to the other; nullopt-like negative: it is lost.
  /// Frames of one direction never overtake each other.
  using Travel = std::function<Duration(const std::string& from, const std::string& to)>;

  explicit LocalBus(Loop& loop);
  ~LocalBus();
  LocalBus(const LocalBus&) = delete;
  LocalBus& operator=(const LocalBus&) = delete;

  /// A participant `name` that answers `table` at `targets` ("core", "runtime/oci"). What it asks,
  /// it asks as `principal`. The Caller and the table live until detach(); `view` of targets is per
  /// `realm`: a target is looked up among participants of the caller's realm (one realm = one
  /// agent), then as "REALM/TARGET" anywhere. `loop`: the participant's own (a process that can be
  /// stopped by itself), on which frames reach it; nullptr: that of the bus.
  rpc::Caller& attach(const std::string& name, const std::string& realm,
                      std::vector<std::string> targets, const rpc::MethodTable& table,
                      bus::v1::Principal principal, Loop* loop = nullptr);
  /// The participant is gone (crash): calls to it fail, its own are never answered.
  void detach(const std::string& name);
  void set_travel(Travel travel) { travel_ = std::move(travel); }
  /// Sees every frame that arrives, before its receiver does.
  using Tap = std::function<void(const std::string& from, const std::string& to,
                                 std::string_view header, std::string_view body)>;
  void set_tap(Tap tap) { tap_ = std::move(tap); }
  /// Breaks the connections of all pairs for which `broken` holds, now; new calls connect again.
  /// How many there were.
  std::size_t disconnect(
      const std::function<bool(const std::string& from, const std::string& to)>& broken);
  [[nodiscard]] std::uint64_t frames() const { return frames_; }

 private:
  class Participant;
  struct Link;
  Participant* find(const std::string& realm, const std::string& target);
  Participant* search(const std::string& realm, const std::string& target);
  rpc::RpcEndpoint* endpoint(Participant& from, Participant& to);
  void make_endpoint(const std::shared_ptr<Link>& link, int side, Participant& from,
                     Participant& to);
  void send(const std::shared_ptr<Link>& link, int side, std::string header, std::string body);
  void break_link(const std::shared_ptr<Link>& link);
  Loop& loop_of(const std::string& name);

  Loop& loop_;
  Travel travel_;
  Tap tap_;
  std::map<std::string, std::unique_ptr<Participant>> participants_;
  std::map<std::string, Participant*, std::less<>> found_;  // answers of find(), until somebody comes or goes
  std::map<std::pair<std::string, std::string>, std::shared_ptr<Link>> links_;  // names in order
  std::uint64_t frames_ = 0;
};

}  // namespace skep::testing
