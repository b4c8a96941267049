#include "manager_side.h"

#include <utility>

namespace skep::sim {

ManagerSide::ManagerSide(rig::ManagerProcess& machine, testing::LocalBus& bus,
                         std::function<bool(const std::string&, const std::string&)> connects,
                         NodeCertificate::Hooks hooks)
    : certificate(machine.id, std::move(hooks)), machine_(machine), bus_(bus),
      connects_(std::move(connects)), book_(machine.process.random) {
  config_.node_id = machine.id;
  config_.version = "sim";
  config_.dispatcher = agentd::kManagerTarget;
  config_.on_session = [this](const dispatch::v1::SessionMessage& message) {
    book_.learn({message.managers().begin(), message.managers().end()}, message.leader());
    certificate.follow(message);
  };
  config_.on_silence = [this] { caller_->on_silence(); };
}

agentd::ManagerCaller::Local ManagerSide::local() const {
  agentd::ManagerCaller::Local local;
  const auto leader = machine_.runs() ? machine_.manager->leader() : std::nullopt;
  local.leads = leader && leader->here;
  if (leader && !leader->here) {
    local.leader = agentd::ManagerAddress{leader->node_id, leader->address};
  }
  return local;
}

void ManagerSide::start(bool manager, const std::vector<std::string>& managers) {
  end();
  Env& env = machine_.process.env;
  const std::string& id = machine_.id;
  book_.learn(managers, "");
  auto& here = bus_.attach(id + "/node", id, {}, none_, rig::who("core", id), &env.loop);
  attached_ = true;
  if (!manager) {
    own_peers_ = std::make_unique<rig::LocalPeers>(
        bus_, env.loop,
        rig::LocalPeers::Options{.node = id, .role = "worker", .connects = [this](const std::string& to) {
                                   return connects_(machine_.id, to);
                                 }});
  }
  bus::Peers& peers = manager ? *machine_.peers : *own_peers_;
  // Without a manager here nobody answers at all: it asks itself as another machine, and then the next.
  caller_ = std::make_unique<agentd::ManagerCaller>(
      here, peers, book_, [this] { return local(); },
      [this, manager] { return manager ? machine_.id : std::string(); });
  session_ = std::make_unique<node::Session>(
      env, *caller_, config_,
      node::Session::Hooks{.description =
                               [this] {
                                 model::v1::NodeDescription description;
                                 description.set_hostname(machine_.id);
                                 *description.mutable_tls() = certificate.tls();
                                 return description;
                               },
                           .assignments = [](const auto&) {},
                           .is_known = [](const auto&) { return false; }});
  certificate.start(env, *caller_, [this] { session_->describe(); }, manager);
  // Once the manager is there too; the end of the process ends this as well.
  env.loop.post([this, session = std::weak_ptr<char>(began_ = std::make_shared<char>())] {
    if (!session.expired()) {
      session_->start();
    }
  });
}

void ManagerSide::end() {
  began_.reset();
  session_.reset();
  certificate.stop();
  caller_.reset();
  own_peers_.reset();
  if (std::exchange(attached_, false)) {
    bus_.detach(machine_.id + "/node");
  }
}

}  // namespace skep::sim
