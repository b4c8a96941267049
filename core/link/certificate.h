#pragma once

// Certificates of a swarm: one root (ECDSA P-256), and one per node that says who it is: CN = node id,
// OU = swarm-manager or swarm-worker, O = cluster id. A manager that autolock locks has one more, with
// OU = swarm-locked-manager. Everything travels as PEM text. Pure but for the
// keys, which OpenSSL's generator draws; the clock is given. Any thread.

#include <chrono>
#include <string>
#include <string_view>

#include "skep/env.h"
#include "skep/result.h"

namespace skep::link {

using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace): literals only

inline constexpr Duration kCertificateLife = 90 * 24h;
inline constexpr Duration kCertificateLifeMin = 1h;
/// Certificates begin so much in the past: clocks of machines differ.
inline constexpr Duration kBackdate = 1h;
inline constexpr Duration kRootLife = 20 * 365 * 24h;

/// kLockedManager: while a manager is locked. Its key lies open, so it may have a worker's session as that
/// node and nothing else.
enum class Role { kWorker, kManager, kLockedManager };
/// "worker", "manager", "locked manager".
std::string_view role_name(Role role);

struct Identity {
  std::string node_id;
  Role role = Role::kWorker;
  std::string cluster_id;
  friend bool operator==(const Identity&, const Identity&) = default;
};

struct CertifiedKey {
  std::string certificate;
  std::string key;
};
struct KeyedRequest {
  std::string request;  ///< PKCS #10
  std::string key;
};
struct CertificateFacts {
  Identity identity;
  WallTime not_before = 0;
  WallTime not_after = 0;
};

Result<CertifiedKey> make_root(WallTime now);
/// A new key and the request to certify it.
Result<KeyedRequest> make_request();
/// The request of an existing key.
Result<std::string> request_for(std::string_view key);
/// Certifies the key of `request` as `identity`; whatever the request says of itself is ignored. `life`
/// below kCertificateLifeMin is raised to it, and ends with the root at the latest: nobody would accept it longer.
/// kInvalidArgument: the request is damaged or of another key type. kFailedPrecondition ROOT_EXPIRED.
Result<std::string> sign_request(const CertifiedKey& root, std::string_view request,
                                 const Identity& identity, WallTime now, Duration life);

/// kInvalidArgument: not a certificate of a node.
Result<CertificateFacts> read_certificate(std::string_view certificate);
/// Signed by one of `roots` for this cluster, and valid now. kUnauthenticated with reason
/// FOREIGN_CERTIFICATE, CERTIFICATE_EXPIRED or CERTIFICATE_NOT_YET_VALID. An empty cluster_id accepts
/// any that the root signed. `other_clock`: what the other side says the time is, 0 when it did not;
/// a difference is then named in seconds.
Result<CertificateFacts> verify_certificate(std::string_view certificate, std::string_view roots,
                                            const std::string& cluster_id, WallTime now,
                                            WallTime other_clock = 0);
/// When a node renews: between 50 and 80 % of the life of its certificate, not all nodes at once.
WallTime renewal_time(const CertificateFacts& facts, Random& random);
/// The key belongs to the certificate.
Status check_pair(const CertifiedKey& pair);

/// SHA-256 of the certificate's DER form, 32 bytes.
Result<std::string> certificate_digest(std::string_view certificate);
/// "2026-11-21 08:00:00 UTC".
std::string date_text(WallTime time);

}  // namespace skep::link
