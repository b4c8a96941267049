#include "core/link/crypto.h"

namespace skep::link {

std::string openssl_error() {
  const unsigned long code = ::ERR_get_error();
  ::ERR_clear_error();
  const char* reason = code == 0 ? nullptr : ::ERR_reason_error_string(code);
  return reason == nullptr ? "no reason given" : reason;
}

Error crypto_error(std::string_view what) {
  return Error{Code::kInternal, std::string(what) + ": " + openssl_error(), "CRYPTO_FAILED"};
}

Result<KeyPtr> parse_key(std::string_view pem) {
  const BioPtr bio(::BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  // A callback of our own: the default one would ask for a passphrase on the terminal.
  KeyPtr key(::PEM_read_bio_PrivateKey(
      bio.get(), nullptr, [](char*, int, int, void*) { return -1; }, nullptr));
  if (!key && pem.find("ENCRYPTED") != std::string_view::npos) {
    ::ERR_clear_error();
    return Error{Code::kInvalidArgument,
                 "the private key is encrypted: give it without its passphrase, as 'openssl pkey -in FILE' prints it",
                 "BAD_KEY"};
  }
  if (!key) {
    return Error{Code::kInvalidArgument, "not a private key in PEM: " + openssl_error(), "BAD_KEY"};
  }
  return key;
}

Result<std::vector<CertificatePtr>> parse_certificates(std::string_view pem) {
  const BioPtr bio(::BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  std::vector<CertificatePtr> out;
  while (X509* certificate = ::PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)) {
    out.emplace_back(certificate);
  }
  const unsigned long last = ::ERR_peek_last_error();
  const bool at_end = ERR_GET_LIB(last) == ERR_LIB_PEM && ERR_GET_REASON(last) == PEM_R_NO_START_LINE;
  if (out.empty() || !at_end) {
    return Error{Code::kInvalidArgument, "not a certificate in PEM: " + openssl_error(),
                 "BAD_CERTIFICATE"};
  }
  ::ERR_clear_error();
  return out;
}

std::string name_entry(const X509_NAME* name, int nid) {
  const int index = ::X509_NAME_get_index_by_NID(name, nid, -1);
  if (index < 0) {
    return {};
  }
  const ASN1_STRING* data = ::X509_NAME_ENTRY_get_data(::X509_NAME_get_entry(name, index));
  unsigned char* text = nullptr;
  const int size = ::ASN1_STRING_to_UTF8(&text, data);
  if (size < 0) {
    ::ERR_clear_error();
    return {};
  }
  std::string out(reinterpret_cast<const char*>(text), static_cast<std::size_t>(size));
  ::OPENSSL_free(text);
  return out;
}

}  // namespace skep::link
