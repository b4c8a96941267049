#include "core/control/managers/dial_back.h"

#include <utility>

#include "core/control/errors.h"
#include "skep/manager.methods.h"
#include "skep/rpc.h"

namespace skep::control {
namespace {

constexpr std::chrono::milliseconds kDialDeadline{8'000};  // TCP, TLS, and a pause after failed attempts

/// Only who stands behind the link can have said anything else.
bool not_reached(const Error& error) {
  return error.reason == "NODE_UNREACHABLE" || error.reason == "CONNECTION_LOST" ||
         error.reason == "DEADLINE_EXCEEDED";
}

}  // namespace

void dial_back(bus::Peers& peers, const std::string& node_id, const std::string& address,
               std::function<void(Status)> done) {
  // It is no manager yet and answers only that. The certificate of the link says who answers.
  manager::v1::CheckMemberRequest request;
  request.set_passed_on(true);
  rpc::call<manager::v1::methods::CheckMember>(
      peers.to(node_id, address), "core", request, {.deadline = kDialDeadline},
      [node_id, address, done = std::move(done)](const Result<manager::v1::CheckMemberResponse>& reply) {
        if (reply || !not_reached(reply.error())) {
          return done(ok());
        }
        done(Error{Code::kFailedPrecondition,
                   "the managers do not reach node '" + node_id + "' at " + address + " (" +
                       cause_of_unreachable(reply.error()) +
                       "): open this port (tcp) in the firewall of that node, or, if the address is wrong, let it "
                       "leave and join again with '--advertise-addr' and one that the managers reach",
                   "ADDRESS_UNREACHABLE"});
      });
}

}  // namespace skep::control
