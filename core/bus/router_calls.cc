// The router's half that knows calls: who waits for whom, and how much of it.

#include <algorithm>

#include "core/bus/router.h"
#include "core/bus/router_state.h"
#include "skep/envelope.h"

namespace skep::bus {
namespace {

/// What a caller may send before its call was started: one window of a stream.
constexpr std::size_t kWaitingChunksMax = rpc::kWindow + rpc::kChunkMax;

std::uint64_t left_of(std::uint64_t deadline_ms, Duration waited) {
  const auto used = std::chrono::duration_cast<std::chrono::milliseconds>(waited).count();
  return deadline_ms - std::min(deadline_ms, static_cast<std::uint64_t>(std::max<std::int64_t>(0, used)));
}

v1::Header answer_header(v1::MessageType type, std::uint64_t correlation, const Error& error) {
  v1::Header header;
  header.set_type(type);
  header.set_correlation(correlation);
  rpc::set_status(header, error);
  return header;
}

}  // namespace

Result<PeerId> Router::resolve(const std::string& target) const {
  if (const auto it = targets_.find(target); it != targets_.end()) {
    return it->second;
  }
  if (options_.explain_missing) {
    if (auto error = options_.explain_missing(target)) {
      return *std::move(error);
    }
  }
  auto loaded = targets();
  std::string message = "nothing answers to '" + target + "' on this node";
  if (const auto nearest = rpc::nearest_name(target, loaded); !nearest.empty()) {
    message += "; did you mean '" + nearest + "'?";
  }
  message += " (loaded:";
  for (const auto& name : loaded) {
    message += " " + name;
  }
  return Error{Code::kNotFound, message + ")", "UNKNOWN_TARGET"};
}

bool Router::has_room(const Peer& callee, std::size_t bytes) const {
  return callee.serving.size() < options_.inflight_max &&
         (callee.serving_bytes == 0 || callee.serving_bytes + bytes <= options_.bytes_max);
}

void Router::on_request(PeerId from, v1::Header header, std::string body, TimePoint now,
                        Effects& effects) {
  Peer& caller = peers_.at(from);
  Call call;
  call.caller = from;
  call.caller_id = header.correlation();
  call.method = header.method();
  call.bytes = body.size();
  call.answer = header.type() == v1::EVENT ? v1::ACK : v1::RESPONSE;
  call.since = now;
  if (caller.made.contains(call.caller_id)) {
    ++dropped_frames_;  // answering would end the other call of the same id
    return;
  }
  if (from != kCorePeer && caller.made.size() >= options_.calls_max) {
    return answer_caller(call,
                         Error{Code::kResourceExhausted,
                               std::to_string(options_.calls_max) + " calls of '" + caller.name +
                                   "' are unanswered already",
                               "TOO_MANY_CALLS"},
                         effects);
  }
  const auto callee_id = resolve(header.target());
  if (!callee_id) {
    return answer_caller(call, callee_id.error(), effects);
  }
  call.callee = *callee_id;
  Peer& callee = peers_.at(call.callee);
  const bool room = callee.waiting.empty() && has_room(callee, call.bytes);
  if (!room && (callee.waiting.size() >= options_.waiting_max ||
                callee.waiting_bytes + call.bytes > options_.bytes_max)) {
    return answer_caller(call,
                         Error{Code::kResourceExhausted,
                               "'" + header.target() + "' is busy: " +
                                   std::to_string(callee.serving.size()) + " calls run and " +
                                   std::to_string(callee.waiting.size()) + " wait",
                               "DRIVER_BUSY"},
                         effects);
  }
  *header.mutable_principal() = caller.facts.principal;
  header.set_source(caller.name);
  const std::uint64_t key = ++last_key_;
  header.set_correlation(key);
  caller.made.emplace(call.caller_id, key);
  call.frames.push_back({std::move(header), std::move(body)});
  Call& stored = calls_.emplace(key, std::move(call)).first->second;
  if (room) {
    return forward(key, stored, now, effects);
  }
  callee.waiting.insert(key);
  callee.waiting_bytes += stored.bytes;
}

void Router::forward(std::uint64_t key, Call& call, TimePoint now, Effects& effects) {
  Peer& callee = peers_.at(call.callee);
  callee.serving.insert(key);
  callee.serving_bytes += call.bytes;
  call.forwarded = true;
  auto frames = std::exchange(call.frames, {});
  auto& request = frames.front().header;
  if (request.deadline_ms() > 0) {
    request.set_deadline_ms(std::max<std::uint64_t>(1, left_of(request.deadline_ms(), now - call.since)));
  }
  for (auto& frame : frames) {
    emit(call.callee, std::move(frame.header), std::move(frame.body), effects, call.method);
  }
}

void Router::start_waiting(Peer& callee, TimePoint now, Effects& effects) {
  while (!callee.waiting.empty()) {
    const std::uint64_t key = *callee.waiting.begin();
    Call& call = calls_.at(key);
    if (!has_room(callee, call.bytes)) {
      return;
    }
    callee.waiting.erase(callee.waiting.begin());
    callee.waiting_bytes -= call.bytes;
    const auto deadline_ms = call.frames.front().header.deadline_ms();
    if (deadline_ms > 0 && left_of(deadline_ms, now - call.since) == 0) {
      fail_call(key,
                Error{Code::kTimeout, "the call waited for a busy driver until its deadline",
                      "DEADLINE_EXCEEDED"},
                effects);
      continue;
    }
    forward(key, call, now, effects);
  }
}

void Router::answer_caller(const Call& call, const Error& error, Effects& effects) {
  if (!call.caller_gone) {
    emit(call.caller, answer_header(call.answer, call.caller_id, error), {}, effects, call.method);
  }
}

void Router::fail_call(std::uint64_t key, const Error& error, Effects& effects) {
  const auto node = calls_.extract(key);
  const Call& call = node.mapped();
  if (const auto caller = peers_.find(call.caller); caller != peers_.end() && !call.caller_gone) {
    caller->second.made.erase(call.caller_id);
  }
  answer_caller(call, error, effects);
}

void Router::on_answer(PeerId from, v1::Header header, std::string body, TimePoint now,
                       Effects& effects) {
  const auto it = calls_.find(header.correlation());
  if (it == calls_.end() || it->second.callee != from || !it->second.forwarded) {
    ++dropped_frames_;
    return;
  }
  const auto node = calls_.extract(it);
  const Call& call = node.mapped();
  Peer& callee = peers_.at(from);
  callee.serving.erase(node.key());
  callee.serving_bytes -= call.bytes;
  if (!call.caller_gone) {
    peers_.at(call.caller).made.erase(call.caller_id);
    header.set_correlation(call.caller_id);
    header.set_type(call.answer);
    header.set_source(callee.name);
    header.clear_principal();
    emit(call.caller, std::move(header), std::move(body), effects, call.method);
  }
  start_waiting(callee, now, effects);
}

void Router::on_caller_frame(PeerId from, v1::Header header, std::string body, Effects& effects) {
  Peer& caller = peers_.at(from);
  const auto made = caller.made.find(header.correlation());
  if (made == caller.made.end()) {
    ++dropped_frames_;  // the call ended meanwhile
    return;
  }
  const std::uint64_t key = made->second;
  Call& call = calls_.at(key);
  header.set_correlation(key);
  header.clear_source();
  header.clear_principal();
  if (call.forwarded) {
    return emit(call.callee, std::move(header), std::move(body), effects, call.method);
  }
  Peer& callee = peers_.at(call.callee);
  std::size_t waiting = body.size() + rpc::kChunkCost;
  for (std::size_t i = 1; i < call.frames.size(); ++i) {
    waiting += call.frames[i].body.size() + rpc::kChunkCost;
  }
  if (waiting > kWaitingChunksMax) {
    callee.waiting.erase(key);
    callee.waiting_bytes -= call.bytes;
    return fail_call(key,
                     Error{Code::kResourceExhausted, "the caller sent more than its credit",
                           "CREDIT_IGNORED"},
                     effects);
  }
  call.bytes += body.size();
  callee.waiting_bytes += body.size();
  call.frames.push_back({std::move(header), std::move(body)});
}

void Router::on_callee_frame(PeerId from, v1::Header header, std::string body, Effects& effects) {
  const auto it = calls_.find(header.correlation());
  if (it == calls_.end() || it->second.callee != from || !it->second.forwarded ||
      it->second.caller_gone) {
    ++dropped_frames_;
    return;
  }
  const Call& call = it->second;
  header.set_correlation(call.caller_id);
  header.clear_source();
  header.clear_principal();
  emit(call.caller, std::move(header), std::move(body), effects, call.method);
}

void Router::on_cancel(PeerId from, const v1::Header& header, Effects& effects) {
  Peer& caller = peers_.at(from);
  const auto made = caller.made.find(header.correlation());
  if (made == caller.made.end()) {
    return;
  }
  const std::uint64_t key = made->second;
  const Call& call = calls_.at(key);
  if (call.forwarded) {
    v1::Header cancel;
    cancel.set_type(v1::CANCEL);
    cancel.set_correlation(key);
    return emit(call.callee, std::move(cancel), {}, effects, call.method);
  }
  Peer& callee = peers_.at(call.callee);
  callee.waiting.erase(key);
  callee.waiting_bytes -= call.bytes;
  fail_call(key, Error{Code::kCancelled, "the caller cancelled the call", "CANCELLED"}, effects);
}

void Router::abandon_calls(PeerId gone, Peer& peer, std::string_view why, Effects& effects) {
  const Error error{Code::kUnavailable, "'" + peer.name + "' went away: " + std::string(why),
                    "PARTICIPANT_GONE"};
  auto unanswered = std::move(peer.serving);
  unanswered.merge(peer.waiting);
  for (const std::uint64_t key : unanswered) {
    fail_call(key, error, effects);
  }
  for (const auto& [correlation, key] : std::exchange(peer.made, {})) {
    const auto it = calls_.find(key);
    if (it == calls_.end() || it->second.callee == gone) {
      continue;
    }
    Call& call = it->second;
    if (call.forwarded) {
      call.caller_gone = true;
      v1::Header cancel;
      cancel.set_type(v1::CANCEL);
      cancel.set_correlation(key);
      emit(call.callee, std::move(cancel), {}, effects, call.method);
      continue;
    }
    Peer& callee = peers_.at(call.callee);
    callee.waiting.erase(key);
    callee.waiting_bytes -= call.bytes;
    calls_.erase(it);
  }
}

}  // namespace skep::bus
