#pragma once

// Flow control of one direction of a stream, as arithmetic. Invariant over both ends:
// credit of the sender + bytes under way + bytes the receiver has not granted back == kWindow.

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>

#include "skep/envelope.h"

namespace skep::rpc {

/// What the sender may still send.
class SendCredit {
 public:
  /// kInvalidArgument: the chunk is too big for ever. kResourceExhausted: wait for credit.
  Status take(std::size_t chunk_size) {
    if (chunk_size > kChunkMax) {
      return Error{Code::kInvalidArgument,
                   "chunk of " + std::to_string(chunk_size) + " bytes is above the limit of " +
                       std::to_string(kChunkMax),
                   "CHUNK_TOO_BIG"};
    }
    // A refused sender stays refused until grant() wakes it, so that a later chunk cannot overtake.
    if (starved_ || chunk_size + kChunkCost > credit_) {
      starved_ = true;
      return Error{Code::kResourceExhausted, "the receiver of the stream gave no more credit",
                   "NO_CREDIT"};
    }
    credit_ -= chunk_size + kChunkCost;
    return ok();
  }
  /// Gives back what take() took for a chunk that was not sent after all.
  void refund(std::size_t chunk_size) { credit_ += chunk_size + kChunkCost; }
  /// True when a sender that was refused can go on. Credit above the window is a defect of the peer
  /// and is cut off. Chunks up to kChunkMax fit again once a quarter of the window is free.
  bool grant(std::uint64_t bytes) {
    credit_ = std::min<std::size_t>(kWindow, credit_ + static_cast<std::size_t>(bytes));
    if (!starved_ || credit_ < kChunkMax + kChunkCost) {
      return false;
    }
    starved_ = false;
    return true;
  }

 private:
  std::size_t credit_ = kWindow;
  bool starved_ = false;
};

/// What the receiver has got and not yet granted back.
class ReceiveCredit {
 public:
  /// False: the sender ignored its credit.
  bool receive(std::size_t chunk_size) {
    held_ += chunk_size + kChunkCost;
    return held_ <= kWindow;
  }
  /// Bytes to grant now, zero while held or not worth a message.
  std::uint64_t release() {
    if (hold_ || held_ < kWindow / 4) {
      return 0;
    }
    return std::exchange(held_, 0);
  }
  void hold(bool hold) { hold_ = hold; }

 private:
  std::size_t held_ = 0;
  bool hold_ = false;
};

}  // namespace skep::rpc
