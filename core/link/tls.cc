#include "core/link/tls.h"

#include <array>

#include "core/link/crypto.h"

namespace skep::link {
namespace {

constexpr long kCertificatesMax = 16 << 10;  // bytes of certificates the other side may show

Error tls_error(const char* what) {
  return Error{Code::kUnauthenticated, std::string(what) + ": " + openssl_error(), "TLS_FAILED"};
}

}  // namespace

struct TlsContext::Impl {
  SslContextPtr context;
};
struct TlsSession::Impl : TlsEnd {};

TlsContext::TlsContext(Credentials credentials, std::unique_ptr<Impl> impl)
    : credentials_(std::move(credentials)), impl_(std::move(impl)) {}
TlsContext::~TlsContext() = default;

Result<std::shared_ptr<const TlsContext>> TlsContext::make(Credentials credentials) {
  auto impl = std::make_unique<Impl>();
  impl->context.reset(::SSL_CTX_new(::TLS_method()));
  SSL_CTX* context = impl->context.get();
  if (context == nullptr || SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) != 1) {
    return crypto_error("prepare TLS 1.3");
  }
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  ::SSL_CTX_set_num_tickets(context, 0);
  SSL_CTX_set_max_cert_list(context, kCertificatesMax);
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_RELEASE_BUFFERS);
  ::SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  ::SSL_CTX_set_cert_verify_callback(context, [](X509_STORE_CTX*, void*) { return 1; }, nullptr);
  if (!credentials.pair.certificate.empty()) {
    SKEP_TRY(check_pair(credentials.pair));
    SKEP_TRY(use_certificate(context, credentials.pair.certificate, credentials.pair.key));
  }
  return std::shared_ptr<const TlsContext>(new TlsContext(std::move(credentials), std::move(impl)));
}

TlsSession::TlsSession(std::shared_ptr<const TlsContext> context, std::unique_ptr<Impl> impl)
    : context_(std::move(context)), impl_(std::move(impl)) {}
TlsSession::~TlsSession() = default;

Result<std::unique_ptr<TlsSession>> TlsSession::make(std::shared_ptr<const TlsContext> context,
                                                     bool accepted) {
  SKEP_TRY_ASSIGN(auto end, TlsEnd::make(context->impl_->context.get()));
  auto impl = std::make_unique<Impl>(Impl{std::move(end)});
  accepted ? ::SSL_set_accept_state(impl->ssl.get()) : ::SSL_set_connect_state(impl->ssl.get());
  return std::unique_ptr<TlsSession>(new TlsSession(std::move(context), std::move(impl)));
}

Status TlsSession::handshake(std::string& to_wire) {
  const int result = ::SSL_do_handshake(impl_->ssl.get());
  const int why = result == 1 ? SSL_ERROR_NONE : ::SSL_get_error(impl_->ssl.get(), result);
  impl_->drain(to_wire);
  if (why == SSL_ERROR_WANT_READ) {
    return ok();
  }
  if (why != SSL_ERROR_NONE) {
    return tls_error("no TLS connection could be made");
  }
  established_ = true;
  return pending_.empty() ? ok() : seal(std::exchange(pending_, {}), to_wire);
}

Status TlsSession::receive(std::string_view from_wire, std::string& plain, std::string& to_wire) {
  bytes_received_ += from_wire.size();
  if (::BIO_write(impl_->in, from_wire.data(), static_cast<int>(from_wire.size())) !=
      static_cast<int>(from_wire.size())) {
    return tls_error("take bytes");
  }
  if (!established_) {
    SKEP_TRY(handshake(to_wire));
    if (!established_) {
      return ok();
    }
  }
  std::array<char, 16384> buffer;
  for (;;) {
    const int count = ::SSL_read(impl_->ssl.get(), buffer.data(), static_cast<int>(buffer.size()));
    if (count > 0) {
      plain.append(buffer.data(), static_cast<std::size_t>(count));
      continue;
    }
    const int why = ::SSL_get_error(impl_->ssl.get(), count);
    impl_->drain(to_wire);
    if (why == SSL_ERROR_WANT_READ) {
      return ok();
    }
    if (why == SSL_ERROR_ZERO_RETURN) {
      return Error{Code::kUnavailable, "the other side closed the connection"};
    }
    return tls_error("the TLS connection broke");
  }
}

Status TlsSession::seal(std::string_view plain, std::string& to_wire) {
  if (!established_) {
    if (pending_.size() + plain.size() > kPendingMax) {
      return Error{Code::kResourceExhausted, "too much was sent before the TLS handshake was over"};
    }
    pending_ += plain;
    return handshake(to_wire);
  }
  while (!plain.empty()) {
    const int chunk = static_cast<int>(std::min<std::size_t>(plain.size(), std::size_t{1} << 20));
    const int count = ::SSL_write(impl_->ssl.get(), plain.data(), chunk);
    if (count <= 0) {
      return tls_error("write");
    }
    plain.remove_prefix(static_cast<std::size_t>(count));
    impl_->drain(to_wire);
  }
  return ok();
}

std::string TlsSession::peer_certificate() const {
  const BioPtr bio(::BIO_new(::BIO_s_mem()));
  const X509* leaf = ::SSL_get0_peer_certificate(impl_->ssl.get());
  if (leaf == nullptr) {
    return {};
  }
  ::PEM_write_bio_X509(bio.get(), leaf);
  const STACK_OF(X509)* chain = ::SSL_get_peer_cert_chain(impl_->ssl.get());
  for (int i = 0; chain != nullptr && i < sk_X509_num(chain); ++i) {
    if (::X509_cmp(sk_X509_value(chain, i), leaf) != 0) {
      ::PEM_write_bio_X509(bio.get(), sk_X509_value(chain, i));
    }
  }
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}

}  // namespace skep::link
