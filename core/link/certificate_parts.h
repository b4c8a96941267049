#pragma once

// What certificates are made of and read with. Only for .cc files of core/link.

#include "core/link/certificate.h"
#include "core/link/crypto.h"

namespace skep::link {

Result<std::string> certificate_text(X509* certificate);
bool add_entry(X509_NAME* name, const char* field, std::string_view value);
bool add_extension(X509* certificate, X509* issuer, int nid, const char* value);
/// A certificate with everything but names, extensions and signature.
Result<CertificatePtr> blank(EVP_PKEY* key, WallTime from, WallTime until);
/// kInvalidArgument: not a certificate of a node.
Result<CertificateFacts> facts_of(const X509* certificate);
/// The signatures lead to one of `roots`; times are not looked at.
bool signed_by(const std::vector<CertificatePtr>& chain, const std::vector<CertificatePtr>& roots);

}  // namespace skep::link
