#include "core/agentd/certificate_wishes.h"

#include "core/link/root.h"

namespace skep::agentd {

namespace {
using namespace std::chrono_literals;       // NOLINT(google-build-using-namespace)
constexpr Duration kLifeTolerated = 10min;  // beyond what the swarm wants

/// Without the certificates behind it.
std::string_view leaf_of(std::string_view chain) {
  constexpr std::string_view kEnd = "-----END CERTIFICATE-----";
  const auto end = chain.find(kEnd);
  return end == std::string_view::npos ? chain : chain.substr(0, end + kEnd.size());
}
}  // namespace

std::optional<link::Credentials> with_wanted_roots(const dispatch::v1::SessionMessage& message,
                                                   const link::Credentials& credentials) {
  if (message.roots().empty() || message.roots() == credentials.roots ||
      !link::verify_whatever_date(credentials.pair.certificate, message.roots(),
                                  credentials.cluster_id)) {
    return std::nullopt;
  }
  // Who signed our certificate stays trusted, although an older root may vouch for it: what a manager that was
  // overtaken tells could be the roots of before, when that issuer is about to be the only one.
  const auto issuer = link::issuer_of(credentials.pair.certificate, credentials.roots);
  const auto known = link::issuer_of(leaf_of(credentials.pair.certificate), message.roots());
  if (!issuer || !known || issuer->public_key != known->public_key) {
    return std::nullopt;
  }
  link::Credentials fresh = credentials;
  fresh.roots = message.roots();
  return fresh;
}

bool must_renew(const dispatch::v1::SessionMessage& message, const link::Credentials& credentials) {
  const auto facts = link::read_certificate(credentials.pair.certificate);
  const auto issuer = link::issuer_of(credentials.pair.certificate, credentials.roots);
  const bool foreign = !message.issuer_public_key().empty() &&
                       (!issuer || issuer->public_key != message.issuer_public_key());
  const bool long_lived =
      message.certificate_life() > 0 && facts &&
      facts->not_after - facts->not_before - link::kBackdate.count() >
          message.certificate_life() + kLifeTolerated.count();
  return foreign || long_lived;
}

Result<link::Credentials> renewed(const ca::v1::RenewResponse& reply,
                                  const link::Credentials& credentials, WallTime now) {
  link::Credentials fresh = credentials;
  fresh.pair.certificate = reply.certificate();
  fresh.roots = reply.root();
  SKEP_TRY(link::verify_certificate(fresh.pair.certificate, fresh.roots, fresh.cluster_id, now));
  return fresh;
}

Result<link::Credentials> Renewals::answered(std::uint64_t asked, const Result<ca::v1::RenewResponse>& reply,
                                             const link::Credentials& credentials, WallTime now) const {
  if (asked != last_) {
    return Error{Code::kUnavailable, "another certificate was asked for, or the roots changed, meanwhile", "RENEWED_AGAIN"};
  }
  return reply ? renewed(*reply, credentials, now) : Result<link::Credentials>(reply.error());
}

}  // namespace skep::agentd
