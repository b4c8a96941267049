#include "plugins/runtime/oci/images/docker_archive.h"

#include <archive.h>
#include <archive_entry.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cerrno>
#include <charconv>
#include <memory>
#include <string_view>

#include "plugins/runtime/oci/images/json_read.h"
#include "plugins/runtime/oci/images/manifest.h"
#include "plugins/runtime/oci/images/reference.h"

namespace skep::oci {
namespace {

namespace bj = boost::json;

constexpr std::size_t kBlock = 128 * 1024;

struct Closer {
  void operator()(archive* reader) const { archive_read_free(reader); }
};

Error not_an_archive(const std::string& path, std::string_view why) {
  return Error{Code::kInvalidArgument,
               "'" + path + "' is no docker-archive (" + std::string(why) + ")", "IMAGE_INVALID"};
}

Result<std::string> read_contents(archive* reader, const std::string& path) {
  std::string out;
  std::string buffer(kBlock, '\0');
  for (;;) {
    const la_ssize_t got = archive_read_data(reader, buffer.data(), buffer.size());
    if (got < 0 || out.size() > kManifestBytesMax) {
      return not_an_archive(path, "its manifest.json cannot be read");
    }
    if (got == 0) {
      return out;
    }
    out.append(buffer.data(), static_cast<std::size_t>(got));
  }
}

Result<std::string> read_manifest(const std::string& path) {
  const std::unique_ptr<archive, Closer> reader(archive_read_new());
  archive_read_support_filter_gzip(reader.get());
  archive_read_support_filter_zstd(reader.get());
  archive_read_support_filter_bzip2(reader.get());
  archive_read_support_filter_xz(reader.get());
  archive_read_support_format_tar(reader.get());
  if (archive_read_open_filename(reader.get(), path.c_str(), kBlock) != ARCHIVE_OK) {
    const bool missing = archive_errno(reader.get()) == ENOENT;
    const char* const text = archive_error_string(reader.get());
    return missing ? Error{Code::kNotFound, "no file '" + path + "'", "IMAGE_NOT_FOUND"}
                   : not_an_archive(path, text == nullptr ? "unreadable" : text);
  }
  archive_entry* entry = nullptr;
  int result = ARCHIVE_OK;
  while ((result = archive_read_next_header(reader.get(), &entry)) == ARCHIVE_OK ||
         result == ARCHIVE_WARN) {
    const char* const name = archive_entry_pathname(entry);
    if (name != nullptr && (std::string_view(name) == "manifest.json" ||
                            std::string_view(name) == "./manifest.json")) {
      return read_contents(reader.get(), path);
    }
  }
  const char* const text = archive_error_string(reader.get());
  return not_an_archive(path, result == ARCHIVE_EOF ? "no manifest.json in it"
                              : text == nullptr     ? "damaged"
                                                    : text);
}

Result<ArchivedImage> read_image(const bj::value& value, const std::string& path,
                                 std::string_view default_domain) {
  if (!value.is_object()) {
    return not_an_archive(path, "its manifest.json lists no images");
  }
  SKEP_TRY_ASSIGN(const std::vector<std::string> tags, json::texts(value.get_object(), "RepoTags"));
  ArchivedImage image;
  for (const std::string& tag : tags) {
    const Result<Reference> reference = parse_reference(tag, default_domain);
    if (!reference) {
      return not_an_archive(path, reference.error().message);
    }
    image.tags.push_back(reference->canonical());
  }
  return image;
}

std::string names_of(const std::vector<ArchivedImage>& images) {
  std::string out;
  for (const ArchivedImage& image : images) {
    out += out.empty() ? "" : ", ";
    out += image.tags.empty() ? "one without a name" : "'" + image.tags.front() + "'";
  }
  return out.substr(0, 1000);
}

}  // namespace

Result<std::vector<ArchivedImage>> read_docker_archive(const std::string& path,
                                                       std::string_view default_domain) {
  SKEP_TRY_ASSIGN(const std::string text, read_manifest(path));
  bj::error_code error;
  const bj::value value = bj::parse(text, error);
  if (error || !value.is_array() || value.get_array().empty()) {
    return not_an_archive(path, "its manifest.json lists no images");
  }
  std::vector<ArchivedImage> out;
  for (const bj::value& entry : value.get_array()) {
    SKEP_TRY_ASSIGN(ArchivedImage image, read_image(entry, path, default_domain));
    out.push_back(std::move(image));
  }
  return out;
}

Result<std::size_t> choose_archived(const std::vector<ArchivedImage>& images,
                                    const std::string& selector, const std::string& path,
                                    std::string_view default_domain) {
  if (selector.empty()) {
    if (images.size() != 1) {
      return Error{Code::kInvalidArgument,
                   "'" + path + "' holds " + std::to_string(images.size()) + " images (" +
                       names_of(images) + "): name one as docker-archive:" + path + ":NAME:TAG",
                   "IMAGE_AMBIGUOUS"};
    }
    return std::size_t{0};
  }
  std::size_t index = images.size();
  if (selector.starts_with('@')) {
    std::from_chars(selector.data() + 1, selector.data() + selector.size(), index);
  } else {
    SKEP_TRY_ASSIGN(const Reference wanted, parse_reference(selector, default_domain));
    for (std::size_t i = 0; i < images.size(); ++i) {
      if (std::find(images[i].tags.begin(), images[i].tags.end(), wanted.canonical()) !=
          images[i].tags.end()) {
        index = i;
      }
    }
  }
  if (index >= images.size()) {
    return Error{Code::kNotFound,
                 "'" + path + "' holds no image '" + selector + "'; it holds " + names_of(images),
                 "IMAGE_NOT_FOUND"};
  }
  return index;
}

}  // namespace skep::oci
