// What a manager answers, and its doors. See manager.h.

#include <utility>

#include "core/control/manager_impl.h"
#include "skep/manager.methods.h"

namespace skep::control {

/// Which method is answered by what.
class Manager::Methods {
 public:
  using Access = std::function<Result<Impl*>()>;

  static void register_mail(rpc::MethodTable& table, const Access& access);
  static void register_control(rpc::MethodTable& table, const Access& access);
  static void register_managers(rpc::MethodTable& table, const Access& access);

 private:
  static rpc::MethodTable::Entry forwarded(const std::string& name,
                                           const rpc::MethodTable::Entry& local,
                                           Forwarder::Kind kind, const Access& access);
};

Manager::Manager(Env& env, rpc::Caller& caller, std::shared_ptr<store::StateBackend> backend,
                 ManagerConfig config, Handlers handlers, bus::Peers* peers)
    : impl_(std::make_unique<Impl>(env, caller, std::move(backend), std::move(config),
                                   std::move(handlers), peers)) {}

Manager::~Manager() {
  impl_->stop([](Status) {});
}

void Manager::register_methods(rpc::MethodTable& table, const Access& manager) {
  const Methods::Access access = [manager]() -> Result<Impl*> {
    SKEP_TRY_ASSIGN(Manager * self, manager());
    return self == nullptr ? Result<Impl*>(no_manager()) : self->impl_.get();
  };
  ConsensusClient::register_methods(table, [access]() -> ConsensusClient* {
    const auto impl = access();
    return impl ? (*impl)->client.get() : nullptr;
  });
  Methods::register_mail(table, access);
  Methods::register_managers(table, access);
  DispatcherService::register_methods(
      table, {.service = [access]() -> Result<DispatcherService*> {
                SKEP_TRY_ASSIGN(const Impl* impl, access());
                return impl->serving_dispatcher();
              },
              .redirect = [access] {
                const auto impl = access();
                return impl ? (*impl)->redirect() : dispatch::v1::SessionMessage();
              },
              .confirm = [access](std::function<void(Status)> then) {
                const auto impl = access();
                impl ? (*impl)->confirm_leading(std::move(then)) : then(impl.error());
              }});
  Methods::register_control(table, access);
}

void Manager::Methods::register_mail(rpc::MethodTable& table, const Access& access) {
  namespace methods = consensus::v1::methods;
  table.on<methods::Send>([access](const auto& request, const rpc::CallContext& context,
                                   rpc::Reply<consensus::v1::SendResponse> reply) {
    if (auto driver = check_driver(context); !driver) {
      return reply(std::move(driver).error());
    }
    const auto impl = access();
    const Status sent = impl ? (*impl)->mail->send(request) : Status(impl.error());
    sent ? reply(consensus::v1::SendResponse()) : reply(sent.error());
  });
  table.on<methods::FetchSnapshot>([access](
                                       const auto& request, const rpc::CallContext& context,
                                       rpc::Reply<consensus::v1::FetchSnapshotResponse> reply) {
    const auto impl = access();
    if (auto driver = check_driver(context); !driver || !impl) {
      return reply(driver ? impl.error() : std::move(driver).error());
    }
    std::vector<consensus::v1::Member> members(request.members().begin(), request.members().end());
    (*impl)->mail->note_members(members);
    (*impl)->state_fetch->fetch(request.index(), request.source(),
                             [reply](Result<std::uint64_t> fetched) {
                               if (!fetched) {
                                 return reply(std::move(fetched).error());
                               }
                               consensus::v1::FetchSnapshotResponse response;
                               response.set_applied_index(*fetched);
                               reply(std::move(response));
                             });
  });
  table.on<methods::Deliver>([access](const auto& request, const rpc::CallContext& context,
                                      rpc::Reply<consensus::v1::DeliverResponse> reply) {
    const auto impl = access();
    if (!impl) {
      return reply(impl.error());
    }
    (*impl)->mail->deliver(request, context.principal, (*impl)->dispatcher != nullptr,
                           std::move(reply));
  });
}

void Manager::Methods::register_managers(rpc::MethodTable& table, const Access& access) {
  namespace methods = manager::v1::methods;
  table.on<methods::Join>([access](const auto& request, const rpc::CallContext& context,
                                   rpc::Reply<manager::v1::JoinResponse> reply) {
    const auto impl = access();
    impl ? (*impl)->join(request, context, std::move(reply)) : reply(impl.error());
  });
  table.on_stream<methods::FetchState>([access](const auto& request, StateSource::Stream stream) {
    const auto impl = access();
    const auto& principal = stream.context().principal;
    if (principal.kind() != "node" || principal.role() != "manager") {
      return stream.finish(Error{Code::kPermissionDenied, "only managers may have the whole state",
                                 "NOT_A_MANAGER"});
    }
    impl ? (*impl)->state_source->serve(request, std::move(stream)) : stream.finish(impl.error());
  });
  table.on<methods::CheckMember>([access](const auto& request, const rpc::CallContext& context,
                                          rpc::Reply<manager::v1::CheckMemberResponse> reply) {
    const auto impl = access();
    impl ? (*impl)->check_member(request, context, std::move(reply)) : reply(impl.error());
  });
}

void Manager::Methods::register_control(rpc::MethodTable& table, const Access& access) {
  // Answered only while this manager leads: the forwarder sees to that, and may find out late.
  const auto here = [access](bool read, std::function<void(Result<ControlApi*>)> then) {
    const auto impl = access();
    if (!impl || (*impl)->dispatcher == nullptr) {
      return then(impl ? not_leader_error() : impl.error());
    }
    if (!read || (*impl)->client->members().size() <= 1) {
      return then((*impl)->api.get());
    }
    // A leader that was cut off does not know yet that another one writes.
    (*impl)->client->read_barrier([access, then = std::move(then)](const Status& status) {
      const auto now = access();
      if (!now || (*now)->dispatcher == nullptr || !status) {
        return then(now ? not_leader_error() : now.error());
      }
      then((*now)->api.get());
    });
  };
  for (const auto kind : {Forwarder::Kind::kRead, Forwarder::Kind::kWrite}) {
    const bool read = kind == Forwarder::Kind::kRead;
    rpc::MethodTable local;
    const auto api = [here, read](auto then) { here(read, std::move(then)); };
    read ? ControlApi::register_reads(local, api) : ControlApi::register_writes(local, api);
    for (const auto& [name, entry] : local.entries()) {
      const bool repeatable = !read && ControlApi::is_repeatable(name);
      table.set(name, forwarded(name, entry, repeatable ? Forwarder::Kind::kRepeatable : kind, access));
    }
  }
}

rpc::MethodTable::Entry Manager::Methods::forwarded(const std::string& name,
                                                    const rpc::MethodTable::Entry& local,
                                                    Forwarder::Kind kind, const Access& access) {
  rpc::MethodTable::Entry entry;
  if (local.unary) {
    entry.unary = [name, local, kind, access](rpc::Body body, const rpc::CallContext& context,
                                              rpc::OnReply reply) {
      if (name == control::v1::methods::UnlockKey::kName && context.principal.kind() == "plugin") {
        return reply(Error{Code::kPermissionDenied, "plugins are not told unlock keys", "NOT_ALLOWED"});
      }
      const auto impl = access();
      if (!impl) {
        return reply(impl.error());
      }
      (*impl)->forwarder->call(kind, name, local.unary, std::move(body), context, std::move(reply));
    };
  }
  if (local.stream) {
    entry.stream = [name, local, access](rpc::Body first,
                                         std::shared_ptr<rpc::ServerStream> stream) {
      const auto impl = access();
      if (!impl) {
        return stream->finish(impl.error());
      }
      (*impl)->forwarder->stream(name, local.stream, std::move(first), std::move(stream));
    };
  }
  return entry;
}

void Manager::add_loop(LoopFactory factory) {
  impl_->factories.push_back(std::move(factory));
}
void Manager::start(std::function<void(Status)> done) {
  impl_->start(std::move(done));
}
void Manager::hand_over(std::function<void()> done) {
  impl_->hand_over(std::move(done));
}
void Manager::stop(std::function<void(Status)> done) {
  impl_->stop(std::move(done));
}
void Manager::bootstrap(model::v1::Cluster cluster, model::v1::Node self,
                        std::function<void(Status)> done) {
  impl_->bootstrap(std::move(cluster), std::move(self), std::move(done));
}
void Manager::backup(bool stale, store::v1::BackupHeader header, BackupSource::Stream stream) {
  impl_->backup(stale, std::move(header), std::move(stream));
}
void Manager::when_leading(Duration wait, std::function<void(Status)> then) {
  impl_->when_leading(wait, std::move(then));
}
void Manager::confirm_leading(std::function<void(Status)> then) {
  impl_->confirm_leading(std::move(then));
}
void Manager::peer_gone(const std::string& node_id) {
  impl_->mail->connection_gone(node_id);
}
void Manager::refused_by(const std::string& node_id, std::uint64_t incarnation) {
  impl_->removal->refused_by(node_id, incarnation);
}
void Manager::consensus_restarted() {
  impl_->client->plugin_restarted();
}
void Manager::consensus_seen(std::uint64_t incarnation) {
  const std::uint64_t before = std::exchange(impl_->consensus_incarnation, incarnation);
  if (before != 0 && before != incarnation) {
    impl_->client->plugin_restarted();
  }
}
std::optional<LeaderRoute> Manager::leader() const {
  return impl_->leader();
}
bool Manager::is_manager(const std::string& node_id, std::string_view method) const {
  const auto node = impl_->store.view().get<model::v1::Node>(node_id);
  if (node == nullptr || node->spec().role() == model::v1::NODE_ROLE_MANAGER || impl_->is_member(node_id)) {
    return true;
  }
  if (method != consensus::v1::methods::Deliver::kName || leading()) {
    return false;
  }
  // The entry that made it one again may come only from it, or with its vote; another leader would bring it.
  const auto leader = impl_->leader();
  return !leader || leader->node_id == node_id;
}
bool Manager::leading() const {
  return impl_->dispatcher != nullptr;
}
const store::Store& Manager::store() const {
  return impl_->store;
}
store::Proposer& Manager::proposer() {
  return *impl_->client;
}
const ConsensusClient& Manager::consensus() const {
  return *impl_->client;
}
const ManagerConfig& Manager::config() const {
  return impl_->config;
}
const Error* Manager::failure() const {
  return impl_->fatal ? &*impl_->fatal : nullptr;
}
std::string Manager::trouble() const {
  return impl_->trouble();
}
void Manager::health(std::function<void(std::string)> done) {
  // One that ended says why itself; one that only reads its log waits for no leader.
  impl_->ended || impl_->config.recover ? done("") : impl_->health->ask(std::move(done));
}
std::size_t Manager::votes() const {
  return count_votes(impl_->client->members());
}

}  // namespace skep::control
