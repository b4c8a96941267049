#include "skep/envelope.h"

#include <algorithm>

namespace skep::rpc {
namespace {

constexpr std::size_t kNameMax = 300;  // "volume/" and a plugin id, or "kind/major/method"

Error malformed(std::string why) {
  return Error{Code::kInvalidArgument, "malformed header: " + std::move(why), "MALFORMED_HEADER"};
}

bool needs_correlation(bus::v1::MessageType type) {
  return opens_call(type) || ends_call(type) || type == bus::v1::STREAM ||
         type == bus::v1::CREDIT || type == bus::v1::CANCEL || type == bus::v1::END;
}

bool printable(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f; });
}

/// Edits (insert, delete, replace, swap of neighbours) from `a` to `b`.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before(b.size() + 1);
  std::vector<std::size_t> last(b.size() + 1);
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) {
    last[j] = j;
  }
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], before[j - 2] + 1);
      }
    }
    std::swap(before, last);
    std::swap(last, row);
  }
  return last[b.size()];
}

/// Length of the well-formed UTF-8 character at the front of `text`, 0 when there is none.
std::size_t character_size(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  const std::size_t size = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3
                                                                          : first < 0xf5   ? 4
                                                                                           : 0;
  if (size == 0 || size > text.size()) {
    return 0;
  }
  for (std::size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xc0U) != 0x80U) {
      return 0;
    }
  }
  const bool overlong = (first == 0xe0 && byte(1) < 0xa0) || (first == 0xf0 && byte(1) < 0x90);
  const bool outside = (first == 0xed && byte(1) > 0x9f) || (first == 0xf4 && byte(1) > 0x8f);
  return overlong || outside ? 0 : size;
}

}  // namespace

std::string to_utf8(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  while (!text.empty()) {
    const std::size_t size = character_size(text);
    if (size == 0) {
      result += '?';
      text.remove_prefix(1);
    } else {
      result.append(text.substr(0, size));
      text.remove_prefix(size);
    }
  }
  return result;
}

bool opens_call(bus::v1::MessageType type) {
  return type == bus::v1::REQUEST || type == bus::v1::EVENT;
}

bool ends_call(bus::v1::MessageType type) {
  return type == bus::v1::RESPONSE || type == bus::v1::ACK;
}

Status check_names(const bus::v1::Header& header) {
  if (opens_call(header.type()) && (header.method().empty() || header.target().empty())) {
    return malformed("a request needs a target and a method");
  }
  if (header.target().size() > kNameMax || header.method().size() > kNameMax ||
      header.operation_id().size() > kNameMax || header.trace_id().size() > kNameMax) {
    return malformed("target, method, operation id and trace id have at most " +
                     std::to_string(kNameMax) + " bytes");
  }
  if (!printable(header.target()) || !printable(header.method())) {
    return malformed("target and method are printable ASCII without spaces");
  }
  return ok();
}

Result<bus::v1::Header> parse_header(std::string_view bytes) {
  if (bytes.size() > kHeaderMax) {
    return malformed(std::to_string(bytes.size()) + " bytes, limit " + std::to_string(kHeaderMax));
  }
  bus::v1::Header header;
  if (!header.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return malformed("not a skep.bus.v1.Header");
  }
  if (header.protocol() != kProtocol) {
    return malformed("protocol " + std::to_string(header.protocol()) + ", this build speaks " +
                     std::to_string(kProtocol));
  }
  const auto type = header.type();
  if (type == bus::v1::MESSAGE_TYPE_UNSPECIFIED || !bus::v1::MessageType_IsValid(type)) {
    return malformed("unknown message type " + std::to_string(static_cast<int>(type)));
  }
  if (needs_correlation(type) && header.correlation() == 0) {
    return malformed("correlation is missing");
  }
  SKEP_TRY(check_names(header));
  if (type == bus::v1::CREDIT && header.credit_bytes() > kWindow + kChunkMax + kChunkCost) {
    return malformed("credit of more than one window");
  }
  return header;
}

void set_status(bus::v1::Header& header, const Error& error) {
  auto& status = *header.mutable_status();
  status.set_code(static_cast<std::uint32_t>(error.code));
  // A header has a size limit, and a string that is not UTF-8 makes it unreadable: the words of an
  // error (another program's output, a file name) must not be what breaks it.
  status.set_reason(to_utf8(std::string_view(error.reason).substr(0, 128)));
  status.set_message(to_utf8(std::string_view(error.message).substr(0, 8192)));
}

Error status_error(const bus::v1::Status& status) {
  const bool known = status.code() >= static_cast<std::uint32_t>(Code::kInvalidArgument) &&
                     status.code() <= static_cast<std::uint32_t>(Code::kInternal);
  return Error{known ? static_cast<Code>(status.code()) : Code::kInternal, status.message(),
               status.reason()};
}

std::string nearest_name(std::string_view wanted, const std::vector<std::string>& candidates) {
  std::string nearest;
  // Names further away than a third of their length are no typing mistakes.
  std::size_t best = std::max<std::size_t>(2, wanted.size() / 3) + 1;
  if (wanted.size() > kNameMax) {
    return nearest;
  }
  for (const auto& candidate : candidates) {
    if (candidate.size() > kNameMax) {
      continue;
    }
    const auto edits = distance(wanted, candidate);
    if (edits < best) {
      best = edits;
      nearest = candidate;
    }
  }
  return nearest;
}

}  // namespace skep::rpc
