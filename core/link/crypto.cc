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

Status use_certificate(SSL_CTX* context, std::string_view chain, std::string_view key) {
  SKEP_TRY_ASSIGN(const auto certificates, parse_certificates(chain));
  SKEP_TRY_ASSIGN(const KeyPtr own, parse_key(key));
  bool good = ::SSL_CTX_use_certificate(context, certificates.front().get()) == 1 &&
              ::SSL_CTX_use_PrivateKey(context, own.get()) == 1;
  for (std::size_t i = 1; good && i < certificates.size(); ++i) {
    good = SSL_CTX_add1_chain_cert(context, certificates[i].get()) == 1;
  }
  return good ? ok() : Status(crypto_error("use the node's certificate"));
}

Result<TlsEnd> TlsEnd::make(SSL_CTX* context) {
  TlsEnd end;
  end.ssl.reset(::SSL_new(context));
  end.in = ::BIO_new(::BIO_s_mem());
  end.out = ::BIO_new(::BIO_s_mem());
  if (!end.ssl || end.in == nullptr || end.out == nullptr) {
    ::BIO_free(end.in);
    ::BIO_free(end.out);
    return crypto_error("begin TLS");
  }
  ::SSL_set_bio(end.ssl.get(), end.in, end.out);
  return end;
}

void TlsEnd::drain(std::string& to_wire) const {
  char* data = nullptr;
  const long size = BIO_get_mem_data(out, &data);
  if (size > 0) {
    to_wire.append(data, static_cast<std::size_t>(size));
    (void)BIO_reset(out);
  }
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
