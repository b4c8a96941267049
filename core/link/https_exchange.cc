#include "core/link/https_exchange.h"

#include <arpa/inet.h>

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

#include "core/link/crypto.h"

namespace skep::link {
namespace {

namespace http = boost::beast::http;

constexpr long kCertificatesMax = 64 << 10;  // bytes of certificates the server may show
constexpr std::uint32_t kHeadMax = 8 << 10;
constexpr std::size_t kTurnMax = std::size_t{1} << 20;  // bytes of a whole answer, however it is packed

Error not_http(const std::string& why) {
  return Error{Code::kDataLoss, "what it answered is not understood (" + why + ")", "BAD_ANSWER"};
}

bool is_ip(const std::string& host) {
  in6_addr space{};
  return ::inet_pton(AF_INET, host.c_str(), &space) == 1 || ::inet_pton(AF_INET6, host.c_str(), &space) == 1;
}

std::string request_text(const model::HttpsUrl& url, const std::string& body) {
  std::string host = url.host.find(':') == std::string::npos ? url.host : "[" + url.host + "]";
  if (url.port != 443) {
    host += ":" + std::to_string(url.port);
  }
  return "POST " + url.path + " HTTP/1.1\r\nHost: " + host +
         "\r\nContent-Type: application/json\r\nAccept: application/json\r\nConnection: close\r\nContent-Length: " +
         std::to_string(body.size()) + "\r\n\r\n" + body;
}

Status trust(SSL_CTX* context, const std::string& roots) {
  SKEP_TRY_ASSIGN(const auto trusted, parse_certificates(roots));
  X509_STORE* const store = ::SSL_CTX_get_cert_store(context);
  for (const auto& root : trusted) {
    ::X509_STORE_add_cert(store, root.get());
  }
  ::ERR_clear_error();
  return ok();
}

}  // namespace

struct HttpsStream::Impl : TlsEnd {
  explicit Impl(TlsEnd end) : TlsEnd(std::move(end)) {}
  std::string request;
  bool established = false;
  std::size_t received = 0;
  std::string unparsed;
  http::response_parser<http::string_body> parser;

  [[nodiscard]] Error broken() const {
    const long verdict = ::SSL_get_verify_result(ssl.get());
    if (!established && verdict != X509_V_OK) {
      ::ERR_clear_error();
      return Error{Code::kUnauthenticated,
                   std::string("its certificate is not accepted: ") + ::X509_verify_cert_error_string(verdict),
                   "TLS_FAILED"};
    }
    return Error{Code::kUnauthenticated, "no TLS connection: " + openssl_error(), "TLS_FAILED"};
  }
  Status shake_hands(std::string& to_wire);
  Status parse(std::string_view bytes);
  bus::HttpsAnswer answer() { return {parser.get().result_int(), std::move(parser.get().body())}; }
};

Status HttpsStream::Impl::shake_hands(std::string& to_wire) {
  const int result = ::SSL_do_handshake(ssl.get());
  const int why = result == 1 ? SSL_ERROR_NONE : ::SSL_get_error(ssl.get(), result);
  drain(to_wire);
  if (why == SSL_ERROR_WANT_READ) {
    return ok();
  }
  if (why != SSL_ERROR_NONE) {
    return broken();
  }
  established = true;
  if (::SSL_write(ssl.get(), request.data(), static_cast<int>(request.size())) <= 0) {
    return broken();
  }
  drain(to_wire);
  return ok();
}

Status HttpsStream::Impl::parse(std::string_view bytes) {
  unparsed += bytes;
  while (!unparsed.empty() && !parser.is_done()) {
    boost::beast::error_code error;
    const std::size_t used = parser.put(boost::asio::buffer(unparsed.data(), unparsed.size()), error);
    unparsed.erase(0, used);
    if (error == http::error::need_more) {
      return ok();
    }
    if (error) {
      return not_http(error.message());
    }
    if (used == 0) {
      return ok();
    }
  }
  return ok();
}

HttpsStream::HttpsStream(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpsStream::~HttpsStream() = default;

Result<std::unique_ptr<HttpsStream>> HttpsStream::begin(const model::HttpsUrl& url, const bus::HttpsPost& post,
                                                        const CertifiedKey& own, WallTime now,
                                                        std::string& to_wire) {
  const SslContextPtr owner(::SSL_CTX_new(::TLS_client_method()));
  SSL_CTX* const context = owner.get();
  if (context == nullptr || SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1) {
    return crypto_error("prepare TLS");
  }
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_max_cert_list(context, kCertificatesMax);
  ::SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  SKEP_TRY(trust(context, post.roots));
  if (!own.certificate.empty()) {
    SKEP_TRY(use_certificate(context, own.certificate, own.key));
  }
  SKEP_TRY_ASSIGN(auto end, TlsEnd::make(context));
  auto impl = std::make_unique<Impl>(std::move(end));
  impl->parser.body_limit(bus::HttpsClient::kAnswerMax);
  impl->parser.header_limit(kHeadMax);
  impl->parser.eager(true);
  SSL* const ssl = impl->ssl.get();
  ::SSL_set_connect_state(ssl);
  X509_VERIFY_PARAM* const check = ::SSL_get0_param(ssl);
  ::X509_VERIFY_PARAM_set_time(check, static_cast<std::time_t>(now / 1'000'000'000));
  // The subject of a node's certificate names nodes, never hosts.
  ::X509_VERIFY_PARAM_set_hostflags(check, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
  const bool named = is_ip(url.host)
                         ? ::X509_VERIFY_PARAM_set1_ip_asc(check, url.host.c_str()) == 1
                         : ::X509_VERIFY_PARAM_set1_host(check, url.host.c_str(), url.host.size()) == 1 &&
                               SSL_set_tlsext_host_name(ssl, url.host.c_str()) == 1;
  if (!named) {
    return crypto_error("ask for the server's name");
  }
  impl->request = request_text(url, post.body);
  SKEP_TRY(impl->shake_hands(to_wire));
  return std::unique_ptr<HttpsStream>(new HttpsStream(std::move(impl)));
}

Result<std::optional<bus::HttpsAnswer>> HttpsStream::receive(std::string_view from_wire, std::string& to_wire) {
  impl_->received += from_wire.size();
  if (impl_->received > kTurnMax ||
      ::BIO_write(impl_->in, from_wire.data(), static_cast<int>(from_wire.size())) != static_cast<int>(from_wire.size())) {
    return not_http("it is too long");
  }
  if (!impl_->established) {
    SKEP_TRY(impl_->shake_hands(to_wire));
    if (!impl_->established) {
      return std::optional<bus::HttpsAnswer>();
    }
  }
  std::array<char, 16384> buffer;
  for (;;) {
    const int count = ::SSL_read(impl_->ssl.get(), buffer.data(), static_cast<int>(buffer.size()));
    if (count > 0) {
      SKEP_TRY(impl_->parse({buffer.data(), static_cast<std::size_t>(count)}));
      if (impl_->parser.is_done()) {
        return std::optional(impl_->answer());
      }
      continue;
    }
    const int why = ::SSL_get_error(impl_->ssl.get(), count);
    impl_->drain(to_wire);
    if (why == SSL_ERROR_WANT_READ) {
      return std::optional<bus::HttpsAnswer>();
    }
    if (why == SSL_ERROR_ZERO_RETURN) {
      SKEP_TRY_ASSIGN(auto last, end());
      return std::optional(std::move(last));
    }
    return impl_->broken();
  }
}

Result<bus::HttpsAnswer> HttpsStream::end() {
  boost::beast::error_code error;
  if (impl_->parser.got_some()) {
    impl_->parser.put_eof(error);
  }
  if (error || !impl_->parser.is_done()) {
    return Error{Code::kUnavailable, "it closed the connection before the answer was whole", "BROKEN_OFF"};
  }
  return impl_->answer();
}

}  // namespace skep::link
