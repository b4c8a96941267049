#pragma once

// What the control API never shows: registry credentials, the content of secrets and the keys of the swarm. Pure.

#include "skep/model.pb.h"

namespace skep::control {

void redact(model::v1::Service& service);
void redact(model::v1::Task& task);
void redact(model::v1::Secret& secret);
inline void redact(model::v1::Node&) {}
void redact(model::v1::Cluster& cluster);
inline void redact(model::v1::Network&) {}
inline void redact(model::v1::Config&) {}

/// An update whose sender saw only the redacted spec keeps the credentials it could not see.
void keep_credentials(const model::v1::ServiceSpec& known, model::v1::ServiceSpec& spec);

}  // namespace skep::control
