#pragma once

// Private state of the router's two halves.

#include "core/bus/router.h"

namespace skep::bus {

struct Router::Peer {
  PeerFacts facts;
  v1::Hello hello;
  std::string name;
  std::uint64_t attempt = 0;  // correlation of its HELLO; the same again is a repeat, not a new start
  std::string welcome;        // what it was answered
  bool joined = false;
  bool suspect = false;
  TimePoint opened{};
  TimePoint heard{};
  std::map<std::uint64_t, std::uint64_t> made;  // its correlation -> call key
  std::set<std::uint64_t> serving;              // call keys it answers
  std::set<std::uint64_t> waiting;              // keys grow, so this is a queue
  std::size_t serving_bytes = 0;
  std::size_t waiting_bytes = 0;
};

struct Router::WaitingFrame {
  v1::Header header;
  std::string body;
};

struct Router::Call {
  PeerId caller = 0;
  std::uint64_t caller_id = 0;
  PeerId callee = 0;
  std::string method;
  std::size_t bytes = 0;      // of the request while waiting, plus chunks that wait with it
  bool forwarded = false;
  bool caller_gone = false;   // only the callee's answer is awaited, to free its slot
  v1::MessageType answer = v1::RESPONSE;
  TimePoint since{};
  std::vector<WaitingFrame> frames;  // of a call that waits: the request and what followed
};

}  // namespace skep::bus
