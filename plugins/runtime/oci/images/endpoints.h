#pragma once

// Which registries are asked for an image, in which order and how: mirrors, TLS, certificates,
// credentials. Pure; whether a certificate directory exists is asked through a predicate.

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "plugins/runtime/oci/images/reference.h"

namespace skep::oci {

enum class Tls {
  kVerify,    ///< HTTPS with a trusted certificate
  kOptional,  ///< any certificate, or plain HTTP: loopback and registries listed as insecure
};

struct Endpoint {
  std::string host;        ///< "127.0.0.1:5000"
  std::string repository;  ///< host + "/" + path
  Tls tls = Tls::kVerify;
  std::string certs_directory;       ///< empty: none for this host
  bool may_see_credentials = false;  ///< only the registry they were given for
};

struct EndpointRules {
  std::string certs_directory;
  std::vector<std::string> insecure_registries;  ///< HOST, HOST:PORT, CIDR
  std::map<std::string, std::vector<std::string>> mirrors;
};

/// Mirrors of the reference's registry first, then the registry itself.
std::vector<Endpoint> endpoints_for(const Reference& reference, const EndpointRules& rules,
                                    const std::function<bool(const std::string&)>& exists);

/// True for "localhost", 127.0.0.0/8 and [::1], with or without a port.
bool is_loopback(std::string_view host);

}  // namespace skep::oci
