#include "plugins/runtime/oci/images/catalog.h"

#include <algorithm>
#include <boost/json.hpp>
#include <optional>

#include "plugins/runtime/oci/images/digest.h"
#include "plugins/runtime/oci/images/image_config.h"
#include "plugins/runtime/oci/images/json_read.h"
#include "plugins/runtime/oci/images/reference.h"

namespace skep::oci {
namespace {

namespace bj = boost::json;

constexpr std::size_t kNamesBytesMax = 64u << 20;
constexpr std::size_t kRecordBytesMax = 2 * kConfigBytesMax;

bool is_digest_name(std::string_view name) {
  return name.find('@') != std::string_view::npos;
}

std::string shown(const std::string& name, std::string_view default_domain) {
  const Result<Reference> reference = parse_reference(name, default_domain);
  return reference ? familiar(*reference, default_domain) : name;
}

Error not_found(std::string_view text) {
  return Error{
      Code::kNotFound,
      "no image '" + std::string(text.substr(0, 300)) + "' on this node: pull or load it first",
      "IMAGE_NOT_FOUND"};
}

/// "sha256:abc", "abc": the id that starts so.
Result<Found> find_by_id(std::string_view text, const std::vector<std::string>& ids) {
  std::string prefix(text);
  if (!prefix.starts_with("sha256:")) {
    prefix.insert(0, "sha256:");
  }
  std::optional<std::string> found;
  for (const std::string& id : ids) {
    if (!id.starts_with(prefix)) {
      continue;
    }
    if (found) {
      return Error{
          Code::kInvalidArgument,
          "several images have an id that starts with '" + std::string(text) + "': give more of it",
          "IMAGE_AMBIGUOUS"};
    }
    found = id;
  }
  if (!found || prefix == "sha256:") {
    return not_found(text);
  }
  return Found{*found, ""};
}

bool may_be_id(std::string_view text) {
  if (text.starts_with("sha256:")) {
    text.remove_prefix(7);
  }
  return !text.empty() && text.size() <= 64 &&
         text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

}  // namespace

Result<Names> parse_names(std::string_view text) {
  const auto object = json::parse_object(text, "names.json", kNamesBytesMax);
  if (!object) {
    return Error{Code::kDataLoss, object.error().message};
  }
  const auto names = json::member(*object, "names");
  Names out;
  if (!names || *names == nullptr) {
    return Error{Code::kDataLoss, "names.json has no 'names'"};
  }
  for (const auto& entry : **names) {
    const std::string key(entry.key().data(), entry.key().size());
    const auto id = json::text(**names, key);
    if (!id || !is_digest(*id)) {
      return Error{Code::kDataLoss, "names.json: name '" + key + "' has no image id"};
    }
    out.emplace(key, *id);
  }
  return out;
}

std::string format_names(const Names& names) {
  bj::object table;
  for (const auto& [name, id] : names) {
    table[name] = id;
  }
  return bj::serialize(bj::object{{"names", std::move(table)}});
}

Result<runtime::v1::Image> parse_record(std::string_view text, const std::string& id) {
  const auto damaged = [&](std::string_view why) {
    return Error{Code::kDataLoss, "the record of image '" + id + "' is damaged (" +
                                      std::string(why) + "): pull it again"};
  };
  const auto object = json::parse_object(text, "it", kRecordBytesMax);
  const auto config = object ? json::text(*object, "config") : Result<std::string>(object.error());
  if (!config) {
    return damaged(config.error().message);
  }
  auto image = parse_image_config(*config);
  if (!image) {
    return damaged(image.error().message);
  }
  if (image->id() != id) {
    return damaged("its configuration is that of '" + image->id() + "'");
  }
  return image;
}

std::string format_record(std::string_view config_blob) {
  return bj::serialize(
      bj::object{{"config", bj::string_view(config_blob.data(), config_blob.size())}});
}

Result<Found> find_image(std::string_view text, const Names& names,
                         const std::vector<std::string>& ids, std::string_view default_domain) {
  Result<Reference> reference = parse_reference(text, default_domain);
  if (reference) {
    // With tag and digest the digest decides, as for Docker.
    if (!reference->digest.empty()) {
      reference->tag.clear();
    }
    const auto found = names.find(reference->canonical());
    if (found != names.end()) {
      return Found{found->second, found->first};
    }
  }
  if (may_be_id(text)) {
    return find_by_id(text, ids);
  }
  if (!reference) {
    return std::move(reference).error();
  }
  return not_found(text);
}

void add_names(runtime::v1::Image& image, const Names& names, std::string_view default_domain) {
  for (const auto& [name, id] : names) {
    if (id == image.id()) {
      (is_digest_name(name) ? image.add_digests() : image.add_tags())
          ->assign(shown(name, default_domain));
    }
  }
}

Result<Removal> plan_removal(const Found& found, const Names& names, RemoveMode mode,
                             const std::string& user, std::string_view default_domain) {
  std::vector<std::string> tags;
  std::vector<std::string> all;
  for (const auto& [name, id] : names) {
    if (id == found.id) {
      all.push_back(name);
      if (!is_digest_name(name)) {
        tags.push_back(name);
      }
    }
  }
  const bool one_of_several =
      !found.name.empty() && std::any_of(tags.begin(), tags.end(), [&](const std::string& name) {
        return name != found.name;
      });
  if (one_of_several) {
    return Removal{{found.name}, false};
  }
  if (found.name.empty() && tags.size() > 1 && mode != RemoveMode::kForce) {
    std::string list;
    for (const std::string& tag : tags) {
      list += (list.empty() ? "" : ", ") + shown(tag, default_domain);
    }
    return Error{Code::kFailedPrecondition,
                 "image '" + found.id.substr(0, 19) + "' has several names (" + list +
                     "): remove them one by one, or use --force",
                 "IMAGE_HAS_NAMES"};
  }
  if (!user.empty() && mode != RemoveMode::kForce) {
    return Error{
        Code::kFailedPrecondition,
        "image '" +
            (found.name.empty() ? found.id.substr(0, 19) : shown(found.name, default_domain)) +
            "' is used by container '" + user + "': remove that first, or use --force",
        "IMAGE_IN_USE"};
  }
  return Removal{all, user.empty()};
}

std::vector<std::string> unused_layers(const std::vector<std::string>& layers,
                                       const std::set<std::string>& used) {
  std::vector<std::string> out;
  std::copy_if(layers.begin(), layers.end(), std::back_inserter(out),
               [&](const std::string& layer) { return !used.contains(layer); });
  return out;
}

}  // namespace skep::oci
