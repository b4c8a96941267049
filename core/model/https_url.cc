#include "core/model/https_url.h"

#include <algorithm>
#include <charconv>

namespace skep::model {
namespace {

constexpr std::string_view kScheme = "https://";
constexpr std::size_t kUrlMax = 2'048;
constexpr std::size_t kHostMax = 253;
constexpr std::size_t kCertificateMax = std::size_t{64} << 10;
constexpr int kOptionsMax = 64;
constexpr std::size_t kOptionMax = 4'096;

Error bad_url(std::string_view text, const char* why) {
  return Error{Code::kInvalidArgument,
               "'" + std::string(text.substr(0, kUrlMax)) + "' is no address of a certificate authority: " + why +
                   "; write https://HOST[:PORT]/PATH",
               "BAD_URL"};
}

Error invalid(std::string message) {
  return Error{Code::kInvalidArgument, std::move(message), "INVALID_SPEC"};
}

}  // namespace

Result<HttpsUrl> parse_https_url(std::string_view text) {
  if (!text.starts_with(kScheme)) {
    return bad_url(text, "it does not begin with https://");
  }
  const bool printable = std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c <= '~'; });
  if (text.size() > kUrlMax || !printable) {
    return bad_url(text, "it is too long, or has blanks or characters outside ASCII");
  }
  const std::string_view rest = text.substr(kScheme.size());
  const std::size_t slash = std::min(rest.find_first_of("/?#"), rest.size());
  std::string_view authority = rest.substr(0, slash);
  const std::string_view path = rest.substr(slash, rest.find('#') - std::min(slash, rest.find('#')));
  HttpsUrl url;
  if (!path.empty()) {
    url.path = (path.front() == '/' ? "" : "/") + std::string(path);
  }
  if (authority.find('@') != std::string_view::npos) {
    return bad_url(text, "it holds a user or password, which would be shown to whoever looks");
  }
  const std::size_t bracket = authority.starts_with('[') ? authority.find(']') : std::string_view::npos;
  if (authority.starts_with('[') && bracket == std::string_view::npos) {
    return bad_url(text, "a bracket is missing");
  }
  const std::size_t colon = authority.find(':', bracket == std::string_view::npos ? 0 : bracket);
  if (colon != std::string_view::npos) {
    const std::string_view port = authority.substr(colon + 1);
    const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), url.port);
    if (error != std::errc{} || end != port.data() + port.size() || url.port == 0) {
      return bad_url(text, "the port is no number from 1 to 65535");
    }
    authority = authority.substr(0, colon);
  }
  if (bracket != std::string_view::npos) {
    if (authority.size() != bracket + 1) {
      return bad_url(text, "something follows the bracket");
    }
    authority = authority.substr(1, bracket - 1);
  }
  if (authority.empty() || authority.size() > kHostMax || authority.find_first_of("\"\\<>[]{}|^`%") != std::string_view::npos) {
    return bad_url(text, "the host is missing or malformed");
  }
  url.host = authority;
  return url;
}

Status validate_external_ca(const v1::ExternalCa& authority) {
  if (authority.protocol() != kCfssl) {
    return invalid("external-ca: protocol '" + authority.protocol().substr(0, kOptionMax) + "' is not known: use cfssl");
  }
  SKEP_TRY(parse_https_url(authority.url()));
  if (authority.certificate().size() > kCertificateMax) {
    return invalid("external-ca: the certificate of " + authority.url() + " is too long for one: give its root in PEM");
  }
  if (!authority.certificate().empty() &&
      authority.certificate().find("-----BEGIN CERTIFICATE-----") == std::string::npos) {
    return invalid("external-ca: what is given as the root of " + authority.url() + " is no certificate in PEM");
  }
  if (authority.options_size() > kOptionsMax) {
    return invalid("external-ca: more than " + std::to_string(kOptionsMax) + " options for " + authority.url());
  }
  for (const auto& [key, value] : authority.options()) {
    if (key.size() + value.size() > kOptionMax) {
      return invalid("external-ca: option '" + key.substr(0, 64) + "' of " + authority.url() + " is too long");
    }
  }
  return ok();
}

}  // namespace skep::model
