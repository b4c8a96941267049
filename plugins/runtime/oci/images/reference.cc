#include "plugins/runtime/oci/images/reference.h"

#include <algorithm>
#include <array>

#include "plugins/runtime/oci/images/digest.h"

namespace skep::oci {
namespace {

constexpr std::size_t kNameMax = 255;
constexpr std::size_t kTagMax = 128;
constexpr std::string_view kLibrary = "library/";

bool is_lower_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_alphanumeric(char c) {
  return is_lower_or_digit(c) || (c >= 'A' && c <= 'Z');
}

Error invalid(std::string_view text, std::string_view why) {
  return Error{Code::kInvalidArgument,
               "image reference '" + std::string(text.substr(0, 300)) + "' " + std::string(why),
               "IMAGE_REFERENCE_INVALID"};
}

/// One run of separators between letters: ".", "_", "__" or any number of dashes.
bool is_separator(std::string_view run) {
  return run == "." || run == "_" || run == "__" ||
         run.find_first_not_of('-') == std::string_view::npos;
}

bool is_path_component(std::string_view part) {
  if (part.empty() || !is_lower_or_digit(part.front()) || !is_lower_or_digit(part.back())) {
    return false;
  }
  std::size_t at = 0;
  while (at < part.size()) {
    const std::size_t run = at;
    while (!is_lower_or_digit(part[at])) {
      ++at;
    }
    if (at > run && !is_separator(part.substr(run, at - run))) {
      return false;
    }
    while (at < part.size() && is_lower_or_digit(part[at])) {
      ++at;
    }
  }
  return true;
}

bool is_path(std::string_view path) {
  for (;;) {
    const std::size_t slash = path.find('/');
    if (!is_path_component(path.substr(0, slash))) {
      return false;
    }
    if (slash == std::string_view::npos) {
      return true;
    }
    path.remove_prefix(slash + 1);
  }
}

bool is_host(std::string_view host) {
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    return host.substr(1, host.size() - 2).find_first_not_of("0123456789abcdefABCDEF:.") ==
           std::string_view::npos;
  }
  for (;;) {
    const std::size_t dot = host.find('.');
    const std::string_view label = host.substr(0, dot);
    if (label.empty() || label.front() == '-' || label.back() == '-' ||
        !std::all_of(label.begin(), label.end(),
                     [](char c) { return is_alphanumeric(c) || c == '-'; })) {
      return false;
    }
    if (dot == std::string_view::npos) {
      return true;
    }
    host.remove_prefix(dot + 1);
  }
}

bool is_domain(std::string_view domain) {
  const std::size_t colon = domain.rfind(':');
  if (colon == std::string_view::npos || domain.back() == ']') {
    return is_host(domain);
  }
  const std::string_view port = domain.substr(colon + 1);
  return !port.empty() && port.size() <= 5 && std::all_of(port.begin(), port.end(), is_digit) &&
         is_host(domain.substr(0, colon));
}

bool is_tag(std::string_view tag) {
  const auto is_word = [](char c) { return is_alphanumeric(c) || c == '_'; };
  return !tag.empty() && tag.size() <= kTagMax && is_word(tag.front()) &&
         std::all_of(tag.begin(), tag.end(),
                     [&](char c) { return is_word(c) || c == '.' || c == '-'; });
}

bool looks_like_domain(std::string_view first) {
  return first.find_first_of(".:") != std::string_view::npos || first == "localhost" ||
         std::any_of(first.begin(), first.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
}

void split_domain(std::string_view name, std::string_view default_domain, Reference& out) {
  const std::size_t slash = name.find('/');
  if (slash == std::string_view::npos || !looks_like_domain(name.substr(0, slash))) {
    out.domain = default_domain;
    out.path = name;
  } else {
    out.domain = name.substr(0, slash);
    out.path = name.substr(slash + 1);
  }
  if (out.domain == "index.docker.io") {
    out.domain = kDockerDomain;
  }
  if (out.domain == kDockerDomain && out.path.find('/') == std::string::npos) {
    out.path.insert(0, kLibrary);
  }
}

Result<Source> parse_archive(SourceKind kind, std::string_view text, std::string_view rest) {
  const std::size_t colon = rest.find(':');
  Source source;
  source.kind = kind;
  source.path = rest.substr(0, colon);
  if (colon != std::string_view::npos) {
    source.selector = rest.substr(colon + 1);
    if (source.selector.empty()) {
      return invalid(text, "ends with ':': name the image after it or leave it out");
    }
  }
  if (!source.path.starts_with('/') || source.path.find('\0') != std::string::npos) {
    return invalid(text, "needs an absolute path");
  }
  if (kind == SourceKind::kDockerArchive && !source.selector.empty() &&
      !source.selector.starts_with('@')) {
    SKEP_TRY(parse_reference(source.selector));
  }
  return source;
}

}  // namespace

std::string Reference::canonical() const {
  if (!tag.empty()) {
    return name() + ":" + tag;
  }
  return name() + "@" + digest;
}

Result<Reference> parse_reference(std::string_view text, std::string_view default_domain) {
  if (text.empty()) {
    return Error{Code::kInvalidArgument, "no image is named", "IMAGE_REFERENCE_INVALID"};
  }
  Reference out;
  std::string_view name = text;
  if (const std::size_t at = name.find('@'); at != std::string_view::npos) {
    out.digest = name.substr(at + 1);
    name = name.substr(0, at);
    if (!is_digest(out.digest)) {
      return invalid(text, "has a digest that is not 'sha256:' and 64 lower-case hex digits");
    }
  }
  const std::size_t colon = name.rfind(':');
  const std::size_t slash = name.rfind('/');
  if (colon != std::string_view::npos && (slash == std::string_view::npos || colon > slash)) {
    out.tag = name.substr(colon + 1);
    name = name.substr(0, colon);
    if (!is_tag(out.tag)) {
      return invalid(text, "has a malformed tag: letters, digits, '_', '.' and '-', at most 128");
    }
  }
  if (name.size() == 64 && name.find_first_not_of("0123456789abcdef") == std::string_view::npos) {
    return invalid(text, "looks like an id, not a name");
  }
  split_domain(name, default_domain, out);
  if (!is_domain(out.domain)) {
    return invalid(text, "has a malformed registry '" + out.domain.substr(0, 100) + "'");
  }
  if (!is_path(out.path)) {
    return invalid(text,
                   "has a malformed name: lower-case letters and digits, with '.', '_' or '-' "
                   "between them");
  }
  if (out.name().size() > kNameMax) {
    return invalid(text, "is longer than 255 characters");
  }
  if (out.tag.empty() && out.digest.empty()) {
    out.tag = "latest";
  }
  return out;
}

std::string familiar(const Reference& reference, std::string_view default_domain) {
  std::string text = reference.path;
  if (reference.domain != default_domain) {
    text = reference.name();
  } else if (reference.domain == kDockerDomain && text.starts_with(kLibrary) &&
             text.find('/', kLibrary.size()) == std::string::npos) {
    text.erase(0, kLibrary.size());
  }
  if (!reference.tag.empty()) {
    text += ":" + reference.tag;
  }
  if (!reference.digest.empty()) {
    text += "@" + reference.digest;
  }
  return text;
}

Result<Source> parse_source(std::string_view text, std::string_view default_domain) {
  struct Prefix {
    std::string_view text;
    SourceKind kind;
  };
  constexpr std::array<Prefix, 3> kPrefixes{{{"docker-archive:", SourceKind::kDockerArchive},
                                             {"oci:", SourceKind::kOciLayout},
                                             {"oci-archive:", SourceKind::kOciArchive}}};
  for (const Prefix& prefix : kPrefixes) {
    // "oci:1" is an image of that name; only a path makes it a source.
    if (text.starts_with(prefix.text) &&
        (prefix.kind != SourceKind::kOciLayout || text.find('/') != std::string_view::npos)) {
      return parse_archive(prefix.kind, text, text.substr(prefix.text.size()));
    }
  }
  if (text.starts_with("docker://")) {
    text.remove_prefix(std::string_view("docker://").size());
  }
  Source source;
  SKEP_TRY_ASSIGN(source.reference, parse_reference(text, default_domain));
  return source;
}

}  // namespace skep::oci
