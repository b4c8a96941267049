#pragma once

// Frames on a byte stream (control socket, links):
//
//   frame := header_size:u32le body_size:u32le header body
//
// header is a serialised skep.bus.v1.Header of at most 64 KiB, body at most 16 MiB. Pure.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "skep/envelope.h"
#include "skep/result.h"

namespace skep::bus {

inline constexpr std::size_t kFramePrefixSize = 8;

/// The prefix of a frame; the bytes of header and body follow it. Sizes are within the limits.
std::string frame_prefix(std::size_t header_size, std::size_t body_size);

/// Cuts a stream into frames. Memory: one frame, as it really arrived (sizes in a prefix reserve
/// nothing, so a liar costs only what it sends).
class FrameParser {
 public:
  struct Frame {
    std::string header;
    std::string body;
  };
  /// Appends the frames that `bytes` completes. kInvalidArgument: the stream is not ours; close it.
  Status feed(std::string_view bytes, std::vector<Frame>& frames);
  /// Bytes of an incomplete frame.
  [[nodiscard]] std::size_t pending() const {
    return prefix_.size() + frame_.header.size() + frame_.body.size();
  }

 private:
  std::string prefix_;
  std::size_t header_size_ = 0;
  std::size_t body_size_ = 0;
  Frame frame_;
};

}  // namespace skep::bus
