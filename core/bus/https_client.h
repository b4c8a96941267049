#pragma once

// Asking servers outside the swarm (certificate authorities) over HTTPS. core/link does it with the
// node's certificate (https.h); tests answer themselves. Loop thread only.

#include <functional>
#include <string>

#include "skep/env.h"
#include "skep/result.h"

namespace skep::bus {

struct HttpsPost {
  std::string url;    ///< https://HOST[:PORT]/PATH
  std::string roots;  ///< PEM: the server's certificate leads to one of them and names HOST
  std::string body;   ///< JSON
  Duration limit{};   ///< from the call to the whole answer, waiting for others included
};
struct HttpsAnswer {
  unsigned status = 0;
  std::string body;
};

class HttpsClient {
 public:
  /// Bytes of an answer's body at most.
  static constexpr std::size_t kAnswerMax = std::size_t{64} << 10;
  using Done = std::function<void(Result<HttpsAnswer>)>;

  virtual ~HttpsClient() = default;
  /// `done` comes once from the loop, never from here; not at all once the client is destroyed. Any
  /// status is an answer. kInvalidArgument BAD_URL; kUnavailable: not reached, or it broke off;
  /// kUnauthenticated TLS_FAILED: one side did not accept the other's certificate; kTimeout;
  /// kResourceExhausted: too many ask already; kDataLoss: what came is not HTTP or too long.
  virtual void post(HttpsPost request, Done done) = 0;
};

}  // namespace skep::bus
