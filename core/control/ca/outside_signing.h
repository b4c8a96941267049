#pragma once

// Asks the certificate authorities outside the swarm, one after the other, until one answers with
// what can be handed out. Loop thread only.

#include <functional>
#include <string>
#include <vector>

#include "core/bus/https_client.h"
#include "core/control/ca/ca.h"
#include "skep/env.h"

namespace skep::control {

/// For one authority; all together get twice of it.
inline constexpr Duration kOutsideLimit = std::chrono::seconds(5);

struct OutsideQuestion {
  std::vector<model::v1::ExternalCa> authorities;  ///< in order; at least one
  std::string trusted;                             ///< PEM: roots of their servers, besides their own
  std::string body;
  /// What can be handed out of what an authority made (PEM), or why not.
  std::function<Result<std::string>(const std::string& made)> check;
};
using OutsideDone = std::function<void(Result<std::string>)>;

/// `done` comes once from the loop, never from here; not at all once `https` is gone. kUnavailable
/// EXTERNAL_CA: each of them and why it did not. `https` may be nullptr: nobody can be asked.
void ask_outside(Env& env, bus::HttpsClient* https, OutsideQuestion question, OutsideDone done);

/// The certificate that is ordered, from whoever is to make it: the swarm itself only when no authority signs
/// for the wanted root, as in Docker. `done` may come at once.
void make_certificate(Env& env, bus::HttpsClient* https, const Order& order, OutsideDone done);

}  // namespace skep::control
