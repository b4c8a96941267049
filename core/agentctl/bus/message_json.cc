#include "core/agentctl/bus/message_json.h"

#include <fmt/format.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/descriptor_database.h>
#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/type_resolver.h>
#include <google/protobuf/util/type_resolver_util.h>

#include <cctype>

#include "core/agentctl/suggest.h"

/// Written by embed_bytes.py from the SDK's descriptor set.
extern const unsigned char kSkepDescriptors[];
extern const unsigned long kSkepDescriptorsSize;

namespace skep::ctl {

namespace pb = google::protobuf;

namespace {

constexpr const char* kUrlPrefix = "type.skep";

// "ListServices" -> "list_services": as cmake/generate_methods.py names methods.
std::string snake_case(const std::string& name) {
  std::string out;
  for (std::size_t i = 0; i < name.size(); ++i) {
    const bool upper = std::isupper(static_cast<unsigned char>(name[i])) != 0;
    const bool after_word = i > 0 && std::isupper(static_cast<unsigned char>(name[i - 1])) == 0;
    out += upper && after_word ? "_" : "";
    out += static_cast<char>(std::tolower(static_cast<unsigned char>(name[i])));
  }
  return out;
}

// "skep.volume.v1" -> "volume/1"
std::string kind_prefix(const std::string& package) {
  const std::size_t first = package.find('.');
  const std::size_t last = package.rfind(".v");
  return package.substr(first + 1, last - first - 1) + "/" + package.substr(last + 2);
}

}  // namespace

struct MessageJson::Impl {
  pb::FileDescriptorSet files;
  pb::SimpleDescriptorDatabase database;
  std::unique_ptr<pb::DescriptorPool> pool;
  std::unique_ptr<pb::util::TypeResolver> resolver;
};

MessageJson::MessageJson() : impl_(std::make_unique<Impl>()) {
  SKEP_ASSERT(impl_->files.ParseFromArray(kSkepDescriptors, static_cast<int>(kSkepDescriptorsSize)),
              "the build embeds what protoc wrote");
  for (const auto& file : impl_->files.file()) {
    impl_->database.Add(file);
  }
  impl_->pool = std::make_unique<pb::DescriptorPool>(&impl_->database);
  impl_->resolver.reset(pb::util::NewTypeResolverForDescriptorPool(kUrlPrefix, impl_->pool.get()));
  for (const auto& file : impl_->files.file()) {
    for (const auto& service : file.service()) {
      for (const auto& method : service.method()) {
        methods_.push_back({kind_prefix(file.package()) + "/" + snake_case(method.name()),
                            method.input_type().substr(1), method.output_type().substr(1),
                            method.client_streaming(), method.server_streaming()});
      }
    }
  }
}

MessageJson::~MessageJson() = default;

Result<MethodInfo> MessageJson::method(std::string_view name) const {
  std::vector<std::string_view> names;
  for (const MethodInfo& info : methods_) {
    if (info.name == name) {
      return info;
    }
    names.push_back(info.name);
  }
  return Error{Code::kNotFound,
               fmt::format("there is no method '{}'{}; 'agentctl bus methods' lists them", name,
                           did_you_mean(name, names))};
}

Result<std::string> MessageJson::to_bytes(const std::string& type, const std::string& json) const {
  std::string bytes;
  const auto status = pb::util::JsonToBinaryString(
      impl_->resolver.get(), fmt::format("{}/{}", kUrlPrefix, type), json, &bytes);
  if (!status.ok()) {
    return Error{Code::kInvalidArgument,
                 fmt::format("the JSON is not a '{}': {}", type, std::string(status.message()))};
  }
  return bytes;
}

Result<std::string> MessageJson::to_json(const std::string& type, const std::string& bytes,
                                         bool pretty, bool whole) const {
  pb::util::JsonPrintOptions options;
  options.add_whitespace = pretty;
  options.preserve_proto_field_names = true;
  options.always_print_primitive_fields = whole;
  std::string json;
  const auto status = pb::util::BinaryToJsonString(
      impl_->resolver.get(), fmt::format("{}/{}", kUrlPrefix, type), bytes, &json, options);
  if (!status.ok()) {
    return Error{Code::kDataLoss,
                 fmt::format("the bytes are not a '{}': {}", type, std::string(status.message()))};
  }
  return json;
}

}  // namespace skep::ctl
