// Requests to servers outside the swarm, over real sockets; the server is OpenSSL's, on a thread of the test's workers.
#include "core/link/https.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <csignal>
#include <optional>

#include "core/base/real_env.h"
#include "core/link/certificate_parts.h"
#include "core/link/tcp_socket.h"

namespace skep::link {
namespace {

using ::testing::HasSubstr;
using std::chrono::milliseconds;
using std::chrono::seconds;

/// A certificate of `root` for a server with that subjectAltName.
CertifiedKey server_pair(const CertifiedKey& root, const char* alternative, WallTime now) {
  const KeyedRequest key = *make_request();
  const auto roots = *parse_certificates(root.certificate);
  const KeyPtr parsed = *parse_key(key.key);
  const CertificatePtr out = *blank(parsed.get(), now - Duration(1h).count(), now + Duration(24h).count());
  ::X509_set_issuer_name(out.get(), ::X509_get_subject_name(roots.front().get()));
  EXPECT_TRUE(add_extension(out.get(), roots.front().get(), NID_subject_alt_name, alternative));
  ::X509_sign(out.get(), parse_key(root.key)->get(), ::EVP_sha256());
  return {*certificate_text(out.get()), key.key};
}

class HttpsTest : public ::testing::Test, protected base::RealEnv {
 protected:
  HttpsTest() : RealEnv(1), root(*make_root(clock.wall_now())), certificate(server_pair(root, "IP:127.0.0.1", clock.wall_now())) {
    (void)std::signal(SIGPIPE, SIG_IGN);  // a client that refuses may hang up before the server has said all
    listener = *listen_tcp({"127.0.0.1", 0});
    port = *bound_port(listener.get());
  }
  ~HttpsTest() override { workers.stop(); }

  /// Takes one connection, reads until the request's end and says `reply`. Blocks; on a worker.
  void serve_once(const std::string& reply) {
    pollfd wait{listener.get(), POLLIN, 0};
    std::string from;
    bus::Fd fd = ::poll(&wait, 1, 10'000) == 1 ? *accept_tcp(listener.get(), from) : bus::Fd();
    if (!fd.valid()) {
      return;
    }
    const int blocking = 0;
    (void)::ioctl(fd.get(), FIONBIO, &blocking);
    const SslContextPtr context(::SSL_CTX_new(::TLS_server_method()));
    const auto chain = *parse_certificates(certificate.certificate);
    const KeyPtr key = *parse_key(certificate.key);
    ::SSL_CTX_use_certificate(context.get(), chain.front().get());
    ::SSL_CTX_use_PrivateKey(context.get(), key.get());
    ::SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
    ::SSL_CTX_set_cert_verify_callback(context.get(), [](X509_STORE_CTX*, void*) { return 1; }, nullptr);
    const SslPtr ssl(::SSL_new(context.get()));
    ::SSL_set_fd(ssl.get(), fd.get());
    if (::SSL_accept(ssl.get()) != 1) {
      return;
    }
    const X509* const shown = ::SSL_get0_peer_certificate(ssl.get());
    client = shown == nullptr ? "nobody" : name_entry(::X509_get_subject_name(shown), NID_commonName);
    char buffer[4096];
    while (request.find("{}") == std::string::npos) {
      const int count = ::SSL_read(ssl.get(), buffer, sizeof(buffer));
      if (count <= 0) {
        return;
      }
      request.append(buffer, static_cast<std::size_t>(count));
    }
    if (!reply.empty()) {
      ::SSL_write(ssl.get(), reply.data(), static_cast<int>(reply.size()));
    }
    ::SSL_shutdown(ssl.get());
  }
  /// "STATUS BODY", or "REASON MESSAGE".
  std::string post(const std::string& url, std::optional<std::string> reply, Duration limit = seconds(10)) {
    bool served = !reply;
    if (reply) {
      EXPECT_TRUE(workers.run([this, reply = *reply] { serve_once(reply); }, [&served] { served = true; }));
    }
    std::optional<Result<bus::HttpsAnswer>> answer;
    sender.post({url, root.certificate, "{}", limit}, [&](Result<bus::HttpsAnswer> got) { answer = std::move(got); });
    EXPECT_FALSE(answer) << "never from within the call";
    const auto end = clock.now() + seconds(20);
    while ((!answer || !served) && clock.now() < end) {
      loop.run_once(milliseconds(5));
    }
    if (!answer) {
      return "nothing";
    }
    return *answer ? std::to_string((*answer)->status) + " " + (*answer)->body
                   : answer->error().reason + " " + answer->error().message;
  }
  std::string here(const std::string& path = "/sign") const { return "https://127.0.0.1:" + std::to_string(port) + path; }

  CertifiedKey root;
  CertifiedKey certificate;
  CertifiedKey own;
  bus::Fd listener;
  std::uint16_t port = 0;
  std::string client;
  std::string request;
  HttpsSender sender{env, [this] { return own; }};
};

TEST_F(HttpsTest, AnAnswerComesBackWhateverItsStatus) {
  const KeyedRequest key = *make_request();
  own = {*sign_request(root, key.request, {"n1", Role::kManager, "c1"}, clock.wall_now(), 24h), key.key};
  EXPECT_EQ(post(here("/a/b?c=d"), "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"), "200 hello");
  EXPECT_EQ(client, "n1") << "it shows its certificate";
  EXPECT_THAT(request, HasSubstr("POST /a/b?c=d HTTP/1.1\r\nHost: 127.0.0.1:" + std::to_string(port) + "\r\n"));
  EXPECT_THAT(request, HasSubstr("Content-Type: application/json\r\n"));
  EXPECT_THAT(request, HasSubstr("Content-Length: 2\r\n\r\n{}"));
  own = {};
  EXPECT_EQ(post(here(), "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"), "404 abcde");
  EXPECT_EQ(client, "nobody");
  EXPECT_EQ(post(here(), "HTTP/1.0 200 OK\r\n\r\nuntil the end"), "200 until the end");
}

TEST_F(HttpsTest, AServerThatIsNotWhoItShouldBeIsNotAsked) {
  certificate = server_pair(root, "IP:127.0.0.2", clock.wall_now());
  EXPECT_THAT(post(here(), "HTTP/1.1 200 OK\r\n\r\n"), HasSubstr("TLS_FAILED its certificate is not accepted: IP address mismatch"));
  certificate = server_pair(*make_root(clock.wall_now()), "IP:127.0.0.1", clock.wall_now());
  EXPECT_THAT(post(here(), "HTTP/1.1 200 OK\r\n\r\n"), HasSubstr("TLS_FAILED its certificate is not accepted: "));
  EXPECT_EQ(request, "") << "the request went to nobody else";
}

TEST_F(HttpsTest, WhatIsNoAnswerIsSaidSo) {
  EXPECT_THAT(post(here(), ""), HasSubstr("BROKEN_OFF"));
  EXPECT_THAT(post(here(), "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf"), HasSubstr("BROKEN_OFF"));
  EXPECT_THAT(post(here(), "not HTTP at all, but long enough\r\n\r\n"), HasSubstr("BAD_ANSWER"));
  EXPECT_THAT(post(here(), "HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\nx"), HasSubstr("BAD_ANSWER"));
  EXPECT_THAT(post(here(), "HTTP/1.1 200 OK\r\n\r\n" + std::string(bus::HttpsClient::kAnswerMax + 1, 'x')), HasSubstr("BAD_ANSWER"));
  EXPECT_THAT(post(here(), "HTTP/1.1 200 OK\r\nX: " + std::string(20'000, 'x')), HasSubstr("BAD_ANSWER"));
  EXPECT_THAT(post("http://127.0.0.1/", std::nullopt), HasSubstr("BAD_URL"));
}

TEST_F(HttpsTest, NobodyWaitsForEver) {
  // The kernel accepts for the listener, and nobody ever speaks.
  EXPECT_EQ(post(here(), std::nullopt, milliseconds(50)), "NO_ANSWER it did not answer in time");
  listener.reset();
  EXPECT_THAT(post(here(), std::nullopt), HasSubstr("Connection refused"));
}

TEST_F(HttpsTest, ManyWaitAndTooManyAreRefused) {
  std::map<std::string, int> ends;
  const std::size_t all = HttpsSender::kActiveMax + HttpsSender::kWaitingMax + 3;
  for (std::size_t i = 0; i < all; ++i) {
    sender.post({here(), root.certificate, "{}", milliseconds(50)},
                [&](const Result<bus::HttpsAnswer>& got) { ++ends[got ? "answer" : got.error().reason]; });
  }
  const auto count = [&] {
    int sum = 0;
    for (const auto& [reason, times] : ends) {
      sum += times;
    }
    return sum;
  };
  for (const auto end = clock.now() + seconds(20); count() < static_cast<int>(all) && clock.now() < end;) {
    loop.run_once(milliseconds(5));
  }
  EXPECT_EQ(ends["TOO_MANY"], 3);
  EXPECT_EQ(ends["NO_ANSWER"], static_cast<int>(all) - 3);
}

TEST_F(HttpsTest, NoAnswerComesOnceItIsGone) {
  auto gone = std::make_unique<HttpsSender>(env, [] { return CertifiedKey{}; });
  bool told = false;
  for (const std::string& url : {here(), std::string("https://[::1]:x/")}) {
    gone->post({url, root.certificate, "{}", milliseconds(1)}, [&](const auto&) { told = true; });
  }
  gone.reset();
  for (int i = 0; i < 5; ++i) {
    loop.run_once(milliseconds(5));
  }
  EXPECT_FALSE(told);
}

}  // namespace
}  // namespace skep::link
