#include "plugins/runtime/oci/images/endpoints.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

namespace skep::oci {
namespace {

struct Address {
  std::array<unsigned char, 16> bytes{};
  unsigned bits = 0;  ///< 32 or 128
};

/// "host:5000" -> "host", "[::1]:5000" -> "::1".
std::string without_port(std::string_view host) {
  if (host.starts_with('[')) {
    return std::string(host.substr(1, host.find(']') - 1));
  }
  return std::string(host.substr(0, host.find(':')));
}

std::optional<Address> parse_address(const std::string& text) {
  Address out;
  if (::inet_pton(AF_INET, text.c_str(), out.bytes.data()) == 1) {
    out.bits = 32;
    return out;
  }
  if (::inet_pton(AF_INET6, text.c_str(), out.bytes.data()) == 1) {
    out.bits = 128;
    return out;
  }
  return std::nullopt;
}

bool same_prefix(const Address& a, const Address& b, unsigned bits) {
  for (unsigned bit = 0; bit < bits; ++bit) {
    const unsigned mask = 128U >> bit % 8;
    if (((a.bytes[bit / 8] ^ b.bytes[bit / 8]) & mask) != 0) {
      return false;
    }
  }
  return true;
}

bool in_network(const std::string& host, std::string_view cidr) {
  const std::size_t slash = cidr.find('/');
  const std::optional<Address> address = parse_address(host);
  const std::optional<Address> network = parse_address(std::string(cidr.substr(0, slash)));
  unsigned bits = 0;
  const char* const end = cidr.data() + cidr.size();
  const auto parsed = std::from_chars(cidr.data() + slash + 1, end, bits);
  return address && network && parsed.ec == std::errc() && parsed.ptr == end &&
         address->bits == network->bits && bits <= network->bits &&
         same_prefix(*address, *network, bits);
}

bool matches(const std::string& host, std::string_view rule) {
  if (rule.find('/') != std::string_view::npos) {
    return in_network(without_port(host), rule);
  }
  return host == rule || without_port(host) == rule;
}

Endpoint make_endpoint(std::string host, std::string repository, const EndpointRules& rules,
                       const std::function<bool(const std::string&)>& exists) {
  Endpoint out;
  const std::string certs = rules.certs_directory + "/" + host;
  if (!rules.certs_directory.empty() && exists(certs)) {
    out.certs_directory = certs;
  }
  const bool listed =
      std::any_of(rules.insecure_registries.begin(), rules.insecure_registries.end(),
                  [&](const std::string& rule) { return matches(host, rule); });
  // Certificates for a loopback registry say that it has TLS, so it is held to it.
  const bool optional = listed || (is_loopback(host) && out.certs_directory.empty());
  out.tls = optional ? Tls::kOptional : Tls::kVerify;
  out.host = std::move(host);
  out.repository = std::move(repository);
  return out;
}

}  // namespace

bool is_loopback(std::string_view host) {
  const std::string name = without_port(host);
  return name == "localhost" || in_network(name, "127.0.0.0/8") || in_network(name, "::1/128");
}

std::vector<Endpoint> endpoints_for(const Reference& reference, const EndpointRules& rules,
                                    const std::function<bool(const std::string&)>& exists) {
  std::vector<Endpoint> out;
  if (const auto mirrors = rules.mirrors.find(reference.domain); mirrors != rules.mirrors.end()) {
    for (std::string mirror : mirrors->second) {
      while (mirror.ends_with('/')) {
        mirror.pop_back();
      }
      out.push_back(make_endpoint(mirror.substr(0, mirror.find('/')), mirror + "/" + reference.path,
                                  rules, exists));
    }
  }
  out.push_back(make_endpoint(reference.domain, reference.name(), rules, exists));
  out.back().may_see_credentials = true;
  return out;
}

}  // namespace skep::oci
