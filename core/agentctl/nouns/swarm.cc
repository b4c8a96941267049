#include <arpa/inet.h>
#include <fmt/format.h>

#include <memory>
#include <ostream>

#include "core/agentctl/command.h"
#include "core/agentctl/context.h"
#include "core/agentctl/nouns/external_ca.h"
#include "core/agentctl/nouns/nouns.h"
#include "core/agentctl/nouns/swarm.h"
#include "core/agentctl/nouns/without_agent.h"
#include "core/model/defaults.h"
#include "skep/agent.methods.h"
#include "skep/ca.methods.h"

namespace skep::ctl {
namespace {

struct InitOptions {
  agent::v1::InitRequest request;
  ExternalCaFlag external;
  std::vector<std::string> settings;  ///< flags given that only a new swarm takes
};

template <class Request>
Status set_availability(Request& request, const std::string& text) {
  if (text != "active" && text != "pause" && text != "drain") {
    return Error{Code::kInvalidArgument,
                 fmt::format("'{}' is not an availability: use active, pause or drain", text)};
  }
  request.set_availability(text == "active"  ? model::v1::AVAILABILITY_ACTIVE
                           : text == "pause" ? model::v1::AVAILABILITY_PAUSE
                                             : model::v1::AVAILABILITY_DRAIN);
  return ok();
}

Status set_port(agent::v1::InitRequest& request, const std::string& text) {
  SKEP_TRY_ASSIGN(const std::uint64_t port, parse_count(text));
  if (port != 0 && (port < 1024 || port > 49151)) {
    return Error{Code::kInvalidArgument,
                 fmt::format("'{}' is out of range: use 1024 to 49151, or 0 for 4789", text)};
  }
  request.set_data_path_port(static_cast<std::uint32_t>(port));
  return ok();
}

Status set_autolock(model::v1::ClusterSpec& spec, const std::string& text) {
  SKEP_TRY_ASSIGN(const bool on, parse_switch(text));
  spec.set_autolock(on);
  return ok();
}

Status set_mask(agent::v1::InitRequest& request, const std::string& text) {
  SKEP_TRY_ASSIGN(const std::uint64_t bits, parse_count(text));
  if (bits < 1 || bits > 29) {
    return Error{Code::kInvalidArgument, fmt::format("'{}' is out of range: use 1 to 29", text)};
  }
  request.set_subnet_size(static_cast<std::uint32_t>(bits));
  return ok();
}

/// Networks are cut out of these pools much later: what cannot be one is said now.
Status check_pools(const agent::v1::InitRequest& request) {
  const std::uint32_t subnet = request.subnet_size() != 0 ? request.subnet_size() : model::kSubnetBits;
  for (const std::string& pool : request.default_address_pool()) {
    const std::size_t slash = pool.find('/');
    in_addr address{};
    const auto bits = parse_count(slash == std::string::npos ? "" : pool.substr(slash + 1));
    if (!bits || *bits < 1 || *bits > 29 || inet_pton(AF_INET, pool.substr(0, slash).c_str(), &address) != 1) {
      return Error{Code::kInvalidArgument,
                   fmt::format("--default-addr-pool: '{}' is no IPv4 network such as 10.0.0.0/8", pool),
                   std::string(kUsageReason)};
    }
    if (subnet < *bits) {
      return Error{Code::kInvalidArgument,
                   fmt::format("subnets of /{} do not fit into pool '{}': give "
                               "--default-addr-pool-mask-length {} to 29",
                               subnet, pool, *bits),
                   std::string(kUsageReason)};
    }
  }
  return ok();
}

/// The command that makes another machine a node of this swarm.
Result<std::string> join_command(Client& agent, bool manager, bool rotate, std::string* token) {
  ca::v1::JoinTokenRequest request;
  request.set_manager(manager);
  request.set_rotate(rotate);
  SKEP_TRY_ASSIGN(const auto answer, agent.call<ca::v1::methods::JoinToken>(kCore, request));
  if (token != nullptr) {
    *token = answer.token();
  }
  SKEP_TRY_ASSIGN(const auto info, agent.call<agent::v1::methods::Info>(kCore, {}));
  const std::string address =
      info.manager_addresses().empty() ? info.node_address() : info.manager_addresses(0);
  return fmt::format("    agentctl swarm join --token {} {}\n", answer.token(), address);
}

/// With agentd stopped: it goes on alone as soon as it is started.
Result<int> force_without_agent(Context& context, const agent::v1::InitRequest& request) {
  std::vector<std::string> words = {"--root", context.root, "--force-new-cluster"};
  if (!request.advertise_address().empty()) {
    words.insert(words.end(), {"--advertise-addr", request.advertise_address()});
  }
  if (!request.listen_address().empty()) {
    words.insert(words.end(), {"--listen-addr", request.listen_address()});
  }
  return run_agentd(context, std::move(words));
}

/// A swarm made anew keeps its settings: what would be ignored is refused.
Status check_forced(const InitOptions& options) {
  if (!options.request.force_new_cluster() || options.settings.empty()) {
    return ok();
  }
  return Error{Code::kInvalidArgument,
               fmt::format("--force-new-cluster keeps the settings of the swarm, so {} would be ignored: leave it "
                           "out, and use 'agentctl swarm update' or 'node update' afterwards for what these change",
                           fmt::join(options.settings, ", ")),
               std::string(kUsageReason)};
}

Result<int> init(Context& context, const InitOptions& options) {
  SKEP_TRY(check_forced(options));
  SKEP_TRY(check_pools(options.request));
  auto connected = context.agent();
  if (!connected && connected.error().code == Code::kUnavailable && options.request.force_new_cluster()) {
    return force_without_agent(context, options.request);
  }
  SKEP_TRY_ASSIGN(Client * agent, std::move(connected));
  SKEP_TRY_ASSIGN(const auto answer, agent->call<agent::v1::methods::Init>(kCore, options.request,
                                                                           std::chrono::minutes(2)));
  SKEP_TRY_ASSIGN(const std::string command, join_command(*agent, false, false, nullptr));
  context.out << fmt::format(
      "Swarm initialized: current node ({}) is now a manager.\n\n"
      "To add a worker to this swarm, run the following command:\n\n{}\n"
      "To add a manager to this swarm, run 'agentctl swarm join-token manager' and follow the "
      "instructions.\n\n",
      answer.node_id(), command);
  if (!answer.unlock_key().empty()) {
    context.out << unlock_advice(answer.unlock_key());
  }
  return 0;
}

/// What only a new swarm takes: --force-new-cluster refuses it.
void add_init_settings(Command& command, const std::shared_ptr<InitOptions>& options) {
  auto& request = options->request;
  auto& spec = *request.mutable_spec();
  const auto setting = [&](const char* name, const char* value, const char* help, auto set) {
    command.parsed(name, value, help, [options, name, set](const std::string& given) -> Status {
      options->settings.emplace_back(name);
      return set(given);
    });
  };
  setting("--availability", "string", "active, pause or drain (default active)",
          [&request](const std::string& v) { return set_availability(request, v); });
  setting("--cert-expiry", "duration", "Life of node certificates (default 2160h0m0s)",
          duration_flag([&spec](std::int64_t v) { spec.set_certificate_expiry(v); }));
  setting("--dispatcher-heartbeat", "duration", "Heartbeat of the nodes (default 5s)",
          duration_flag([&spec](std::int64_t v) { spec.set_heartbeat_period(v); }));
  setting("--task-history-limit", "int", "Ended tasks kept per slot, negative for all (default 5)",
          [&spec](const std::string& v) { return set_history(spec, v); });
  setting("--snapshot-interval", "uint", "Log entries between snapshots (default 10000)",
          [&spec](const std::string& v) { return set_snapshot_interval(spec, v); });
  setting("--max-snapshots", "uint", "Old snapshots kept",
          count_flag([&spec](std::uint64_t v) { spec.set_snapshots_kept(v); }));
  command.add_flag({.names = "--default-addr-pool",
                    .value = "ipNet",
                    .help = "Address pool of networks (default 10.0.0.0/8)",
                    .many = true,
                    .set = [options](const std::vector<std::string>& values) {
                      options->settings.emplace_back("--default-addr-pool");
                      options->request.mutable_default_address_pool()->Assign(values.begin(), values.end());
                      return ok();
                    }});
  setting("--default-addr-pool-mask-length", "int", "Size of a network's subnet (default 24)",
          [&request](const std::string& v) { return set_mask(request, v); });
  setting("--data-path-port", "uint", "UDP port of the data path (default 4789)",
          [&request](const std::string& v) { return set_port(request, v); });
  setting("--autolock", "", "Managers need the unlock key after a restart",
          [&spec](const std::string& v) { return set_autolock(spec, v); });
}

void add_init(Command& swarm) {
  auto options = std::make_shared<InitOptions>();
  auto& request = options->request;
  request.mutable_spec()->set_task_history_limit(5);
  auto& command = swarm.add("init", "Make this node the first manager of a new swarm");
  command.arguments("[OPTIONS]", 0, 0);
  const auto text = [&](const char* name, const char* value, const char* help, auto set) {
    command.parsed(name, value, help, [set](const std::string& given) {
      set(given);
      return ok();
    });
  };
  text("--advertise-addr", "string",
       "Address others reach this node at: IP or interface, with optional port",
       [&request](const std::string& v) { request.set_advertise_address(v); });
  text("--listen-addr", "string", "Address to listen on (default 0.0.0.0:2377)",
       [&request](const std::string& v) { request.set_listen_address(v); });
  add_init_settings(command, options);
  command.parsed("--force-new-cluster", "", "The other managers are lost: go on with this node as the one manager",
                 [&request](const std::string& v) -> Status {
                   SKEP_TRY_ASSIGN(const bool on, parse_switch(v));
                   request.set_force_new_cluster(on);
                   return ok();
                 });
  options->external.add_to(command, "Who signs certificates outside the swarm: protocol=cfssl,url=https://...");
  command.later("--data-path-addr", "string",
                "it belongs to networks between nodes, which come with a later version");
  command.run([options](Context& context, const auto&) -> Result<int> {
    SKEP_TRY_ASSIGN(*options->request.mutable_spec()->mutable_external_cas(), options->external.read(context));
    if (options->external.given()) {
      options->settings.emplace_back("--external-ca");
    }
    return init(context, *options);
  });
}

Result<int> join(Context& context, const agent::v1::JoinRequest& request) {
  if (request.token().empty()) {
    return Error{Code::kInvalidArgument,
                 "--token is missing: 'agentctl swarm join-token worker' on a manager prints it",
                 std::string(kUsageReason)};
  }
  SKEP_TRY_ASSIGN(Client * agent, context.agent());
  SKEP_TRY_ASSIGN(const auto answer,
                  agent->call<agent::v1::methods::Join>(kCore, request, std::chrono::minutes(2)));
  if (answer.returned()) {
    context.out << "This node is back in its swarm with a new certificate.\n";
    return 0;
  }
  context.out << (answer.manager() ? "This node joined a swarm as a manager.\n"
                                   : "This node joined a swarm as a worker.\n");
  return 0;
}

void add_join(Command& swarm) {
  auto request = std::make_shared<agent::v1::JoinRequest>();
  auto& command = swarm.add("join", "Make this machine a node of a swarm");
  command.arguments("[OPTIONS] HOST:PORT [HOST:PORT...]", 1);
  const auto text = [&](const char* name, const char* help, auto set) {
    command.parsed(name, "string", help, [set](const std::string& given) {
      set(given);
      return ok();
    });
  };
  text("--token", "The join token, as a manager's 'swarm join-token' prints it",
       [request](const std::string& v) { request->set_token(v); });
  text("--advertise-addr", "Address others reach this node at: IP or interface, with optional port",
       [request](const std::string& v) { request->set_advertise_address(v); });
  text("--listen-addr", "Address to listen on, as a manager (default 0.0.0.0:2377)",
       [request](const std::string& v) { request->set_listen_address(v); });
  command.parsed("--availability", "string", "active, pause or drain (default active)",
                 [request](const std::string& v) { return set_availability(*request, v); });
  command.later("--data-path-addr", "string",
                "it belongs to networks between nodes, which come with a later version");
  command.run([request](Context& context, const auto& managers) {
    request->mutable_managers()->Assign(managers.begin(), managers.end());
    return join(context, *request);
  });
}

struct TokenOptions {
  bool quiet = false;
  bool rotate = false;
};

Result<int> join_token(Context& context, const TokenOptions& options, const std::string& role) {
  if (role != "worker" && role != "manager") {
    return Error{Code::kInvalidArgument, fmt::format("unknown role '{}': use worker or manager", role),
                 std::string(kUsageReason)};
  }
  SKEP_TRY_ASSIGN(Client * agent, context.agent());
  std::string token;
  SKEP_TRY_ASSIGN(const std::string command,
                  join_command(*agent, role == "manager", options.rotate, &token));
  if (options.quiet) {
    context.out << token << '\n';
    return 0;
  }
  if (options.rotate) {
    context.out << fmt::format("Successfully rotated {} join token.\n\n", role);
  }
  context.out << fmt::format("To add a {} to this swarm, run the following command:\n\n{}\n", role, command);
  return 0;
}

void add_join_token(Command& swarm) {
  auto options = std::make_shared<TokenOptions>();
  swarm.add("join-token", "Show or rotate a join token")
      .arguments("[OPTIONS] (worker|manager)", 1, 1)
      .toggle("--quiet,-q", options->quiet, "Print only the token")
      .toggle("--rotate", options->rotate, "Make a new token; the old one is no longer accepted")
      .run([options](Context& context, const auto& arguments) {
        return join_token(context, *options, arguments.front());
      });
}

Result<int> leave(Context& context, bool force) {
  SKEP_TRY_ASSIGN(Client * agent, context.agent());
  agent::v1::LeaveRequest request;
  request.set_force(force);
  SKEP_TRY(agent->call<agent::v1::methods::Leave>(kCore, request, std::chrono::minutes(2)));
  context.out << "Node left the swarm.\n";
  return 0;
}

}  // namespace

void add_swarm_commands(Command& root) {
  auto& swarm = root.add("swarm", "Make, leave and change a swarm");
  add_init(swarm);
  auto force = std::make_shared<bool>(false);
  swarm.add("leave", "Leave the swarm")
      .arguments("[OPTIONS]", 0, 0)
      .toggle("--force,-f", *force, "Leave even if this is a manager: its state is erased")
      .run([force](Context& context, const auto&) { return leave(context, *force); });
  add_join(swarm);
  add_join_token(swarm);
  add_swarm_admin_commands(swarm);
}

}  // namespace skep::ctl
