#include "core/link/outside.h"

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "core/link/certificate_parts.h"
#include "core/link/root.h"

namespace skep::link {
namespace {

constexpr std::size_t kCertificateMax = std::size_t{16} << 10;
constexpr std::int64_t kHour = 3'600'000'000'000;

Error bad_answer(const std::string& why) {
  return Error{Code::kUnavailable, "the certificate that it made is refused: " + why, "BAD_ANSWER"};
}

Result<CertificatePtr> only_certificate(std::string_view answer) {
  if (answer.size() > kCertificateMax) {
    return bad_answer("it is too long");
  }
  auto chain = parse_certificates(answer);
  if (!chain) {
    return bad_answer(chain.error().message);
  }
  if (chain->size() != 1) {
    return bad_answer("it came with " + std::to_string(chain->size() - 1) +
                      " others; the root itself must sign, and its answer be one certificate");
  }
  return std::move(chain->front());
}

/// More than one of a kind could be read in two ways.
bool has_one_each(const X509* certificate) {
  const X509_NAME* const name = ::X509_get_subject_name(certificate);
  constexpr std::array kKinds{NID_commonName, NID_organizationName, NID_organizationalUnitName};
  return std::all_of(kKinds.begin(), kKinds.end(), [name](int nid) {
    const int first = ::X509_NAME_get_index_by_NID(name, nid, -1);
    return first >= 0 && ::X509_NAME_get_index_by_NID(name, nid, first) < 0;
  });
}

/// Signed by the key of `root`, whose name it bears.
Result<bool> comes_from(const CertificatePtr& certificate, std::string_view root) {
  SKEP_TRY_ASSIGN(const auto roots, parse_certificates(root));
  std::vector<CertificatePtr> chain;
  ::X509_up_ref(certificate.get());
  chain.emplace_back(certificate.get());
  return signed_by(chain, roots);
}

Status check_uses(X509* certificate) {
  if (::X509_check_ca(certificate) != 0 || (::X509_get_extension_flags(certificate) & EXFLAG_CA) != 0) {
    return bad_answer("it may sign others: its policy makes CAs");
  }
  if ((::X509_get_key_usage(certificate) & KU_DIGITAL_SIGNATURE) == 0) {
    return bad_answer("its key may not sign: add 'digital signature' to the usages of its policy");
  }
  constexpr std::uint32_t kBoth = XKU_SSL_SERVER | XKU_SSL_CLIENT;
  if ((::X509_get_extended_key_usage(certificate) & kBoth) != kBoth) {
    return bad_answer("it is of no use to both ends of TLS: add 'server auth' and 'client auth' to the usages of its policy");
  }
  return ok();
}

Status check_dates(const CertificateFacts& facts, WallTime now, Duration life) {
  if (facts.not_before > now) {
    return bad_answer("it is valid only from " + date_text(facts.not_before) + ": set the clocks");
  }
  const std::int64_t left = facts.not_after - now;
  if (left < kHour) {
    return bad_answer("it holds until " + date_text(facts.not_after) +
                      " only: its policy must make certificates that hold an hour more at least");
  }
  const Duration most = std::max(life, Duration(kCertificateLifeMin)) + kOutsideLifeTolerated;
  if (left > most.count()) {
    return bad_answer("it would hold " + std::to_string(left / kHour) + " h, and --cert-expiry of the swarm is " +
                      std::to_string(life.count() / kHour) +
                      " h: shorten the 'expiry' of its policy, or 'agentctl swarm update --cert-expiry'");
  }
  return ok();
}

}  // namespace

Result<std::string> check_signed(std::string_view answer, std::string_view request, const Identity& identity,
                                 std::string_view root, WallTime now, Duration life) {
  SKEP_TRY_ASSIGN(const CertificatePtr certificate, only_certificate(answer));
  SKEP_TRY_ASSIGN(const bool ours, comes_from(certificate, root));
  if (!ours) {
    return bad_answer("it was not signed by the root that is wanted; see 'agentctl swarm ca'");
  }
  const auto facts = facts_of(certificate.get());
  if (!facts || facts->identity != identity || !has_one_each(certificate.get())) {
    return bad_answer("its subject is not the one that was asked for: its policy must not change CN, OU and O");
  }
  SKEP_TRY_ASSIGN(std::string text, certificate_text(certificate.get()));
  if (!check_same_key(request, text)) {
    return bad_answer("it is for another key than the request's");
  }
  SKEP_TRY(check_uses(certificate.get()));
  SKEP_TRY(check_dates(*facts, now, life));
  return text;
}

Result<std::string> root_request(const CertifiedKey& root) {
  SKEP_TRY_ASSIGN(const auto chain, parse_certificates(root.certificate));
  SKEP_TRY_ASSIGN(const KeyPtr key, parse_key(root.key));
  const RequestPtr request(::X509_REQ_new());
  STACK_OF(X509_EXTENSION)* wishes = sk_X509_EXTENSION_new_null();
  X509_EXTENSION* const is_ca =
      ::X509V3_EXT_conf_nid(nullptr, nullptr, NID_basic_constraints, "critical,CA:TRUE,pathlen:0");
  bool good = request && wishes != nullptr && is_ca != nullptr && sk_X509_EXTENSION_push(wishes, is_ca) > 0;
  good = good && ::X509_REQ_set_subject_name(request.get(), ::X509_get_subject_name(chain.front().get())) == 1 &&
         ::X509_REQ_set_pubkey(request.get(), key.get()) == 1 &&
         ::X509_REQ_add_extensions(request.get(), wishes) == 1 &&
         ::X509_REQ_sign(request.get(), key.get(), ::EVP_sha256()) != 0;
  sk_X509_EXTENSION_free(wishes);
  ::X509_EXTENSION_free(is_ca);
  const BioPtr bio(::BIO_new(::BIO_s_mem()));
  if (!good || ::PEM_write_bio_X509_REQ(bio.get(), request.get()) != 1) {
    return crypto_error("make a request for the root");
  }
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return std::string(data, static_cast<std::size_t>(size));
}

Result<std::string> check_cross_signed(std::string_view answer, std::string_view root, std::string_view old_root,
                                       WallTime now) {
  SKEP_TRY_ASSIGN(const CertificatePtr certificate, only_certificate(answer));
  SKEP_TRY_ASSIGN(const auto wanted, parse_certificates(root));
  SKEP_TRY_ASSIGN(const bool ours, comes_from(certificate, old_root));
  if (!ours) {
    return bad_answer("it was not signed by the root that the swarm has now");
  }
  X509* const made = certificate.get();
  X509* const subject = wanted.front().get();
  if (::X509_check_ca(made) != 1 || (::X509_get_key_usage(made) & KU_KEY_CERT_SIGN) == 0) {
    return bad_answer("it may not sign others: its profile 'CA' must have 'ca_constraint': {'is_ca': true} and the "
                      "usage 'cert sign'");
  }
  if (::X509_NAME_cmp(::X509_get_subject_name(made), ::X509_get_subject_name(subject)) != 0 ||
      ::EVP_PKEY_eq(::X509_get0_pubkey(made), ::X509_get0_pubkey(subject)) != 1) {
    return bad_answer("it does not speak of the new root: another name or key");
  }
  std::time_t present = static_cast<std::time_t>(now / 1'000'000'000);
  std::time_t later = present + 30 * 86'400;
  if (::X509_cmp_time(::X509_get0_notBefore(made), &present) >= 0 ||
      ::X509_cmp_time(::X509_get0_notAfter(made), &later) <= 0) {
    return bad_answer("it must be valid now and for 30 days more: nodes that are away are waited for with it; lengthen "
                      "the 'expiry' of its profile 'CA'");
  }
  return certificate_text(made);
}

}  // namespace skep::link
