#include "core/model/image_ref.h"

#include <algorithm>

namespace skep::model {

namespace {

constexpr std::string_view kDefaultRegistry = "docker.io";
constexpr std::string_view kLibrary = "library/";

Error bad(std::string_view text, std::string_view why) {
  return Error{Code::kInvalidArgument,
               "image reference '" + std::string(text) + "' is invalid: " + std::string(why),
               "INVALID_IMAGE"};
}

bool all_in(std::string_view text, bool upper, std::string_view extra) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (upper && c >= 'A' && c <= 'Z') ||
           extra.find(c) != std::string_view::npos;
  });
}

bool is_registry(std::string_view component) {
  return component == "localhost" || component.find_first_of(".:[") != std::string_view::npos;
}

bool path_is_legal(std::string_view path) {
  while (!path.empty()) {
    const std::size_t slash = path.find('/');
    const std::string_view part = path.substr(0, slash);
    constexpr std::string_view kSeparators = "._-";
    if (!all_in(part, false, kSeparators) ||
        kSeparators.find(part.front()) != std::string_view::npos ||
        kSeparators.find(part.back()) != std::string_view::npos) {
      return false;
    }
    if (slash == std::string_view::npos) {
      return true;
    }
    path.remove_prefix(slash + 1);
  }
  return false;
}

bool digest_is_legal(std::string_view digest) {
  const std::size_t colon = digest.find(':');
  return colon != std::string_view::npos && all_in(digest.substr(0, colon), true, "+._-") &&
         digest.size() - colon - 1 >= 32 &&
         digest.find_first_not_of("0123456789abcdef", colon + 1) == std::string_view::npos;
}

}  // namespace

Result<ImageRef> parse_image_ref(std::string_view text) {
  ImageRef ref;
  std::string_view rest = text;
  if (const std::size_t at = rest.find('@'); at != std::string_view::npos) {
    ref.digest = rest.substr(at + 1);
    rest = rest.substr(0, at);
    if (!digest_is_legal(ref.digest)) {
      return bad(text, "the digest must look like sha256:HEX");
    }
  }
  const std::size_t slash = rest.find('/');
  if (slash != std::string_view::npos && is_registry(rest.substr(0, slash))) {
    ref.registry = rest.substr(0, slash);
    rest = rest.substr(slash + 1);
  } else {
    ref.registry = kDefaultRegistry;
  }
  if (const std::size_t colon = rest.rfind(':');
      colon != std::string_view::npos && rest.find('/', colon) == std::string_view::npos) {
    ref.tag = rest.substr(colon + 1);
    rest = rest.substr(0, colon);
    if (ref.tag.size() > 128 || !all_in(ref.tag, true, "._-") || ref.tag.front() == '.' ||
        ref.tag.front() == '-') {
      return bad(text, "the tag has characters that are not allowed");
    }
  }
  if (!path_is_legal(rest)) {
    return bad(text, "the name must be lower case letters, digits, '.', '_', '-' and '/'");
  }
  ref.path = rest;
  if (ref.registry == kDefaultRegistry && ref.path.find('/') == std::string::npos) {
    ref.path.insert(0, kLibrary);
  }
  if (ref.tag.empty() && ref.digest.empty()) {
    ref.tag = "latest";
  }
  return ref;
}

std::string ImageRef::full() const {
  return registry + "/" + path + (tag.empty() ? "" : ":" + tag) +
         (digest.empty() ? "" : "@" + digest);
}

std::string ImageRef::familiar() const {
  std::string name = path;
  if (registry != kDefaultRegistry) {
    name = registry + "/" + path;
  } else if (path.starts_with(kLibrary)) {
    name = path.substr(kLibrary.size());
  }
  return name + (tag.empty() ? "" : ":" + tag) + (digest.empty() ? "" : "@" + digest);
}

}  // namespace skep::model
