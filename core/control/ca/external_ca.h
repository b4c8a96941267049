#pragma once

// Certificate authorities outside the swarm: which are asked, what they are asked, what their answers
// say. Pure. The protocol is cfssl's: a JSON object by POST to the url as it is given.

#include <string>
#include <vector>

#include "core/bus/https_client.h"
#include "core/link/certificate.h"
#include "core/store/view.h"

namespace skep::control {

/// Those of the swarm whose root `root` is, in order. Without a certificate of its own an authority signs for
/// the present root.
std::vector<model::v1::ExternalCa> external_cas_for(const model::v1::Cluster& cluster, const std::string& root);
/// Gives `root` to those that name none, and checks the others' as far as it goes without asking:
/// what stays in the swarm's settings names its root. kInvalidArgument BAD_CERTIFICATE.
Status pin_external_cas(google::protobuf::RepeatedPtrField<model::v1::ExternalCa>& authorities,
                        const std::string& root);
/// kFailedPrecondition NO_SIGNER.
Error no_signer();

/// The question for a node's certificate.
std::string signing_question(const std::string& request, const link::Identity& identity);
/// The question for a certificate that vouches for another root (profile "CA").
std::string cross_signing_question(const std::string& request);
/// The certificate in it (PEM, not yet checked). kUnavailable REFUSED: it is none, with what the
/// authority says.
Result<std::string> read_signing_answer(const bus::HttpsAnswer& answer);

}  // namespace skep::control
