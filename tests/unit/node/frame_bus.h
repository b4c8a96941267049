#pragma once

// The bus as one agent sees it, for tests that pick out single frames: every target is served by a
// MethodTable through a real RpcEndpoint pair, so deadlines, streams and credit behave as on the wire.
// Any frame can be watched, delayed or lost by its method; a target can be taken down and come back.
// (skep/testing/local_bus.h connects many participants, but sees only bytes.)

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "skep/bus.pb.h"
#include "skep/env.h"
#include "skep/rpc.h"
#include "skep/rpc_endpoint.h"

namespace skep::node::testing {

class FrameBus final : public rpc::Caller {
 public:
  /// One frame of a call under way.
  struct Frame {
    std::string target;
    std::string method;  ///< of the call the frame belongs to
    bus::v1::MessageType type;
    bool to_caller;
  };

  explicit FrameBus(Loop& loop);
  ~FrameBus() override;
  FrameBus(const FrameBus&) = delete;
  FrameBus& operator=(const FrameBus&) = delete;

  /// `table` outlives the bus or is taken down before. Serving a target again is a new incarnation.
  void serve(const std::string& target, const rpc::MethodTable& table);
  /// What is in flight fails with kUnavailable; later calls too, at once.
  void take_down(const std::string& target);
  [[nodiscard]] bool serves(const std::string& target) const { return lines_.contains(target); }

  /// Every request is delivered as coming from it.
  bus::v1::Principal principal;
  /// Of one frame; nullptr: none.
  std::function<Duration(const Frame&)> latency;
  /// True: the frame is lost. nullptr: none is.
  std::function<bool(const Frame&)> lose;
  /// Told of each frame just after it was delivered and handled.
  std::function<void(const Frame&)> delivered;

  rpc::CallId call(std::string target, std::string_view method, rpc::Body body,
                   rpc::CallOptions options, rpc::OnReply on_reply) override;
  void cancel(rpc::CallId id) override;
  std::shared_ptr<rpc::ClientStream> open(std::string target, std::string_view method,
                                          rpc::Body body, rpc::CallOptions options,
                                          rpc::StreamHandlers handlers) override;

 private:
  struct Line;
  Status carry(const std::weak_ptr<Line>& weak, bool to_caller, const std::string& header,
               std::string body);

  Loop& loop_;
  std::map<std::string, std::shared_ptr<Line>> lines_;
  std::map<rpc::CallId, std::pair<std::weak_ptr<Line>, rpc::CallId>> calls_;
  rpc::CallId next_call_ = 1;
  std::uint64_t epoch_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace skep::node::testing
