#include "trace.h"

#include <cstring>

#include "skep/envelope.h"

namespace skep::sim {

namespace {

constexpr std::size_t kReplyBytesMax = 512;  // between managers; more is part of a state

/// Does not depend on the order of bytes: protobuf writes maps in an order that differs from run to run
/// and means nothing. Everything else that differs shows in this sum, or in the frames that follow.
std::uint64_t sum_of(std::string_view bytes) {
  std::uint64_t sum = bytes.size();
  for (const char c : bytes) {
    const std::uint64_t value = static_cast<unsigned char>(c) + 1U;
    sum += value * value * value;
  }
  return sum;
}

std::string method_of(std::string_view header) {
  const auto parsed = rpc::parse_header(header);
  return !parsed ? "?" : parsed->method().empty()
                       ? "type " + std::to_string(static_cast<int>(parsed->type()))
                       : parsed->method();
}

}  // namespace

void Trace::add(std::uint64_t word) {
  hash_ = (hash_ ^ word) * 0xd6e8feb86659fd93ULL;
  hash_ ^= hash_ >> 32U;
}

void Trace::add(std::string_view bytes) {
  add(bytes.size());
  while (!bytes.empty()) {
    std::uint64_t word = 0;
    const std::size_t size = bytes.size() < sizeof(word) ? bytes.size() : sizeof(word);
    std::memcpy(&word, bytes.data(), size);
    add(word);
    bytes.remove_prefix(size);
  }
}

void Trace::frame(TimePoint now, const std::string& from, const std::string& to,
                  std::string_view header, std::string_view body) {
  // Chunks of a state carry checksums over maps, so their sums differ too.
  const bool state = from.ends_with("/core") && to.ends_with("/link") && body.size() > kReplyBytesMax;
  const std::uint64_t sum = state ? 0 : sealed_ ? body.size() : sum_of(body);
  ++events_;
  add(static_cast<std::uint64_t>(now.time_since_epoch().count()));
  add(from);
  add(to);
  add(header);
  add(sum);
  if (keep_ == Keep::kLines) {
    lines_.push_back(std::to_string(now.time_since_epoch().count()) + " " + from + " > " + to + " " +
                     method_of(header) + " header " + std::to_string(sum_of(header)) + " body " +
                     std::to_string(body.size()) + " bytes " + std::to_string(sum));
  }
}

void Trace::note(TimePoint now, std::string_view what, std::uint64_t number) {
  ++events_;
  add(static_cast<std::uint64_t>(now.time_since_epoch().count()));
  add(what);
  add(number);
  if (keep_ == Keep::kLines) {
    lines_.push_back(std::to_string(now.time_since_epoch().count()) + " " + std::string(what) + " " +
                     std::to_string(number));
  }
}

}  // namespace skep::sim
