#include "core/bus/frame_codec.h"

#include <algorithm>

namespace skep::bus {
namespace {

void append_u32(std::string& out, std::size_t value) {
  for (unsigned shift = 0; shift < 32; shift += 8) {
    out += static_cast<char>((value >> shift) & 0xffU);
  }
}

std::size_t read_u32(std::string_view bytes) {
  std::size_t value = 0;
  for (unsigned i = 0; i < 4; ++i) {
    value |= static_cast<std::size_t>(static_cast<unsigned char>(bytes[i])) << (8 * i);
  }
  return value;
}

/// Moves bytes from the front of `from` until `to` has `size`; whether it has.
bool fill(std::string& to, std::size_t size, std::string_view& from) {
  const std::size_t count = std::min(size - to.size(), from.size());
  to.append(from.substr(0, count));
  from.remove_prefix(count);
  return to.size() == size;
}

}  // namespace

std::string frame_prefix(std::size_t header_size, std::size_t body_size) {
  std::string prefix;
  append_u32(prefix, header_size);
  append_u32(prefix, body_size);
  return prefix;
}

Status FrameParser::feed(std::string_view bytes, std::vector<Frame>& frames) {
  while (!bytes.empty()) {
    if (prefix_.size() < kFramePrefixSize) {
      if (!fill(prefix_, kFramePrefixSize, bytes)) {
        return ok();
      }
      header_size_ = read_u32(prefix_);
      body_size_ = read_u32(std::string_view(prefix_).substr(4));
      if (header_size_ == 0 || header_size_ > rpc::kHeaderMax || body_size_ > rpc::kBodyMax) {
        return Error{Code::kInvalidArgument,
                     "frame with a header of " + std::to_string(header_size_) + " and a body of " +
                         std::to_string(body_size_) + " bytes: limits are 1.." +
                         std::to_string(rpc::kHeaderMax) + " and " + std::to_string(rpc::kBodyMax),
                     "BAD_FRAME"};
      }
    }
    if (fill(frame_.header, header_size_, bytes) && fill(frame_.body, body_size_, bytes)) {
      frames.push_back(std::move(frame_));
      frame_ = {};
      prefix_.clear();
    }
  }
  return ok();
}

}  // namespace skep::bus
