#include "core/control/ca/external_ca.h"

#include <algorithm>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "core/link/outside.h"

namespace skep::control {
namespace {

namespace json = boost::json;

constexpr unsigned kOk = 200;
constexpr std::size_t kShownMax = 300;
constexpr std::size_t kDepthMax = 16;
constexpr const char* kCrossProfile = "CA";  // as SwarmKit names it

/// Of another program's words, what can be shown on one line.
std::string shown(std::string_view text) {
  std::string out(text.substr(0, kShownMax));
  std::replace_if(out.begin(), out.end(), [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7f'; }, ' ');
  return out.substr(0, out.find_last_not_of(' ') + 1);
}

Error refused(const std::string& why) { return {Code::kUnavailable, why, "REFUSED"}; }

const json::value* member(const json::value& of, std::string_view name) {
  const json::object* const object = of.if_object();
  return object == nullptr ? nullptr : object->if_contains(name);
}

/// What cfssl's "errors" say, of which each has a code and a message.
std::string errors_of(const json::value& answer) {
  std::string out;
  const json::value* const errors = member(answer, "errors");
  const json::array* const list = errors == nullptr ? nullptr : errors->if_array();
  for (const json::value& error : list == nullptr ? json::array() : *list) {
    const json::value* const message = member(error, "message");
    if (message != nullptr && message->is_string()) {
      out += (out.empty() ? "" : ", ") + shown(message->get_string());
    }
    if (out.size() > kShownMax) {
      break;
    }
  }
  return out;
}

/// The certificate that an authority's root is known by; empty: none that could be one.
std::string digest_of(const std::string& certificate) {
  auto digest = link::certificate_digest(certificate);
  return digest ? *std::move(digest) : std::string();
}

}  // namespace

std::vector<model::v1::ExternalCa> external_cas_for(const model::v1::Cluster& cluster, const std::string& root) {
  std::vector<model::v1::ExternalCa> out;
  if (cluster.spec().external_cas().empty()) {
    return out;
  }
  const std::string wanted = digest_of(root);
  for (const auto& authority : cluster.spec().external_cas()) {
    const std::string& its = authority.certificate().empty() ? cluster.root_ca().certificate() : authority.certificate();
    if (!wanted.empty() && (its == root || digest_of(its) == wanted)) {
      out.push_back(authority);
    }
  }
  return out;
}

Status pin_external_cas(google::protobuf::RepeatedPtrField<model::v1::ExternalCa>& authorities,
                        const std::string& root) {
  for (auto& authority : authorities) {
    if (authority.certificate().empty()) {
      authority.set_certificate(root);
    }
    if (auto digest = link::certificate_digest(authority.certificate()); !digest) {
      return Error{Code::kInvalidArgument,
                   "external-ca: the root of " + authority.url() + " is of no use: " + digest.error().message,
                   "BAD_CERTIFICATE"};
    }
  }
  return ok();
}

Error no_signer() {
  return {Code::kFailedPrecondition,
          "the key of the root is kept outside this swarm, and no external certificate authority signs for it: "
          "'agentctl swarm update --external-ca protocol=cfssl,url=https://...' names one",
          "NO_SIGNER"};
}

std::string signing_question(const std::string& request, const link::Identity& identity) {
  const json::string unit(link::unit_name(identity.role));
  return json::serialize(json::value{
      {"certificate_request", request},
      {"hosts", json::array{unit, identity.node_id}},
      {"subject",
       {{"CN", identity.node_id}, {"names", json::array{json::object{{"O", identity.cluster_id}, {"OU", unit}}}}}}});
}

std::string cross_signing_question(const std::string& request) {
  // The subject is the request's own.
  return json::serialize(json::value{{"certificate_request", request}, {"profile", kCrossProfile}});
}

Result<std::string> read_signing_answer(const bus::HttpsAnswer& answer) {
  boost::json::error_code error;
  json::parse_options options;
  options.max_depth = kDepthMax;
  const json::value parsed = json::parse(answer.body, error, {}, options);
  const std::string said = error ? std::string() : errors_of(parsed);
  if (answer.status != kOk || !said.empty()) {
    return refused("it refused (HTTP status " + std::to_string(answer.status) + ")" +
                   (!said.empty() ? ": " + said : answer.body.empty() ? "" : ": " + shown(answer.body)));
  }
  const json::value* const success = error ? nullptr : member(parsed, "success");
  const json::value* const result = error ? nullptr : member(parsed, "result");
  const json::value* const certificate = result == nullptr ? nullptr : member(*result, "certificate");
  if (success == nullptr || success->if_bool() == nullptr || !success->get_bool() || certificate == nullptr ||
      certificate->if_string() == nullptr) {
    return refused("its answer holds no certificate: is the url that of a cfssl server's "
                   "'/api/v1/cfssl/sign'?");
  }
  return std::string(certificate->get_string());
}

}  // namespace skep::control
