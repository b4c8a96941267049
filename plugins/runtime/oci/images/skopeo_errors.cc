#include "plugins/runtime/oci/images/skopeo_errors.h"

#include <algorithm>
#include <array>
#include <initializer_list>
#include <string>

namespace skep::oci {
namespace {

constexpr std::size_t kDetailMax = 400;

bool holds_any(std::string_view text, std::initializer_list<std::string_view> needles) {
  return std::any_of(needles.begin(), needles.end(), [&](std::string_view needle) {
    return text.find(needle) != std::string_view::npos;
  });
}

/// The message of logrus' last fatal line: time="..." level=fatal msg="the \"text\"".
std::string last_message(std::string_view text) {
  const std::size_t fatal = text.rfind("level=fatal msg=\"");
  if (fatal == std::string_view::npos) {
    while (text.ends_with('\n')) {
      text.remove_suffix(1);
    }
    const std::size_t line = text.rfind('\n');
    return std::string(line == std::string_view::npos ? text : text.substr(line + 1));
  }
  std::string out;
  std::size_t at = text.find('"', fatal) + 1;
  while (at < text.size() && text[at] != '"') {
    if (text[at] == '\\' && at + 1 < text.size()) {
      ++at;
      out += text[at] == 'n' ? ' ' : text[at];
    } else {
      out += text[at];
    }
    ++at;
  }
  return out;
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
  });
  return text;
}

/// The innermost cause, without the chain of "Error doing x: " and the URL.
std::string detail_of(const std::string& message) {
  return message.size() <= kDetailMax ? message : message.substr(message.size() - kDetailMax);
}

Error unauthenticated(const PullSubject& subject) {
  const std::string registry(subject.registry);
  return Error{
      Code::kUnauthenticated,
      "registry '" + registry + "' refused access to image '" + std::string(subject.image) +
          (subject.anonymous ? "' without credentials, or has no such image"
                             : "': wrong user, password or rights") +
          ": run 'agentctl login " + registry + "' and give the service --with-registry-auth",
      "REGISTRY_UNAUTHORIZED"};
}

Error tls_failure(const PullSubject& subject, const std::string& detail, bool plain) {
  const std::string registry(subject.registry);
  std::string advice = plain ? "list it in insecure_registries if that is meant"
                             : "put its CA into " + std::string(subject.certs_directory) + "/" +
                                   registry + "/ca.crt";
  return Error{Code::kFailedPrecondition,
               "registry '" + registry + "' " + (plain ? "speaks no TLS" : "is not trusted") +
                   " (" + detail + "): " + advice,
               "REGISTRY_TLS"};
}

}  // namespace

Error explain_skopeo(std::string_view standard_error, const PullSubject& subject) {
  const std::string message = last_message(standard_error);
  const std::string text = lower(message);
  const std::string detail = detail_of(message);
  const std::string image(subject.image);
  if (holds_any(text, {"no space left on device", "disk quota exceeded"})) {
    return Error{
        Code::kResourceExhausted,
        "no space left for image '" + image + "': remove images nobody uses, or grow the disk",
        "IMAGE_NO_SPACE"};
  }
  if (holds_any(text, {"unauthorized", "authentication required", "invalid username/password",
                       "access to the resource is denied", "unable to retrieve auth token",
                       "status 401", "status 403", "403 (forbidden)", "401 (unauthorized)"})) {
    return unauthenticated(subject);
  }
  if (holds_any(text, {"x509:", "certificate signed by", "tls: failed", "remote error: tls",
                       "tls: handshake failure", "bad certificate"})) {
    return tls_failure(subject, detail, false);
  }
  if (holds_any(text, {"server gave http response to https client",
                       "first record does not look like a tls handshake"})) {
    return tls_failure(subject, "it answered with plain HTTP", true);
  }
  if (holds_any(text,
                {"manifest unknown", "name unknown", "repository name not known", "name invalid",
                 "no such file or directory", "not found in archive", "no descriptor found",
                 "status 404", "404 (not found)", "file does not exist", "no image found"}) ||
      (text.find("tag") != std::string::npos && text.find("not found") != std::string::npos)) {
    return Error{Code::kNotFound, "image '" + image + "' does not exist there (" + detail + ")",
                 "IMAGE_NOT_FOUND"};
  }
  if (subject.registry.empty() &&
      holds_any(text, {"invalid tar header", "untarring file", "unexpected eof", "manifest.json",
                       "invalid character", "more than one image", "expected 1"})) {
    return Error{Code::kInvalidArgument, "'" + image + "' is not a usable image (" + detail + ")",
                 "IMAGE_INVALID"};
  }
  if (holds_any(text, {"connection refused",
                       "no such host",
                       "i/o timeout",
                       "handshake timeout",
                       "network is unreachable",
                       "no route to host",
                       "connection reset",
                       "context deadline exceeded",
                       "server misbehaving",
                       "unexpected eof",
                       ": eof",
                       "toomanyrequests",
                       "too many requests",
                       "status 429",
                       "status 500",
                       "status 502",
                       "status 503",
                       "status 504",
                       "broken pipe",
                       "temporary failure in name resolution",
                       "connection timed out"})) {
    return Error{Code::kUnavailable,
                 "registry '" + std::string(subject.registry) + "' does not answer for image '" +
                     image + "' (" + detail + ")",
                 "REGISTRY_UNAVAILABLE"};
  }
  if (holds_any(text, {"digest did not match", "does not match expected", "digest mismatch",
                       "corrupt", "invalid checksum", "error verifying"})) {
    return Error{Code::kDataLoss, "image '" + image + "' arrived damaged (" + detail + ")",
                 "IMAGE_DAMAGED"};
  }
  return Error{Code::kInternal, "skopeo could not fetch image '" + image +
                                    "': " + (detail.empty() ? "it said nothing" : detail)};
}

}  // namespace skep::oci
