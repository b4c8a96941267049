#pragma once

// Verbs of `service`, one file each (service_*.cc).

#include <string>

#include "core/agentctl/client.h"
#include "skep/model.pb.h"

namespace skep::ctl {

class Command;
struct Context;

void add_service_create(Command& service);
void add_service_update(Command& service);  // update, scale, rollback
void add_service_list(Command& service);    // ls, ps
void add_service_inspect(Command& service);
void add_service_logs(Command& service);

/// kNotFound: "no such service: X".
Result<model::v1::Service> get_service(Client& agent, const std::string& reference);

/// "*:8080->80/tcp, *:30000-30002->8000-8002/tcp": ingress ports, neighbours folded.
std::string ingress_ports_text(const model::v1::Endpoint& endpoint);
/// "*:32768->80/tcp": ports this task's node publishes for it.
std::string host_ports_text(const model::v1::Task& task);
/// Without a digest behind a tag, as tables show images.
std::string shown_image(const std::string& image);

struct WaitOptions {
  bool detach = false;
  bool quiet = false;
};
/// Waits until the service is as wanted and stays so for its monitor period, telling what happens.
/// Returns the exit code: 0 also when Ctrl-C ended the waiting (it goes on in the background).
Result<int> wait_for_service(Context& context, Client& agent, const model::v1::Service& changed,
                             const WaitOptions& options, bool rolling_back = false);

}  // namespace skep::ctl
