#include "core/link/root.h"

#include "core/link/certificate_parts.h"

namespace skep::link {
namespace {

constexpr int kDaysLeftMin = 30;
constexpr int kEllipticBitsMin = 256;
constexpr int kRsaBitsMin = 2048;

Error bad_root(const std::string& why) {
  return Error{Code::kInvalidArgument, "the certificate cannot be the root of a swarm: " + why, "BAD_ROOT"};
}

std::string name_der(const X509_NAME* name) {
  unsigned char* data = nullptr;
  const int size = ::i2d_X509_NAME(name, &data);
  std::string out(reinterpret_cast<const char*>(data), size > 0 ? static_cast<std::size_t>(size) : 0);
  ::OPENSSL_free(data);
  return out;
}

std::string key_der(const X509* certificate) {
  unsigned char* data = nullptr;
  const int size = ::i2d_X509_PUBKEY(::X509_get_X509_PUBKEY(certificate), &data);
  std::string out(reinterpret_cast<const char*>(data), size > 0 ? static_cast<std::size_t>(size) : 0);
  ::OPENSSL_free(data);
  return out;
}

Issuer issuer_from(const X509* certificate) {
  return {name_der(::X509_get_subject_name(certificate)), key_der(certificate)};
}

bool signed_with(X509* certificate, X509* issuer) {
  EVP_PKEY* const key = ::X509_get0_pubkey(issuer);
  const bool good = key != nullptr && ::X509_verify(certificate, key) == 1;
  ::ERR_clear_error();
  return good;
}

}  // namespace

Status check_root_pair(const CertifiedKey& root, WallTime now) {
  const auto chain = parse_certificates(root.certificate);
  if (!chain) {
    return bad_root(chain.error().message);
  }
  if (chain->size() != 1) {
    return bad_root("the file holds " + std::to_string(chain->size()) + " certificates, not one");
  }
  X509* const certificate = chain->front().get();
  if (::X509_check_ca(certificate) != 1 || (::X509_get_key_usage(certificate) & KU_KEY_CERT_SIGN) == 0) {
    return bad_root("it may not sign others (CA:TRUE and keyCertSign are missing)");
  }
  if (::X509_get0_subject_key_id(certificate) == nullptr) {
    return bad_root("it has no subjectKeyIdentifier");
  }
  EVP_PKEY* const key = ::X509_get0_pubkey(certificate);
  const int type = key == nullptr ? EVP_PKEY_NONE : ::EVP_PKEY_get_base_id(key);
  if ((type != EVP_PKEY_EC || ::EVP_PKEY_get_bits(key) < kEllipticBitsMin) &&
      (type != EVP_PKEY_RSA || ::EVP_PKEY_get_bits(key) < kRsaBitsMin)) {
    return bad_root("its key must be an elliptic one (as of 'openssl ecparam -name prime256v1') of " +
                    std::to_string(kEllipticBitsMin) + " bits or more, or RSA of " + std::to_string(kRsaBitsMin));
  }
  const long path = ::X509_get_pathlen(certificate);
  if (path == 0) {
    return bad_root("its pathlen of 0 would not allow the next rotation: use 1 or none");
  }
  if (!signed_with(certificate, certificate)) {
    return bad_root("it is not signed by itself");
  }
  const std::time_t seconds = static_cast<std::time_t>(now / 1'000'000'000);
  std::time_t later = seconds + kDaysLeftMin * 86'400;
  std::time_t present = seconds;
  if (::X509_cmp_time(::X509_get0_notAfter(certificate), &later) <= 0) {
    return bad_root("it expires within " + std::to_string(kDaysLeftMin) + " days");
  }
  if (::X509_cmp_time(::X509_get0_notBefore(certificate), &present) >= 0) {
    return bad_root("it is not valid yet");
  }
  if (auto pair = root.key.empty() ? ok() : check_pair(root); !pair) {
    return bad_root(pair.error().message);
  }
  return ok();
}

Result<std::string> cross_sign(const CertifiedKey& old_root, std::string_view root) {
  SKEP_TRY_ASSIGN(const auto old_chain, parse_certificates(old_root.certificate));
  SKEP_TRY_ASSIGN(const KeyPtr old_key, parse_key(old_root.key));
  SKEP_TRY_ASSIGN(const auto chain, parse_certificates(root));
  X509* const issuer = old_chain.front().get();
  X509* const subject = chain.front().get();
  SKEP_TRY_ASSIGN(const CertificatePtr made, blank(::X509_get0_pubkey(subject), 0, 0));
  const int at = ::X509_get_ext_by_NID(subject, NID_subject_key_identifier, -1);
  if (at < 0 || ::X509_set1_notBefore(made.get(), ::X509_get0_notBefore(subject)) != 1 ||
      ::X509_set1_notAfter(made.get(), ::X509_get0_notAfter(subject)) != 1 ||
      ::X509_set_subject_name(made.get(), ::X509_get_subject_name(subject)) != 1 ||
      ::X509_set_issuer_name(made.get(), ::X509_get_subject_name(issuer)) != 1 ||
      !add_extension(made.get(), issuer, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
      !add_extension(made.get(), issuer, NID_key_usage, "critical,keyCertSign,cRLSign") ||
      // As in the root itself: certificates name the key that signed them by it.
      ::X509_add_ext(made.get(), ::X509_get_ext(subject, at), -1) != 1 ||
      !add_extension(made.get(), issuer, NID_authority_key_identifier, "keyid:always") ||
      ::X509_sign(made.get(), old_key.get(), ::EVP_sha256()) == 0) {
    return crypto_error("certify the new root by the old one");
  }
  return certificate_text(made.get());
}

Result<Issuer> issuer_of(std::string_view certificate, std::string_view roots) {
  SKEP_TRY_ASSIGN(const auto chain, parse_certificates(certificate));
  SKEP_TRY_ASSIGN(const auto trusted, parse_certificates(roots));
  X509* const leaf = chain.front().get();
  for (std::size_t i = 1; i < chain.size(); ++i) {
    if (signed_with(leaf, chain[i].get())) {
      return issuer_from(chain[i].get());
    }
  }
  for (const auto& root : trusted) {
    if (signed_with(leaf, root.get())) {
      return issuer_from(root.get());
    }
  }
  return Error{Code::kNotFound, "the certificate was signed by none of the roots", "FOREIGN_CERTIFICATE"};
}

Result<Issuer> as_issuer(std::string_view root) {
  SKEP_TRY_ASSIGN(const auto chain, parse_certificates(root));
  return issuer_from(chain.front().get());
}

Result<CertificateFacts> verify_whatever_date(std::string_view certificate, std::string_view roots,
                                              const std::string& cluster_id) {
  SKEP_TRY_ASSIGN(const CertificateFacts facts, read_certificate(certificate));
  return verify_certificate(certificate, roots, cluster_id, facts.not_before);
}

Status check_same_key(std::string_view request, std::string_view certificate) {
  SKEP_TRY_ASSIGN(const auto chain, parse_certificates(certificate));
  const BioPtr bio(::BIO_new_mem_buf(request.data(), static_cast<int>(request.size())));
  const RequestPtr parsed(::PEM_read_bio_X509_REQ(bio.get(), nullptr, nullptr, nullptr));
  EVP_PKEY* const key = parsed ? ::X509_REQ_get0_pubkey(parsed.get()) : nullptr;
  const bool same = key != nullptr && ::X509_REQ_verify(parsed.get(), key) == 1 &&
                    ::EVP_PKEY_eq(key, ::X509_get0_pubkey(chain.front().get())) == 1;
  ::ERR_clear_error();
  return same ? ok()
              : Status(Error{Code::kUnauthenticated, "the request was not made with the key of the certificate",
                             "ANOTHER_KEY"});
}

}  // namespace skep::link
