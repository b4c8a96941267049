#include "plugins/runtime/oci/images/image_config.h"

#include <boost/json.hpp>
#include <charconv>
#include <chrono>

#include "plugins/runtime/oci/images/digest.h"
#include "plugins/runtime/oci/images/json_read.h"
#include "plugins/runtime/oci/images/manifest.h"

namespace skep::oci {
namespace {

namespace bj = boost::json;

Error bad(std::string why) {
  return Error{Code::kInvalidArgument, std::move(why)};
}

template <class Field>
Status copy_texts(const bj::object& object, std::string_view key, Field* into) {
  SKEP_TRY_ASSIGN(const std::vector<std::string> texts, json::texts(object, key));
  into->Assign(texts.begin(), texts.end());
  return ok();
}

template <class Field>
Status copy_keys(const bj::object& object, std::string_view key, Field* into) {
  SKEP_TRY_ASSIGN(const std::vector<std::string> keys, json::keys(object, key));
  into->Assign(keys.begin(), keys.end());
  return ok();
}

Status read_health_check(const bj::object& object, runtime::v1::Image& out) {
  SKEP_TRY_ASSIGN(const bj::object* const check, json::member(object, "Healthcheck"));
  if (check == nullptr) {
    return ok();
  }
  model::v1::HealthCheck& to = *out.mutable_health_check();
  SKEP_TRY(copy_texts(*check, "Test", to.mutable_test()));
  SKEP_TRY_ASSIGN(const std::int64_t interval, json::integer(*check, "Interval"));
  SKEP_TRY_ASSIGN(const std::int64_t timeout, json::integer(*check, "Timeout"));
  SKEP_TRY_ASSIGN(const std::int64_t start_period, json::integer(*check, "StartPeriod"));
  SKEP_TRY_ASSIGN(const std::int64_t start_interval, json::integer(*check, "StartInterval"));
  SKEP_TRY_ASSIGN(const std::int64_t retries, json::integer(*check, "Retries"));
  if (interval < 0 || timeout < 0 || start_period < 0 || start_interval < 0 || retries < 0 ||
      retries > 1'000'000) {
    return bad("the health check has a negative time or an impossible number of retries");
  }
  to.set_interval(interval);
  to.set_timeout(timeout);
  to.set_start_period(start_period);
  to.set_start_interval(start_interval);
  to.set_retries(static_cast<std::uint32_t>(retries));
  return ok();
}

Status read_labels(const bj::object& object, runtime::v1::Image& out) {
  SKEP_TRY_ASSIGN(const bj::object* const labels, json::member(object, "Labels"));
  if (labels == nullptr) {
    return ok();
  }
  for (const auto& label : *labels) {
    const std::string key(label.key().data(), label.key().size());
    SKEP_TRY_ASSIGN((*out.mutable_labels())[key], json::text(*labels, key));
  }
  return ok();
}

Status read_container_defaults(const bj::object& object, runtime::v1::Image& out) {
  SKEP_TRY(copy_texts(object, "Entrypoint", out.mutable_entrypoint()));
  SKEP_TRY(copy_texts(object, "Cmd", out.mutable_command()));
  SKEP_TRY(copy_texts(object, "Env", out.mutable_env()));
  SKEP_TRY(copy_keys(object, "ExposedPorts", out.mutable_exposed_ports()));
  SKEP_TRY(copy_keys(object, "Volumes", out.mutable_volumes()));
  SKEP_TRY_ASSIGN(*out.mutable_user(), json::text(object, "User"));
  SKEP_TRY_ASSIGN(*out.mutable_directory(), json::text(object, "WorkingDir"));
  SKEP_TRY_ASSIGN(*out.mutable_stop_signal(), json::text(object, "StopSignal"));
  SKEP_TRY(read_labels(object, out));
  return read_health_check(object, out);
}

Status read_layers(const bj::object& object, runtime::v1::Image& out) {
  SKEP_TRY_ASSIGN(const bj::object* const rootfs, json::member(object, "rootfs"));
  if (rootfs == nullptr) {
    return bad("'rootfs' is missing");
  }
  SKEP_TRY_ASSIGN(const std::vector<std::string> layers, json::texts(*rootfs, "diff_ids"));
  if (layers.size() > kLayersMax) {
    return bad("more than " + std::to_string(kLayersMax) + " layers");
  }
  for (const std::string& layer : layers) {
    if (!is_digest(layer)) {
      return bad("layer '" + layer.substr(0, 100) + "' is not a sha256 digest");
    }
    out.add_layers(layer);
  }
  return ok();
}

Status read_image(const bj::object& object, runtime::v1::Image& out) {
  SKEP_TRY_ASSIGN(*out.mutable_os(), json::text(object, "os"));
  SKEP_TRY_ASSIGN(*out.mutable_architecture(), json::text(object, "architecture"));
  SKEP_TRY_ASSIGN(const std::string created, json::text(object, "created"));
  out.set_created_at(parse_rfc3339(created));
  SKEP_TRY_ASSIGN(const bj::object* const config, json::member(object, "config"));
  if (config != nullptr) {
    SKEP_TRY(read_container_defaults(*config, out));
  }
  return read_layers(object, out);
}

/// Digits of text[at, at + size) as a number; -1 when it is none.
int number_at(std::string_view text, std::size_t at, std::size_t size) {
  int value = -1;
  if (at + size > text.size() ||
      text.substr(at, size).find_first_not_of("0123456789") != std::string_view::npos) {
    return -1;
  }
  std::from_chars(text.data() + at, text.data() + at + size, value);
  return value;
}

/// ".5" -> 500,000,000; moves past it. Digits beyond nanoseconds are dropped.
std::int64_t read_fraction(std::string_view& text) {
  if (!text.starts_with('.')) {
    return 0;
  }
  text.remove_prefix(1);
  std::int64_t value = 0;
  std::int64_t unit = 100'000'000;
  while (!text.empty() && text.front() >= '0' && text.front() <= '9') {
    value += unit * (text.front() - '0');
    unit /= 10;
    text.remove_prefix(1);
  }
  return value;
}

}  // namespace

std::int64_t parse_rfc3339(std::string_view text) {
  const int year = number_at(text, 0, 4);
  const int month = number_at(text, 5, 2);
  const int day = number_at(text, 8, 2);
  const int hour = number_at(text, 11, 2);
  const int minute = number_at(text, 14, 2);
  const int second = number_at(text, 17, 2);
  if (text.size() < 20 || year < 1970 || year > 2200 || month < 1 || month > 12 || day < 1 ||
      day > 31 || hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60) {
    return 0;
  }
  using std::chrono::seconds;
  const std::chrono::sys_days date =
      std::chrono::year(year) / static_cast<unsigned>(month) / static_cast<unsigned>(day);
  std::int64_t total =
      seconds(date.time_since_epoch()).count() + hour * 3600 + minute * 60 + second;
  std::string_view rest = text.substr(19);
  const std::int64_t fraction = read_fraction(rest);
  if (rest.size() == 6 && (rest[0] == '+' || rest[0] == '-')) {
    const int offset_hours = number_at(rest, 1, 2);
    const int offset_minutes = number_at(rest, 4, 2);
    if (offset_hours < 0 || offset_minutes < 0) {
      return 0;
    }
    const int offset = offset_hours * 3600 + offset_minutes * 60;
    total += rest[0] == '+' ? -offset : offset;
  } else if (rest != "Z") {
    return 0;
  }
  return total * 1'000'000'000 + fraction;
}

Result<runtime::v1::Image> parse_image_config(std::string_view blob) {
  SKEP_TRY_ASSIGN(const bj::object object,
                  json::parse_object(blob, "the image configuration", kConfigBytesMax));
  runtime::v1::Image out;
  out.set_id(digest_of(blob));
  if (Status status = read_image(object, out); !status) {
    return std::move(status).error().with_context("image configuration");
  }
  return out;
}

}  // namespace skep::oci
