#pragma once

// TLS 1.3 over memory: the filter of a connection between nodes. Certificates are exchanged here, and
// the other side's possession of its key is proven; whether its certificate is good is decided above
// (connection.h), so that a refusal can be told in words. Loop thread only.

#include <memory>
#include <string>

#include "core/bus/stream_connection.h"
#include "core/link/certificate.h"

namespace skep::link {

/// What this end shows and whom it trusts. Without a pair: a joiner, which has none yet. Without
/// roots: nobody is trusted yet, the other side is not checked.
struct Credentials {
  CertifiedKey pair;
  std::string roots;
  std::string cluster_id;
  std::string node_id;
};

class TlsContext {
 public:
  /// kInvalidArgument: certificate or key is damaged, or they do not belong together.
  static Result<std::shared_ptr<const TlsContext>> make(Credentials credentials);
  ~TlsContext();
  [[nodiscard]] const Credentials& credentials() const { return credentials_; }

 private:
  friend class TlsSession;
  struct Impl;
  TlsContext(Credentials credentials, std::unique_ptr<Impl> impl);
  Credentials credentials_;
  std::unique_ptr<Impl> impl_;
};

class TlsSession final : public bus::StreamFilter {
 public:
  /// Bytes that wait for the end of the handshake at most.
  static constexpr std::size_t kPendingMax = std::size_t{64} << 10;

  static Result<std::unique_ptr<TlsSession>> make(std::shared_ptr<const TlsContext> context,
                                                  bool accepted);
  ~TlsSession() override;
  Status receive(std::string_view from_wire, std::string& plain, std::string& to_wire) override;
  Status seal(std::string_view plain, std::string& to_wire) override;

  [[nodiscard]] bool established() const { return established_; }
  /// PEM, with what stands between it and the root; empty: the other side showed none.
  [[nodiscard]] std::string peer_certificate() const;
  [[nodiscard]] std::uint64_t bytes_received() const { return bytes_received_; }

 private:
  struct Impl;
  TlsSession(std::shared_ptr<const TlsContext> context, std::unique_ptr<Impl> impl);
  Status handshake(std::string& to_wire);

  std::shared_ptr<const TlsContext> context_;
  std::unique_ptr<Impl> impl_;
  std::string pending_;
  bool established_ = false;
  std::uint64_t bytes_received_ = 0;
};

}  // namespace skep::link
