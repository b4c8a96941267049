// agentctl swarm update, unlock, unlock-key, ca: the swarm's settings, lock and root.
#include <fmt/format.h>

#include <functional>
#include <memory>
#include <ostream>
#include <vector>

#include "core/agentctl/context.h"
#include "core/agentctl/nouns/external_ca.h"
#include "core/agentctl/nouns/nouns.h"
#include "core/agentctl/nouns/swarm.h"
#include "core/agentctl/nouns/without_agent.h"
#include "skep/agent.methods.h"
#include "skep/control.methods.h"

namespace skep::ctl {
namespace {

namespace methods = control::v1::methods;
using SpecChange = std::function<void(model::v1::ClusterSpec&)>;

constexpr int kConflictTries = 5;
constexpr std::chrono::milliseconds kRotateLimit{30'000};  // authorities outside are asked
constexpr Duration kLookAgain = std::chrono::milliseconds(250);

/// Reads the swarm's settings, changes them and writes them back; again when somebody was faster.
Result<control::v1::UpdateClusterResponse> change_spec(Client& agent,
                                                       const std::vector<SpecChange>& changes) {
  for (int tries = kConflictTries;; --tries) {
    SKEP_TRY_ASSIGN(const auto known, agent.call<methods::GetCluster>(kCore, {}));
    control::v1::UpdateClusterRequest request;
    request.set_version(known.cluster().meta().version());
    *request.mutable_spec() = known.cluster().spec();
    for (const auto& change : changes) {
      change(*request.mutable_spec());
    }
    auto answer = agent.call<methods::UpdateCluster>(kCore, request);
    if (answer || answer.error().code != Code::kConflict || tries <= 1) {
      return answer;
    }
  }
}

struct UpdateOptions {
  std::vector<SpecChange> changes;
  ExternalCaFlag external;
  std::optional<bool> autolock;
};

Result<int> update(Context& context, const Command& command, UpdateOptions& options) {
  if (options.autolock) {
    options.changes.emplace_back([on = *options.autolock](auto& spec) { spec.set_autolock(on); });
  }
  if (options.external.given()) {
    SKEP_TRY_ASSIGN(auto list, options.external.read(context));
    options.changes.emplace_back(
        [list = std::move(list)](auto& spec) { *spec.mutable_external_cas() = list; });
  }
  if (options.changes.empty()) {
    context.out << help_text(command, "agentctl swarm update");
    return 0;
  }
  SKEP_TRY_ASSIGN(Client * agent, context.agent());
  SKEP_TRY_ASSIGN(const auto answer, change_spec(*agent, options.changes));
  context.out << "Swarm updated.\n";
  if (!answer.unlock_key().empty()) {
    context.out << '\n' << unlock_advice(answer.unlock_key());
  }
  return 0;
}

void add_update(Command& swarm) {
  auto options = std::make_shared<UpdateOptions>();
  auto& changes = options->changes;
  auto& command = swarm.add("update", "Change the settings of the swarm");
  command.arguments("[OPTIONS]", 0, 0);
  command.toggle("--autolock", options->autolock,
                 "Whether managers need the unlock key after a restart");
  command.parsed("--cert-expiry", "duration", "Life of node certificates (1h or more)",
                 duration_flag([&changes](std::int64_t v) {
                   changes.emplace_back([v](auto& spec) { spec.set_certificate_expiry(v); });
                 }));
  command.parsed("--dispatcher-heartbeat", "duration", "Heartbeat of the nodes",
                 duration_flag([&changes](std::int64_t v) {
                   changes.emplace_back([v](auto& spec) { spec.set_heartbeat_period(v); });
                 }));
  command.parsed("--task-history-limit", "int", "Ended tasks kept per slot, negative for all",
                 [&changes](const std::string& text) -> Status {
                   model::v1::ClusterSpec parsed;
                   SKEP_TRY(set_history(parsed, text));
                   changes.emplace_back([limit = parsed.task_history_limit()](auto& spec) {
                     spec.set_task_history_limit(limit);
                   });
                   return ok();
                 });
  command.parsed("--snapshot-interval", "uint", "Log entries between snapshots",
                 [&changes](const std::string& text) -> Status {
                   model::v1::ClusterSpec parsed;
                   SKEP_TRY(set_snapshot_interval(parsed, text));
                   changes.emplace_back([v = parsed.snapshot_interval()](auto& spec) {
                     spec.set_snapshot_interval(v);
                   });
                   return ok();
                 });
  command.parsed("--max-snapshots", "uint",
                 "Snapshots behind the newest that the log reaches back to",
                 count_flag([&changes](std::uint64_t v) {
                   changes.emplace_back([v](auto& spec) { spec.set_snapshots_kept(v); });
                 }));
  options->external.add_to(command, "Who signs certificates outside the swarm, instead of those before; \"\" for nobody",
                           ExternalCaFlag::Empty::kClears);
  command.run([options, &command](Context& context, const auto&) {
    return update(context, command, *options);
  });
}

Result<int> unlock(Context& context) {
  SKEP_TRY_ASSIGN(Client * agent, context.agent());
  SKEP_TRY_ASSIGN(const auto info, agent->call<agent::v1::methods::Info>(kCore, {}));
  if (info.swarm_state() == "inactive") {
    return Error{Code::kFailedPrecondition, "This node is not part of a swarm", "NOT_IN_SWARM"};
  }
  if (info.swarm_state() != "locked") {
    return Error{Code::kFailedPrecondition, "swarm is not locked", "NOT_LOCKED"};
  }
  agent::v1::UnlockRequest request;
  request.set_key(ask_unlock_key(context));
  SKEP_TRY(agent->call<agent::v1::methods::Unlock>(kCore, request));
  return 0;
}

struct KeyOptions {
  bool quiet = false;
  bool rotate = false;
};

Result<int> unlock_key(Context& context, const KeyOptions& options) {
  SKEP_TRY_ASSIGN(Client * agent, context.agent());
  control::v1::UnlockKeyRequest request;
  request.set_rotate(options.rotate);
  SKEP_TRY_ASSIGN(const auto answer, agent->call<methods::UnlockKey>(kCore, request));
  if (answer.key().empty()) {
    return Error{Code::kFailedPrecondition,
                 "no unlock key is set: 'agentctl swarm update --autolock' makes one",
                 "AUTOLOCK_OFF"};
  }
  if (options.quiet) {
    context.out << answer.key() << '\n';
    return 0;
  }
  if (options.rotate) {
    context.out << "Successfully rotated manager unlock key.\n\n";
  }
  context.out << unlock_advice(answer.key());
  return 0;
}

struct CaOptions {
  bool rotate = false;
  bool detach = false;
  bool quiet = false;
  std::optional<std::string> certificate;
  std::optional<std::string> key;
  std::int64_t expiry = 0;
  ExternalCaFlag external;
};

Status check(const CaOptions& options) {
  const bool others =
      options.detach || options.quiet || options.expiry != 0 || options.certificate || options.key ||
      options.external.given();
  if (!options.rotate && others) {
    return Error{Code::kInvalidArgument,
                 "--rotate flag required for every other flag of 'swarm ca'",
                 std::string(kUsageReason)};
  }
  if (options.external.given() && !options.certificate) {
    return Error{Code::kInvalidArgument,
                 "--external-ca demands --ca-cert, the root that it signs with; for the present root use "
                 "'agentctl swarm update --external-ca'",
                 std::string(kUsageReason)};
  }
  if (options.key && !options.certificate) {
    return Error{Code::kInvalidArgument, "--ca-key demands --ca-cert, the certificate that it belongs to",
                 std::string(kUsageReason)};
  }
  if (options.certificate && !options.key && !options.external.given()) {
    return Error{Code::kInvalidArgument,
                 "--ca-cert demands --ca-key, or --external-ca for a root whose key stays outside the swarm, or both",
                 std::string(kUsageReason)};
  }
  return ok();
}

/// Waits until every node has come over. Lines are printed as they change.
Result<int> follow(Context& context, Client& agent, const CaOptions& options) {
  std::string shown;
  for (;;) {
    SKEP_TRY_ASSIGN(const auto status, agent.call<methods::RootStatus>(kCore, {}));
    std::string text = fmt::format(
        "  rotated TLS certificates:  {}/{} nodes\n  rotated CA certificates:   {}/{} nodes\n",
        status.certificates(), status.nodes(), status.rotating() ? 0 : status.roots(),
        status.nodes());
    for (const std::string& name : status.waiting()) {
      text += fmt::format("  waiting for {}{}\n", name,
                          name.ends_with("(down)")
                              ? ": it comes over when it is back; 'agentctl node rm' gives it up"
                              : "");
    }
    if (!options.quiet && text != shown) {
      context.out << text << std::flush;
      shown = std::move(text);
    }
    if (!status.rotating() && status.roots() >= status.nodes()) {
      if (!options.quiet) {
        context.out << '\n' << status.certificate();
      }
      return 0;
    }
    agent.wait(kLookAgain, [] { return false; });
  }
}

Result<int> ca(Context& context, const CaOptions& options) {
  SKEP_TRY(check(options));
  SKEP_TRY_ASSIGN(Client * agent, context.agent());
  if (!options.rotate) {
    SKEP_TRY_ASSIGN(const auto status, agent->call<methods::RootStatus>(kCore, {}));
    context.out << status.certificate();
    return 0;
  }
  control::v1::RotateRootRequest request;
  if (options.certificate) {
    SKEP_TRY_ASSIGN(*request.mutable_certificate(), read_pem(context, "--ca-cert", *options.certificate));
  }
  if (options.key) {
    SKEP_TRY_ASSIGN(*request.mutable_key(), read_pem(context, "--ca-key", *options.key));
  }
  SKEP_TRY_ASSIGN(*request.mutable_external_cas(), options.external.read(context));
  request.set_certificate_lifetime(options.expiry);
  SKEP_TRY_ASSIGN(const auto answer, agent->call<methods::RotateRoot>(kCore, request, kRotateLimit));
  if (!options.quiet) {
    context.out << fmt::format("desired root digest: sha256:{}\n", answer.digest());
  }
  return options.detach ? Result<int>(0) : follow(context, *agent, options);
}

void add_ca(Command& swarm) {
  auto options = std::make_shared<CaOptions>();
  auto& command = swarm.add("ca", "Show the root certificate of the swarm, or replace it");
  command.arguments("[OPTIONS]", 0, 0)
      .toggle("--rotate", options->rotate,
              "Replace the root, node by node; a new one unless one is given")
      .text("--ca-cert", options->certificate, "pem-file", "The new root certificate (PEM)")
      .text("--ca-key", options->key, "pem-file", "Its key (PEM)")
      .toggle("--detach,-d", options->detach, "Do not wait until every node has come over")
      .toggle("--quiet,-q", options->quiet, "Print nothing");
  command.parsed("--cert-expiry", "duration", "Life of node certificates (1h or more)",
                 duration_flag([options](std::int64_t v) { options->expiry = v; }));
  options->external.add_to(command, "Who signs with the new root, outside the swarm: protocol=cfssl,url=https://...");
  command.run([options](Context& context, const auto&) { return ca(context, *options); });
}

}  // namespace

std::string unlock_advice(const std::string& key) {
  return fmt::format(
      "To unlock a swarm manager after it restarts, run the `agentctl swarm unlock`\n"
      "command and provide the following key:\n\n    {}\n\n"
      "Please remember to store this key in a password manager, since without it you\n"
      "will not be able to restart the manager.\n",
      key);
}

void add_swarm_admin_commands(Command& swarm) {
  add_update(swarm);
  swarm
      .add("unlock",
           "Unlock this manager after its restart; the key is asked for or read from stdin")
      .arguments("", 0, 0)
      .run([](Context& context, const auto&) { return unlock(context); });
  auto options = std::make_shared<KeyOptions>();
  swarm.add("unlock-key", "Show or rotate the unlock key")
      .arguments("[OPTIONS]", 0, 0)
      .toggle("--quiet,-q", options->quiet, "Print only the key")
      .toggle("--rotate", options->rotate,
              "Make a new key; managers that are away take the old one")
      .run([options](Context& context, const auto&) { return unlock_key(context, *options); });
  add_ca(swarm);
}

}  // namespace skep::ctl
