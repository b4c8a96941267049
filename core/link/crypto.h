#pragma once

// OpenSSL's objects with owners. Only for .cc files of core/link.

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "skep/result.h"

namespace skep::link {

template <auto Free>
struct Freed {
  template <class T>
  void operator()(T* object) const {
    Free(object);
  }
};
using BioPtr = std::unique_ptr<BIO, Freed<BIO_free_all>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;
using CertificatePtr = std::unique_ptr<X509, Freed<X509_free>>;
using RequestPtr = std::unique_ptr<X509_REQ, Freed<X509_REQ_free>>;
using StorePtr = std::unique_ptr<X509_STORE, Freed<X509_STORE_free>>;
using StoreContextPtr = std::unique_ptr<X509_STORE_CTX, Freed<X509_STORE_CTX_free>>;
using SslContextPtr = std::unique_ptr<SSL_CTX, Freed<SSL_CTX_free>>;
using SslPtr = std::unique_ptr<SSL, Freed<SSL_free>>;

/// What OpenSSL says of the last failure, and an empty error queue.
std::string openssl_error();
Error crypto_error(std::string_view what);

Result<KeyPtr> parse_key(std::string_view pem);
/// All certificates of the text, in order; never none. kInvalidArgument: there is none, or one is damaged.
Result<std::vector<CertificatePtr>> parse_certificates(std::string_view pem);
/// Shows that chain, whose leaf is of that key, to the other side. Both PEM.
Status use_certificate(SSL_CTX* context, std::string_view chain, std::string_view key);
/// One end of a TLS connection whose bytes are carried by somebody else.
struct TlsEnd {
  SslPtr ssl;
  BIO* in = nullptr;   ///< what came from the wire; owned by ssl
  BIO* out = nullptr;  ///< what is to go there; owned by ssl

  static Result<TlsEnd> make(SSL_CTX* context);
  /// Appends what is to go to the wire.
  void drain(std::string& to_wire) const;
};
/// "CN", "OU" or "O" of a name.
std::string name_entry(const X509_NAME* name, int nid);

}  // namespace skep::link
