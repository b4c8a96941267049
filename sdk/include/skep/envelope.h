#pragma once

// The envelope: how a message on the bus begins, whatever carries it. Header bytes come from other
// processes, so they are checked once, here; behind parse_header() everybody may trust them.
// Pure functions, any thread.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "skep/bus.pb.h"
#include "skep/result.h"

namespace skep::rpc {

inline constexpr std::uint32_t kProtocol = 1;
inline constexpr std::size_t kHeaderMax = std::size_t{64} << 10;
inline constexpr std::size_t kBodyMax = std::size_t{16} << 20;
/// Largest chunk of a stream. Each direction of a stream starts with kWindow bytes of credit, and a
/// chunk costs its size plus kChunkCost, so empty chunks are not free.
inline constexpr std::size_t kChunkMax = std::size_t{256} << 10;
inline constexpr std::size_t kWindow = std::size_t{1} << 20;
inline constexpr std::size_t kChunkCost = 64;

/// Parses and checks a header. kInvalidArgument with what is wrong; `principal` and `source` are
/// whatever the sender wrote and must be overwritten by the carrier.
Result<bus::v1::Header> parse_header(std::string_view bytes);

/// The checks of parse_header() on names and sizes, for who builds a request.
Status check_names(const bus::v1::Header& header);

/// True for the types that open a call (REQUEST, EVENT) or end one (RESPONSE, ACK).
bool opens_call(bus::v1::MessageType type);
bool ends_call(bus::v1::MessageType type);

/// Errors on the wire. A code this build does not know becomes kInternal and keeps its words.
void set_status(bus::v1::Header& header, const Error& error);
Error status_error(const bus::v1::Status& status);

/// `text` with every byte that is not part of well-formed UTF-8 replaced by '?'. Protobuf refuses to
/// read a `string` field that is anything else, so foreign text goes through here before it is set.
std::string to_utf8(std::string_view text);

/// The candidate that `wanted` most likely meant, or empty when none is near.
std::string nearest_name(std::string_view wanted, const std::vector<std::string>& candidates);

}  // namespace skep::rpc
