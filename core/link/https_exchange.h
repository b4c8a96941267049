#pragma once

// TLS and HTTP of one request, over memory: bytes in, bytes out, no I/O. Only for core/link.

#include <memory>
#include <optional>
#include <string>

#include "core/bus/https_client.h"
#include "core/link/certificate.h"
#include "core/model/https_url.h"

namespace skep::link {

class HttpsStream {
 public:
  /// kInvalidArgument BAD_CERTIFICATE, BAD_KEY: roots or the own pair are damaged. Begins the
  /// handshake: its first bytes are in `to_wire`.
  static Result<std::unique_ptr<HttpsStream>> begin(const model::HttpsUrl& url, const bus::HttpsPost& post,
                                                    const CertifiedKey& own, WallTime now, std::string& to_wire);
  ~HttpsStream();
  HttpsStream(const HttpsStream&) = delete;
  HttpsStream& operator=(const HttpsStream&) = delete;

  /// Takes what came; appends what must be sent. The answer once it is whole.
  Result<std::optional<bus::HttpsAnswer>> receive(std::string_view from_wire, std::string& to_wire);
  /// The other side sends no more.
  Result<bus::HttpsAnswer> end();

 private:
  struct Impl;
  explicit HttpsStream(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace skep::link
