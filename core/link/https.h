#pragma once

// HTTPS POSTs to servers outside the swarm (bus::HttpsClient), with this node's certificate. One
// connection per request, nothing waits on the loop; of many requests a few are under way at once.
// Owned by Link. Loop thread only.

#include <deque>
#include <map>
#include <memory>

#include "core/bus/https_client.h"
#include "core/link/certificate.h"

namespace skep::link {

class HttpsSender final : public bus::HttpsClient {
 public:
  static constexpr std::size_t kActiveMax = 8;
  static constexpr std::size_t kWaitingMax = 64;  ///< more are refused (kResourceExhausted)

  /// `own`: the certificate to show; an empty one: none is shown. `env` outlives this.
  HttpsSender(Env& env, std::function<CertifiedKey()> own);
  ~HttpsSender() override;
  HttpsSender(const HttpsSender&) = delete;
  HttpsSender& operator=(const HttpsSender&) = delete;

  void post(bus::HttpsPost request, Done done) override;

 private:
  struct Exchange;
  struct Waiting {
    bus::HttpsPost request;
    Done done;
    TimePoint deadline;
  };
  void begin_next();
  void ended(const Exchange* exchange);

  Env& env_;
  const std::function<CertifiedKey()> own_;
  std::deque<Waiting> waiting_;
  std::map<const Exchange*, std::shared_ptr<Exchange>> active_;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace skep::link
