#pragma once

// The root of a swarm when it changes, and nodes whose certificates are no longer good. During a
// rotation certificates are signed by the new root's key and carry that key as certified by the old
// root: who trusts only the old one accepts them too. Pure. Any thread.

#include <string>
#include <string_view>

#include "core/link/certificate.h"

namespace skep::link {

/// The pair can be the root of a swarm: a certificate that may sign others, names its key
/// (subjectKeyIdentifier) of a type we sign with, holds for another 30 days at least, and the key that belongs to it
/// (empty: that is kept outside the swarm).
/// kInvalidArgument BAD_ROOT, with what is wrong.
Status check_root_pair(const CertifiedKey& root, WallTime now);

/// The key and name of `root` certified by `old_root`.
Result<std::string> cross_sign(const CertifiedKey& old_root, std::string_view root);

/// Who signed a certificate: name and key, both DER.
struct Issuer {
  std::string subject;
  std::string public_key;
  friend bool operator==(const Issuer&, const Issuer&) = default;
};
/// Found by its signature among the certificates behind the first one and `roots`; kNotFound: none.
Result<Issuer> issuer_of(std::string_view certificate, std::string_view roots);
/// Who signs with this root.
Result<Issuer> as_issuer(std::string_view root);

/// As verify_certificate, but for its dates.
Result<CertificateFacts> verify_whatever_date(std::string_view certificate, std::string_view roots,
                                              const std::string& cluster_id);
/// The request was made with the key of the certificate. kUnauthenticated ANOTHER_KEY.
Status check_same_key(std::string_view request, std::string_view certificate);

}  // namespace skep::link
