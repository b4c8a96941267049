#include <fmt/format.h>

#include <charconv>
#include <limits>

#include "core/agentctl/flags/service_flags.h"
#include "core/agentctl/suggest.h"
#include "core/agentctl/text.h"

namespace skep::ctl {

using model::v1::PublishedPort;

namespace {

constexpr std::size_t kPortRangeMax = 1000;

Error bad(std::string message) {
  return Error{Code::kInvalidArgument, std::move(message)};
}

struct PortRange {
  std::uint32_t first = 0;
  std::uint32_t last = 0;
  [[nodiscard]] std::size_t size() const { return last - first + 1; }
};

Result<std::uint32_t> parse_port(std::string_view text) {
  std::uint32_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc{} || end != text.data() + text.size() || port == 0 || port > 65535) {
    return bad(fmt::format("'{}' is not a port: ports go from 1 to 65535", text));
  }
  return port;
}

Result<PortRange> parse_range(std::string_view text) {
  const std::size_t dash = text.find('-');
  PortRange range;
  SKEP_TRY_ASSIGN(range.first, parse_port(text.substr(0, dash)));
  range.last = range.first;
  if (dash != std::string_view::npos) {
    SKEP_TRY_ASSIGN(range.last, parse_port(text.substr(dash + 1)));
  }
  if (range.last < range.first || range.size() > kPortRangeMax) {
    return bad(fmt::format("'{}' is not a range of at most {} ports", text, kPortRangeMax));
  }
  return range;
}

Result<PublishedPort::Protocol> parse_protocol(std::string_view text) {
  if (text == "tcp") {
    return PublishedPort::TCP;
  }
  if (text == "udp") {
    return PublishedPort::UDP;
  }
  if (text == "sctp") {
    return PublishedPort::SCTP;
  }
  return bad(fmt::format("'{}' is not a protocol: use tcp, udp or sctp", text));
}

Result<std::vector<PublishedPort>> parse_short_publish(std::string_view text) {
  auto protocol = PublishedPort::TCP;
  if (const std::size_t slash = text.rfind('/'); slash != std::string_view::npos) {
    SKEP_TRY_ASSIGN(protocol, parse_protocol(text.substr(slash + 1)));
    text = text.substr(0, slash);
  }
  PortRange published;
  if (const std::size_t colon = text.rfind(':'); colon != std::string_view::npos) {
    const std::string_view left = text.substr(0, colon);
    if (left.find(':') != std::string_view::npos || left.find('.') != std::string_view::npos) {
      return bad(fmt::format(
          "'{}' names an address: a service publishes on every address of a node", text));
    }
    if (!left.empty()) {
      SKEP_TRY_ASSIGN(published, parse_range(left));
    }
    text = text.substr(colon + 1);
  }
  SKEP_TRY_ASSIGN(const PortRange target, parse_range(text));
  if (published.first != 0 && published.size() != target.size()) {
    return bad(fmt::format("{} published ports cannot go to {} target ports", published.size(),
                           target.size()));
  }
  std::vector<PublishedPort> ports;
  for (std::uint32_t i = 0; i < target.size(); ++i) {
    PublishedPort& port = ports.emplace_back();
    port.set_protocol(protocol);
    port.set_target_port(target.first + i);
    port.set_published_port(published.first == 0 ? 0 : published.first + i);
  }
  return ports;
}

Result<std::vector<PublishedPort>> parse_long_publish(std::string_view text) {
  PublishedPort port;
  SKEP_TRY_ASSIGN(const std::vector<std::string> fields, split_csv(text));
  for (const std::string& field : fields) {
    SKEP_TRY_ASSIGN(const auto pair, parse_pair(field));
    const auto& [key, value] = pair;
    if (key == "target") {
      SKEP_TRY_ASSIGN(const std::uint32_t number, parse_port(value));
      port.set_target_port(number);
    } else if (key == "published") {
      SKEP_TRY_ASSIGN(const std::uint32_t number, parse_port(value));
      port.set_published_port(number);
    } else if (key == "protocol") {
      SKEP_TRY_ASSIGN(const auto protocol, parse_protocol(value));
      port.set_protocol(protocol);
    } else if (key == "mode") {
      if (value != "ingress" && value != "host") {
        return bad(fmt::format("'{}' is not a publish mode: use ingress or host", value));
      }
      port.set_mode(value == "host" ? PublishedPort::HOST : PublishedPort::INGRESS);
    } else if (key == "name") {
      port.set_name(value);
    } else {
      const std::vector<std::string_view> keys{"target", "published", "protocol", "mode", "name"};
      return bad(fmt::format("unknown key '{}'{}; keys are {}", key, did_you_mean(key, keys),
                             comma_list(keys)));
    }
  }
  if (port.target_port() == 0) {
    return bad(
        fmt::format("'{}' names no target: add target=PORT, the port inside the container", text));
  }
  return std::vector<PublishedPort>{port};
}

}  // namespace

Result<std::vector<PublishedPort>> parse_publish(const std::string& text) {
  return text.find('=') != std::string::npos ? parse_long_publish(text) : parse_short_publish(text);
}

Result<std::pair<std::string, std::string>> parse_pair(const std::string& text) {
  const std::size_t equals = text.find('=');
  std::string key = text.substr(0, equals);
  if (key.empty()) {
    return bad(fmt::format("'{}' is not KEY=VALUE", text));
  }
  return std::pair(std::move(key), equals == std::string::npos ? "" : text.substr(equals + 1));
}

Result<std::uint64_t> parse_count(const std::string& text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) {
    return bad(fmt::format("'{}' is not a whole number of zero or more", text));
  }
  return number;
}

Result<bool> parse_switch(const std::string& text) {
  if (text.empty() || text == "true" || text == "1") {
    return true;
  }
  if (text == "false" || text == "0") {
    return false;
  }
  return bad(fmt::format("'{}' is neither true nor false", text));
}

}  // namespace skep::ctl
