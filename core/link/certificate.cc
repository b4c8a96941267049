#include "core/link/certificate.h"

#include <openssl/rand.h>

#include <algorithm>
#include <ctime>
#include <optional>

#include "core/link/certificate_parts.h"
#include "core/link/outside.h"

namespace skep::link {
namespace {

constexpr std::string_view kManagerUnit = "swarm-manager";
constexpr std::string_view kWorkerUnit = "swarm-worker";
constexpr std::string_view kLockedUnit = "swarm-locked-manager";
constexpr WallTime kSecond = 1'000'000'000;
constexpr WallTime kSkewNamed = 2 * kSecond;  // smaller differences are the network's

std::string_view unit_of(Role role) {
  switch (role) {
    case Role::kWorker: return kWorkerUnit;
    case Role::kManager: return kManagerUnit;
    case Role::kLockedManager: return kLockedUnit;
  }
  return {};
}

std::optional<Role> role_of(std::string_view unit) {
  for (const Role role : {Role::kWorker, Role::kManager, Role::kLockedManager}) {
    if (unit == unit_of(role)) {
      return role;
    }
  }
  return std::nullopt;
}

std::time_t seconds(WallTime time) { return static_cast<std::time_t>(time / kSecond); }

std::string text_of(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return std::string(data, static_cast<std::size_t>(size));
}

template <class Write>
Result<std::string> to_pem(const char* what, Write write) {
  const BioPtr bio(::BIO_new(::BIO_s_mem()));
  if (write(bio.get()) != 1) {
    return crypto_error(what);
  }
  return text_of(bio.get());
}

Result<std::string> key_text(EVP_PKEY* key) {
  return to_pem("write a key", [key](BIO* bio) {
    return ::PEM_write_bio_PKCS8PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr);
  });
}
Result<WallTime> read_time(const ASN1_TIME* time) {
  std::tm parts{};
  if (::ASN1_TIME_to_tm(time, &parts) != 1) {
    return Error{Code::kInvalidArgument, "the certificate's dates cannot be read", "BAD_CERTIFICATE"};
  }
  return static_cast<WallTime>(::timegm(&parts)) * kSecond;
}

std::string skew_text(WallTime now, WallTime other_clock) {
  const WallTime skew = other_clock - now;
  if (other_clock == 0 || (skew < kSkewNamed && skew > -kSkewNamed)) {
    return {};
  }
  return "; its clock is " + std::to_string((skew < 0 ? -skew : skew) / kSecond) + " s " +
         (skew < 0 ? "behind" : "ahead of") + " ours: set the clocks";
}

}  // namespace

Result<std::string> certificate_text(X509* certificate) {
  return to_pem("write a certificate", [certificate](BIO* bio) {
    return ::PEM_write_bio_X509(bio, certificate);
  });
}

bool add_entry(X509_NAME* name, const char* field, std::string_view value) {
  return ::X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8,
                                      reinterpret_cast<const unsigned char*>(value.data()),
                                      static_cast<int>(value.size()), -1, 0) == 1;
}

bool add_extension(X509* certificate, X509* issuer, int nid, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = ::X509V3_EXT_conf_nid(nullptr, &context, nid, value);
  if (extension == nullptr) {
    return false;
  }
  const int added = ::X509_add_ext(certificate, extension, -1);
  ::X509_EXTENSION_free(extension);
  return added == 1;
}

Result<CertificatePtr> blank(EVP_PKEY* key, WallTime from, WallTime until) {
  CertificatePtr certificate(::X509_new());
  unsigned char serial[19];
  if (!certificate || ::RAND_bytes(serial, sizeof(serial)) != 1) {
    return crypto_error("make a certificate");
  }
  BIGNUM* number = ::BN_bin2bn(serial, sizeof(serial), nullptr);
  const bool numbered =
      number != nullptr &&
      ::BN_to_ASN1_INTEGER(number, ::X509_get_serialNumber(certificate.get())) != nullptr;
  ::BN_free(number);
  if (!numbered || ::X509_set_version(certificate.get(), X509_VERSION_3) != 1 ||
      ::ASN1_TIME_set(::X509_getm_notBefore(certificate.get()), seconds(from)) == nullptr ||
      ::ASN1_TIME_set(::X509_getm_notAfter(certificate.get()), seconds(until)) == nullptr ||
      ::X509_set_pubkey(certificate.get(), key) != 1) {
    return crypto_error("make a certificate");
  }
  return certificate;
}

Result<CertificateFacts> facts_of(const X509* certificate) {
  const X509_NAME* subject = ::X509_get_subject_name(certificate);
  CertificateFacts facts;
  facts.identity.node_id = name_entry(subject, NID_commonName);
  facts.identity.cluster_id = name_entry(subject, NID_organizationName);
  const auto role = role_of(name_entry(subject, NID_organizationalUnitName));
  if (facts.identity.node_id.empty() || facts.identity.cluster_id.empty() || !role) {
    return Error{Code::kInvalidArgument, "the certificate is not one of a swarm's node",
                 "BAD_CERTIFICATE"};
  }
  facts.identity.role = *role;
  SKEP_TRY_ASSIGN(facts.not_before, read_time(::X509_get0_notBefore(certificate)));
  SKEP_TRY_ASSIGN(facts.not_after, read_time(::X509_get0_notAfter(certificate)));
  return facts;
}

bool signed_by(const std::vector<CertificatePtr>& chain, const std::vector<CertificatePtr>& roots) {
  const StorePtr store(::X509_STORE_new());
  for (const auto& root : roots) {
    ::X509_STORE_add_cert(store.get(), root.get());
  }
  STACK_OF(X509)* between = sk_X509_new_null();
  for (std::size_t i = 1; i < chain.size(); ++i) {
    sk_X509_push(between, chain[i].get());
  }
  const StoreContextPtr context(::X509_STORE_CTX_new());
  bool good = ::X509_STORE_CTX_init(context.get(), store.get(), chain.front().get(), between) == 1;
  if (good) {
    ::X509_STORE_CTX_set_flags(context.get(), X509_V_FLAG_NO_CHECK_TIME);
    good = ::X509_verify_cert(context.get()) == 1;
  }
  sk_X509_free(between);
  ::ERR_clear_error();
  return good;
}

std::string_view unit_name(Role role) { return unit_of(role); }

std::string_view role_name(Role role) {
  switch (role) {
    case Role::kWorker: return "worker";
    case Role::kManager: return "manager";
    case Role::kLockedManager: return "locked manager";
  }
  return {};
}

std::string date_text(WallTime time) {
  const std::time_t when = seconds(time);
  std::tm parts{};
  ::gmtime_r(&when, &parts);
  char text[32];
  return {text, std::strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &parts)};
}

Result<CertifiedKey> make_root(WallTime now) {
  const KeyPtr key(EVP_EC_gen("P-256"));
  if (!key) {
    return crypto_error("make a key");
  }
  SKEP_TRY_ASSIGN(const CertificatePtr certificate,
                  blank(key.get(), now - kBackdate.count(), now + kRootLife.count()));
  X509_NAME* name = ::X509_get_subject_name(certificate.get());
  if (!add_entry(name, "CN", "swarm-ca") || ::X509_set_issuer_name(certificate.get(), name) != 1 ||
      !add_extension(certificate.get(), certificate.get(), NID_basic_constraints, "critical,CA:TRUE,pathlen:1") ||
      !add_extension(certificate.get(), certificate.get(), NID_key_usage, "critical,keyCertSign,cRLSign") ||
      !add_extension(certificate.get(), certificate.get(), NID_subject_key_identifier, "hash") ||
      ::X509_sign(certificate.get(), key.get(), ::EVP_sha256()) == 0) {
    return crypto_error("make the root certificate");
  }
  CertifiedKey root;
  SKEP_TRY_ASSIGN(root.certificate, certificate_text(certificate.get()));
  SKEP_TRY_ASSIGN(root.key, key_text(key.get()));
  return root;
}

Result<std::string> request_for(std::string_view key) {
  SKEP_TRY_ASSIGN(const KeyPtr parsed, parse_key(key));
  const RequestPtr request(::X509_REQ_new());
  if (!request || !add_entry(::X509_REQ_get_subject_name(request.get()), "CN", "skep node") ||
      ::X509_REQ_set_pubkey(request.get(), parsed.get()) != 1 ||
      ::X509_REQ_sign(request.get(), parsed.get(), ::EVP_sha256()) == 0) {
    return crypto_error("make a certificate request");
  }
  return to_pem("write a certificate request",
                [&](BIO* bio) { return ::PEM_write_bio_X509_REQ(bio, request.get()); });
}

Result<KeyedRequest> make_request() {
  const KeyPtr key(EVP_EC_gen("P-256"));
  if (!key) {
    return crypto_error("make a key");
  }
  KeyedRequest out;
  SKEP_TRY_ASSIGN(out.key, key_text(key.get()));
  SKEP_TRY_ASSIGN(out.request, request_for(out.key));
  return out;
}

Result<std::string> sign_request(const CertifiedKey& root, std::string_view request,
                                 const Identity& identity, WallTime now, Duration life) {
  SKEP_TRY_ASSIGN(const auto roots, parse_certificates(root.certificate));
  SKEP_TRY_ASSIGN(const KeyPtr root_key, parse_key(root.key));
  const BioPtr bio(::BIO_new_mem_buf(request.data(), static_cast<int>(request.size())));
  const RequestPtr parsed(::PEM_read_bio_X509_REQ(bio.get(), nullptr, nullptr, nullptr));
  EVP_PKEY* key = parsed ? ::X509_REQ_get0_pubkey(parsed.get()) : nullptr;
  if (key == nullptr || ::X509_REQ_verify(parsed.get(), key) != 1) {
    ::ERR_clear_error();
    return Error{Code::kInvalidArgument, "the certificate request is damaged", "BAD_REQUEST"};
  }
  if (::EVP_PKEY_get_base_id(key) != EVP_PKEY_EC || ::EVP_PKEY_get_bits(key) < 256) {
    return Error{Code::kInvalidArgument,
                 "the certificate request's key is not an elliptic one of 256 bits or more",
                 "BAD_REQUEST"};
  }
  SKEP_TRY_ASSIGN(const WallTime root_end, read_time(::X509_get0_notAfter(roots.front().get())));
  if (root_end <= now) {
    return Error{Code::kFailedPrecondition,
                 "the root certificate of the swarm expired on " + date_text(root_end) +
                     ": 'agentctl swarm ca --rotate' replaces it",
                 "ROOT_EXPIRED"};
  }
  const WallTime end = std::min(root_end, now + std::max(life, Duration(kCertificateLifeMin)).count());
  SKEP_TRY_ASSIGN(const CertificatePtr certificate, blank(key, now - kBackdate.count(), end));
  X509* issuer = roots.front().get();
  X509_NAME* name = ::X509_get_subject_name(certificate.get());
  if (!add_entry(name, "O", identity.cluster_id) ||
      !add_entry(name, "OU", unit_of(identity.role)) ||
      !add_entry(name, "CN", identity.node_id) ||
      ::X509_set_issuer_name(certificate.get(), ::X509_get_subject_name(issuer)) != 1 ||
      !add_extension(certificate.get(), issuer, NID_basic_constraints, "critical,CA:FALSE") ||
      !add_extension(certificate.get(), issuer, NID_key_usage, "critical,digitalSignature") ||
      !add_extension(certificate.get(), issuer, NID_ext_key_usage, "serverAuth,clientAuth") ||
      // Two roots of one name (a rotation) are told apart by their keys.
      !add_extension(certificate.get(), issuer, NID_authority_key_identifier, "keyid:always") ||
      ::X509_sign(certificate.get(), root_key.get(), ::EVP_sha256()) == 0) {
    return crypto_error("sign a certificate");
  }
  return certificate_text(certificate.get());
}

Result<CertificateFacts> read_certificate(std::string_view certificate) {
  SKEP_TRY_ASSIGN(const auto chain, parse_certificates(certificate));
  return facts_of(chain.front().get());
}

Result<CertificateFacts> verify_certificate(std::string_view certificate, std::string_view roots,
                                            const std::string& cluster_id, WallTime now,
                                            WallTime other_clock) {
  SKEP_TRY_ASSIGN(const auto chain, parse_certificates(certificate));
  SKEP_TRY_ASSIGN(const auto trusted, parse_certificates(roots));
  auto read = facts_of(chain.front().get());
  if (!signed_by(chain, trusted) || !read ||
      (!cluster_id.empty() && read->identity.cluster_id != cluster_id)) {
    return Error{Code::kUnauthenticated,
                 "the certificate" + (read ? " of node '" + read->identity.node_id + "'" : "") +
                     " belongs to another swarm",
                 "FOREIGN_CERTIFICATE"};
  }
  const std::string of = "the certificate of node '" + read->identity.node_id + "'";
  if (now < read->not_before) {
    return Error{Code::kUnauthenticated,
                 of + " is valid only from " + date_text(read->not_before) + ", " +
                     std::to_string((read->not_before - now) / kSecond) +
                     " s in the future of our clock" + skew_text(now, other_clock),
                 "CERTIFICATE_NOT_YET_VALID"};
  }
  if (now > read->not_after) {
    return Error{Code::kUnauthenticated,
                 of + " expired on " + date_text(read->not_after) + ", " +
                     std::to_string((now - read->not_after) / kSecond) + " s ago by our clock" +
                     skew_text(now, other_clock),
                 "CERTIFICATE_EXPIRED"};
  }
  return read;
}

WallTime renewal_time(const CertificateFacts& facts, Random& random) {
  const WallTime begin = facts.not_before + kBackdate.count();
  const auto percent = 50 + static_cast<std::int64_t>(random.below(31));
  return begin + (facts.not_after - begin) / 100 * percent;
}

Status check_pair(const CertifiedKey& pair) {
  SKEP_TRY_ASSIGN(const auto chain, parse_certificates(pair.certificate));
  SKEP_TRY_ASSIGN(const KeyPtr key, parse_key(pair.key));
  if (::X509_check_private_key(chain.front().get(), key.get()) != 1) {
    ::ERR_clear_error();
    return Error{Code::kInvalidArgument, "the key does not belong to the certificate", "BAD_KEY"};
  }
  return ok();
}

Result<std::string> certificate_digest(std::string_view certificate) {
  SKEP_TRY_ASSIGN(const auto chain, parse_certificates(certificate));
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  if (::X509_digest(chain.front().get(), ::EVP_sha256(), digest, &size) != 1) {
    return crypto_error("digest a certificate");
  }
  return std::string(reinterpret_cast<const char*>(digest), size);
}

}  // namespace skep::link
