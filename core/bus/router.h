#pragma once

// Who is on the bus and which call belongs to whom. Pure: frames and time in, effects out; no I/O,
// no clock, no threads. One per agent, owned by Bus.
//
// A caller's correlation ids are its own; the router gives each call an id of its own towards the
// callee. So nobody can touch another's call, and an answer that comes after its call ended (or
// from an earlier life of the agent) finds nothing.

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

#include "skep/bus.pb.h"
#include "skep/env.h"
#include "skep/result.h"

namespace skep::bus {

/// One connection, numbered by whoever owns the carriers; never reused. 0 is the core itself.
using PeerId = std::uint64_t;
inline constexpr PeerId kCorePeer = 0;

enum class CarrierKind { kCore, kInproc, kIpc, kControl };

/// What the carrier knows of a connection, not what the peer says.
struct PeerFacts {
  CarrierKind carrier = CarrierKind::kControl;
  v1::Principal principal;
};

struct Participant {
  std::string name;  ///< plugin id, "core", or "client-N"
  PeerFacts facts;
  v1::Hello hello;
  bool suspect = false;
  std::size_t calls_made = 0;
  std::size_t calls_served = 0;
  std::size_t calls_waiting = 0;
};

// Effects, to be performed in order.
struct Send {
  PeerId to;
  v1::Header header;
  std::string body;
};
struct Close {  ///< forget the connection, after what was sent before
  PeerId peer;
  std::string why;
};
struct Joined {
  std::string name;
};
struct Suspected {
  std::string name;
};
struct Gone {
  std::string name;
  std::string why;
};
using Effect = std::variant<Send, Close, Joined, Suspected, Gone>;
using Effects = std::vector<Effect>;

/// One frame as a trace shows it. `header.method` is filled in for every frame of a call.
struct TraceFrame {
  bool incoming = false;
  const std::string& participant;
  const v1::Header& header;
  std::string_view body;
};

struct RouterOptions {
  std::uint64_t epoch = 1;       ///< random per start of the agent; also seeds the call ids
  std::size_t inflight_max = 4096;          ///< calls one participant answers at a time
  std::size_t waiting_max = 1024;           ///< calls that wait for it beyond that
  std::size_t bytes_max = std::size_t{64} << 20;  ///< of requests in flight to it, and waiting
  std::size_t calls_max = 1024;             ///< unanswered calls of one caller (not of the core)
  std::size_t peers_max = 1024;
  Duration heartbeat = std::chrono::seconds(2);
  unsigned suspect_after = 3;  ///< heartbeats without a sign
  unsigned gone_after = 5;
  /// Decides on a HELLO; fills node_id, core_version and start_request of the WELCOME. Empty: only
  /// clients (no id, no drivers) may join.
  std::function<Result<v1::Welcome>(const PeerFacts&, const v1::Hello&)> admit = {};
  /// Why a target that is not here is missing, when somebody knows (a plugin that restarts).
  std::function<std::optional<Error>(const std::string& target)> explain_missing = {};
};

class Router {
 public:
  explicit Router(RouterOptions options);
  ~Router();
  Router(const Router&) = delete;
  Router& operator=(const Router&) = delete;

  void on_opened(PeerId peer, PeerFacts facts, TimePoint now, Effects& effects);
  /// A frame whose header parse_header() accepted.
  void on_frame(PeerId from, v1::Header header, std::string body, TimePoint now, Effects& effects);
  /// The connection is gone: its open calls are answered kUnavailable.
  void on_closed(PeerId peer, std::string_view why, Effects& effects);
  /// Every heartbeat interval or more often.
  void on_tick(TimePoint now, Effects& effects);
  /// Throws a participant off the bus; false when there is none of that name.
  bool drop(const std::string& name, std::string_view why, Effects& effects);

  [[nodiscard]] std::vector<Participant> participants() const;
  /// "core", drivers and plugin ids that can be called, sorted.
  [[nodiscard]] std::vector<std::string> targets() const;
  [[nodiscard]] std::size_t open_calls() const { return calls_.size(); }
  [[nodiscard]] std::uint64_t dropped_frames() const { return dropped_frames_; }
  /// The tap may not call back into the router.
  void set_tap(std::function<void(const TraceFrame&)> tap) { tap_ = std::move(tap); }

 private:
  struct Peer;
  struct Call;
  struct WaitingFrame;

  // router.cc: who is here
  void on_hello(PeerId from, Peer& peer, std::uint64_t attempt, const std::string& body,
                TimePoint now, Effects& effects);
  Result<v1::Welcome> admit(const Peer& peer, const v1::Hello& hello) const;
  void restart(PeerId id, Peer& peer, Effects& effects);
  void reject(PeerId to, const Error& error, Effects& effects);
  void remove(PeerId id, std::string_view why, Effects& effects);
  [[nodiscard]] const std::string& name_of(PeerId peer) const;
  [[nodiscard]] std::string method_of(const Peer& from, const v1::Header& header) const;
  // router_calls.cc: who calls whom
  void on_request(PeerId from, v1::Header header, std::string body, TimePoint now, Effects& effects);
  void on_answer(PeerId from, v1::Header header, std::string body, TimePoint now, Effects& effects);
  void on_caller_frame(PeerId from, v1::Header header, std::string body, Effects& effects);
  void on_callee_frame(PeerId from, v1::Header header, std::string body, Effects& effects);
  void on_cancel(PeerId from, const v1::Header& header, Effects& effects);
  void forward(std::uint64_t key, Call& call, TimePoint now, Effects& effects);
  void start_waiting(Peer& callee, TimePoint now, Effects& effects);
  void answer_caller(const Call& call, const Error& error, Effects& effects);
  void fail_call(std::uint64_t key, const Error& error, Effects& effects);
  void abandon_calls(PeerId gone, Peer& peer, std::string_view why, Effects& effects);
  [[nodiscard]] bool has_room(const Peer& callee, std::size_t bytes) const;
  [[nodiscard]] Result<PeerId> resolve(const std::string& target) const;
  void emit(PeerId to, v1::Header header, std::string body, Effects& effects,
            const std::string& method = {});

  RouterOptions options_;
  std::uint64_t last_key_;
  std::uint64_t clients_ = 0;
  std::uint64_t dropped_frames_ = 0;
  std::optional<TimePoint> last_tick_;
  std::map<PeerId, Peer> peers_;
  std::map<std::string, PeerId, std::less<>> targets_;  // names and drivers
  std::unordered_map<std::uint64_t, Call> calls_;
  std::function<void(const TraceFrame&)> tap_;
};

}  // namespace skep::bus
