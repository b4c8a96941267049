#include "core/model/constraint.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>

#include <arpa/inet.h>

namespace skep::model {

namespace {

std::string lower(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return result;
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && text.front() == ' ') {
    text.remove_prefix(1);
  }
  while (!text.empty() && text.back() == ' ') {
    text.remove_suffix(1);
  }
  return text;
}

Error bad(std::string_view expression, const std::string& why) {
  return Error{Code::kInvalidArgument,
               "constraint '" + std::string(expression) + "' is invalid: " + why,
               "INVALID_CONSTRAINT"};
}

bool value_is_legal(std::string_view value) {
  return std::all_of(value.begin(), value.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view(":-_ .*()?+[]\\^$|/@,").find(c) != std::string_view::npos;
  });
}

/// An address in network order; family 0 when the text is none.
struct Address {
  int family = 0;
  std::array<unsigned char, 16> bytes{};
};

Address parse_address(const std::string& text) {
  Address address;
  if (inet_pton(AF_INET, text.c_str(), address.bytes.data()) == 1) {
    address.family = AF_INET;
  } else if (inet_pton(AF_INET6, text.c_str(), address.bytes.data()) == 1) {
    address.family = AF_INET6;
  }
  return address;
}

/// Length of the prefix, or -1 when `text` is neither an address nor a CIDR.
int parse_network(const std::string& text, Address& address) {
  const std::size_t slash = text.find('/');
  address = parse_address(text.substr(0, slash));
  if (address.family == 0) {
    return -1;
  }
  const int width = address.family == AF_INET ? 32 : 128;
  if (slash == std::string::npos) {
    return width;
  }
  int length = -1;
  const char* end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data() + slash + 1, end, length);
  return parsed.ec == std::errc() && parsed.ptr == end && length >= 0 && length <= width ? length
                                                                                         : -1;
}

bool ip_matches(const std::string& network_text, const std::string& address_text) {
  Address network;
  const int length = parse_network(network_text, network);
  std::string bare = address_text;
  if (const auto colon = bare.rfind(':'); colon != std::string::npos && bare.find('.') < colon) {
    bare.resize(colon);  // "10.0.0.1:2377"
  }
  const Address address = parse_address(bare);
  if (length < 0 || address.family != network.family) {
    return false;
  }
  for (int bit = 0; bit < length; ++bit) {
    const auto byte = static_cast<std::size_t>(bit / 8);
    const auto mask = static_cast<unsigned>(0x80 >> (bit % 8));
    if ((address.bytes[byte] & mask) != (network.bytes[byte] & mask)) {
      return false;
    }
  }
  return true;
}

template <class Map>
std::string label_value(const Map& labels, const std::string& key) {
  const auto found = labels.find(key);
  return found == labels.end() ? std::string() : lower(found->second);
}

Result<Constraint> with_key(Constraint constraint, std::string_view key,
                            std::string_view expression) {
  const std::string name = lower(key);
  constexpr std::string_view kNodeLabels = "node.labels.";
  constexpr std::string_view kEngineLabels = "engine.labels.";
  if (name == "node.id") {
    constraint.key = Constraint::Key::kId;
  } else if (name == "node.hostname") {
    constraint.key = Constraint::Key::kHostname;
  } else if (name == "node.ip") {
    constraint.key = Constraint::Key::kIp;
  } else if (name == "node.role") {
    constraint.key = Constraint::Key::kRole;
  } else if (name == "node.platform.os") {
    constraint.key = Constraint::Key::kOs;
  } else if (name == "node.platform.arch") {
    constraint.key = Constraint::Key::kArchitecture;
  } else if (name.starts_with(kNodeLabels) && name.size() > kNodeLabels.size()) {
    constraint.key = Constraint::Key::kNodeLabel;
    constraint.label = key.substr(kNodeLabels.size());
  } else if (name.starts_with(kEngineLabels) && name.size() > kEngineLabels.size()) {
    constraint.key = Constraint::Key::kEngineLabel;
    constraint.label = key.substr(kEngineLabels.size());
  } else {
    return bad(expression, "key '" + std::string(key) +
                               "' is unknown; use node.id, node.hostname, node.ip, node.role, "
                               "node.platform.os, node.platform.arch, node.labels.NAME or "
                               "engine.labels.NAME");
  }
  return constraint;
}

std::string actual_value(const Constraint& constraint, const v1::Node& node) {
  switch (constraint.key) {
    case Constraint::Key::kId: return lower(node.id());
    case Constraint::Key::kHostname: return lower(node.description().hostname());
    case Constraint::Key::kRole:
      return node.spec().role() == v1::NODE_ROLE_MANAGER ? "manager" : "worker";
    case Constraint::Key::kOs: return lower(node.description().platform().os());
    case Constraint::Key::kArchitecture:
      return canonical_architecture(node.description().platform().architecture());
    case Constraint::Key::kNodeLabel: return label_value(node.spec().labels(), constraint.label);
    case Constraint::Key::kEngineLabel:
      return label_value(node.description().engine().labels(), constraint.label);
    case Constraint::Key::kIp: return node.status().address();
  }
  SKEP_UNREACHABLE();
}

}  // namespace

bool Constraint::matches(const v1::Node& node) const {
  const std::string actual = actual_value(*this, node);
  if (key == Key::kIp) {
    return ip_matches(value, actual) == equal;
  }
  const bool same = key == Key::kArchitecture ? actual == canonical_architecture(value)
                                              : actual == value;
  return same == equal;
}

Result<Constraint> parse_constraint(std::string_view expression) {
  const std::size_t at = std::min(expression.find("=="), expression.find("!="));
  if (at == std::string_view::npos) {
    return bad(expression, "expected one operator from ==, !=");
  }
  const std::string_view key = trim(expression.substr(0, at));
  const std::string_view value = trim(expression.substr(at + 2));
  Constraint constraint;
  constraint.equal = expression[at] == '=';
  constraint.value = lower(value);
  constraint.text = std::string(key) + (constraint.equal ? "==" : "!=") + std::string(value);
  if (!value_is_legal(value)) {
    return bad(expression, "value '" + std::string(value) + "' has characters that are not allowed");
  }
  SKEP_TRY_ASSIGN(Constraint result, with_key(std::move(constraint), key, expression));
  if (result.value.empty() && result.key != Constraint::Key::kNodeLabel &&
      result.key != Constraint::Key::kEngineLabel) {
    return bad(expression, "the value is missing");
  }
  if (result.key == Constraint::Key::kRole && result.value != "manager" &&
      result.value != "worker") {
    return bad(expression, "a role is 'manager' or 'worker'");
  }
  Address address;
  if (result.key == Constraint::Key::kIp && parse_network(result.value, address) < 0) {
    return bad(expression, "node.ip takes an address or a subnet such as 10.0.0.0/8");
  }
  return result;
}

Result<std::vector<Constraint>> parse_constraints(
    const google::protobuf::RepeatedPtrField<std::string>& expressions) {
  std::vector<Constraint> constraints;
  for (const std::string& expression : expressions) {
    SKEP_TRY_ASSIGN(Constraint constraint, parse_constraint(expression));
    constraints.push_back(std::move(constraint));
  }
  return constraints;
}

const Constraint* first_mismatch(const std::vector<Constraint>& constraints, const v1::Node& node) {
  const auto found = std::find_if(constraints.begin(), constraints.end(),
                                  [&](const Constraint& c) { return !c.matches(node); });
  return found == constraints.end() ? nullptr : &*found;
}

std::optional<std::string> spread_value(std::string_view descriptor, const v1::Node& node) {
  const auto constraint =
      with_key(Constraint{}, descriptor, descriptor);  // Same keys, but labels keep their case.
  if (!constraint) {
    return std::nullopt;
  }
  switch (constraint->key) {
    case Constraint::Key::kNodeLabel:
    case Constraint::Key::kEngineLabel: return actual_value(*constraint, node);
    case Constraint::Key::kId:
    case Constraint::Key::kHostname:
    case Constraint::Key::kIp:
    case Constraint::Key::kRole:
    case Constraint::Key::kOs:
    case Constraint::Key::kArchitecture: return std::nullopt;
  }
  SKEP_UNREACHABLE();
}

std::string canonical_architecture(std::string_view architecture) {
  std::string name = lower(architecture);
  if (name == "x86_64" || name == "x86-64") {
    return "amd64";
  }
  if (name == "aarch64" || name == "arm64v8") {
    return "arm64";
  }
  if (name == "i386" || name == "i686" || name == "x86") {
    return "386";
  }
  if (name == "armhf" || name == "armv7l" || name == "armel") {
    return "arm";
  }
  return name;
}

bool platform_matches(const google::protobuf::RepeatedPtrField<v1::Platform>& platforms,
                      const v1::Platform& node) {
  if (platforms.empty() || node.architecture().empty()) {
    return true;
  }
  return std::any_of(platforms.begin(), platforms.end(), [&](const v1::Platform& wanted) {
    const bool os = wanted.os().empty() || lower(wanted.os()) == lower(node.os());
    return os && (wanted.architecture().empty() || canonical_architecture(wanted.architecture()) ==
                                                       canonical_architecture(node.architecture()));
  });
}

}  // namespace skep::model
