#include "tests/unit/link/link_rig.h"

namespace skep::link {
namespace {

TEST_F(LinkTest, ListeningAgainAtTheSameAddressIsNoTrouble) {
  const auto m = manager();
  const std::string at = address_of(*m);
  ASSERT_TRUE(m->link.listen(at));
  const auto again = m->link.listen(at);
  EXPECT_TRUE(again) << again.error().message;
  const auto wider = m->link.listen("0.0.0.0:" + std::to_string(m->link.port()));
  EXPECT_TRUE(wider) << "its own listener is in nobody's way: " << wider.error().message;
  const auto w = machine("w1", Role::kWorker);
  EXPECT_TRUE(ask<dispatch::v1::methods::Heartbeat>(w->link.to("m1", at)));
  const auto other = machine("m2", Role::kManager);
  EXPECT_EQ(other->link.listen(at).error().reason, "ADDRESS_IN_USE");
}

TEST_F(LinkTest, WhoWasAManagerAndStillListensIsNone) {
  const auto m = manager();
  EXPECT_TRUE(m->link.set_credentials(credentials("m1", Role::kWorker, root)));
  const auto w = machine("w1", Role::kWorker);
  std::string why;
  w->link.set_on_rejected([&](const std::string&, const Error& error) { why = error.reason; });
  EXPECT_FALSE(ask<dispatch::v1::methods::Heartbeat>(w->link.to("m1", address_of(*m))));
  EXPECT_EQ(why, "NOT_A_MANAGER");
}

TEST_F(LinkTest, ACallArrivesWithTheCallersIdentity) {
  const auto m = manager();
  const auto w = machine("w1", Role::kWorker);
  auto& to = w->link.to("m1", address_of(*m));
  ASSERT_TRUE(ask<dispatch::v1::methods::Heartbeat>(to));
  EXPECT_EQ(caller.kind(), "node");
  EXPECT_EQ(caller.id(), "w1");
  EXPECT_EQ(caller.role(), "worker");
  ASSERT_TRUE(ask<ca::v1::methods::GetRoot>(to));
  EXPECT_EQ(m->link.accepted(), 1U) << "one connection for all calls";
}

TEST_F(LinkTest, AWorkerMayNotActAsManager) {
  const auto m = manager();
  const auto w = machine("w1", Role::kWorker);
  const auto refused = ask<control::v1::methods::GetCluster>(w->link.to("m1", address_of(*m)));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kPermissionDenied);
  EXPECT_THAT(refused.error().message, HasSubstr("is a worker and may not call 'control/1/get_cluster'"));
  const auto other = machine("m2", Role::kManager);
  EXPECT_TRUE(ask<control::v1::methods::GetCluster>(other->link.to("m1", address_of(*m))));
}

TEST_F(LinkTest, ADemotedManagerActsAsAWorkerOnOpenConnectionsToo) {
  const auto m = manager();
  const auto other = machine("m2", Role::kManager);
  auto& to = other->link.to("m1", address_of(*m));
  ASSERT_TRUE(ask<control::v1::methods::GetCluster>(to));
  EXPECT_EQ(caller.role(), "manager");
  m->link.set_still_manager([](const std::string& id, std::string_view method) {
    return id != "m2" || method == consensus::v1::methods::Deliver::kName;
  });
  const auto refused = ask<control::v1::methods::GetCluster>(to);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().reason, "NOT_ALLOWED");
  ASSERT_TRUE(ask<dispatch::v1::methods::Heartbeat>(to));
  EXPECT_EQ(caller.role(), "worker");
  ASSERT_TRUE(ask<consensus::v1::methods::Deliver>(to));
  EXPECT_EQ(caller.role(), "manager") << "it may be one again, and nobody told";
}

TEST_F(LinkTest, ANewRoleIsToldOnNewConnections) {
  const auto m = manager();
  const auto w = machine("w1", Role::kWorker);
  auto& to = w->link.to("m1", address_of(*m));
  ASSERT_TRUE(ask<dispatch::v1::methods::Heartbeat>(to));
  // Renewed in the same role: the connection stays.
  ASSERT_TRUE(w->link.set_credentials(credentials("w1", Role::kWorker, root)));
  ASSERT_TRUE(ask<dispatch::v1::methods::Heartbeat>(to));
  EXPECT_EQ(m->link.accepted(), 1U);
  ASSERT_TRUE(w->link.set_credentials(credentials("w1", Role::kManager, root)));
  ASSERT_TRUE(wait_for([&] { return m->link.accepted() == 0; }));
  EXPECT_TRUE(ask<control::v1::methods::GetCluster>(to));
  EXPECT_EQ(caller.role(), "manager");
}

TEST_F(LinkTest, OnlyTheCoreCanBeCalled) {
  const auto m = manager();
  const auto w = machine("m2", Role::kManager);
  std::optional<Error> error;
  w->link.to("m1", address_of(*m)).call("runtime/oci", "control/1/get_cluster", {}, {}, [&](Result<rpc::Body> r) {
    error = r.error();
  });
  ASSERT_TRUE(wait_for([&] { return error.has_value(); }));
  EXPECT_EQ(error->reason, "NOT_ALLOWED");
}

TEST_F(LinkTest, AnotherNodeThanExpectedIsNotCalled) {
  const auto m = manager();
  const auto w = machine("w1", Role::kWorker);
  std::string told;
  w->link.set_on_rejected([&](const std::string& id, const Error& error) { told = id + ": " + error.reason; });
  const auto failed = ask<dispatch::v1::methods::Heartbeat>(w->link.to("m9", address_of(*m)));
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().reason, "NODE_UNREACHABLE");
  EXPECT_THAT(failed.error().message, HasSubstr("node 'm1' answers there, not 'm9'"));
  EXPECT_EQ(told, "m9: ANOTHER_NODE");
}

TEST_F(LinkTest, AnotherSwarmsNodeIsToldSo) {
  const auto m = manager();
  const auto foreign = *make_root(clock.wall_now());
  auto stranger = machine("w1", Role::kWorker);
  // It trusts our root but shows a certificate of another one: the manager refuses.
  auto own = credentials("w1", Role::kWorker, foreign);
  own.roots = root.certificate;
  ASSERT_TRUE(stranger->link.set_credentials(own));
  const auto refused = ask<dispatch::v1::methods::Heartbeat>(stranger->link.to("m1", address_of(*m)));
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("belongs to another swarm"));
  // It shows a good one but trusts another root: it refuses the manager.
  own = credentials("w1", Role::kWorker, root);
  own.roots = foreign.certificate;
  ASSERT_TRUE(stranger->link.set_credentials(own));
  const auto refuses = ask<dispatch::v1::methods::Heartbeat>(stranger->link.to("m1", address_of(*m)));
  ASSERT_FALSE(refuses);
  EXPECT_THAT(refuses.error().message, HasSubstr("of node 'm1' belongs to another swarm"));
}

TEST_F(LinkTest, AnExpiredCertificateIsRefusedInWords) {
  const auto m = manager();
  const auto w = machine("w1", Role::kWorker);
  ASSERT_TRUE(w->link.set_credentials(credentials("w1", Role::kWorker, root, std::chrono::hours(3))));
  const auto refused = ask<dispatch::v1::methods::Heartbeat>(w->link.to("m1", address_of(*m)));
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("expired on"));
}

TEST_F(LinkTest, AJoinerMayOnlyAskForTheRoot) {
  const auto m = manager();
  const auto fd = raw_socket(*m);
  const auto context = TlsContext::make({});
  ASSERT_TRUE(context);
  rpc::MethodTable nothing;
  std::shared_ptr<Connection> connection;
  std::unique_ptr<rpc::RpcEndpoint> endpoint;
  bool open = false;
  connection = *Connection::start(
      m->env, bus::Fd(fd), *context, nothing, {},
      {.admit = {},
       .on_open = [&] { open = true; },
       .on_answer = [&](const bus::v1::Header& h, std::string body) { endpoint->on_frame(h, std::move(body)); },
       .on_closed = [](const Error&) {}});
  endpoint = std::make_unique<rpc::RpcEndpoint>(loop, nothing, [&](const std::string& h, const std::string& b) {
    return connection->send(h, b);
  });
  ASSERT_TRUE(wait_for([&] { return open; }));
  EXPECT_TRUE(ask<ca::v1::methods::GetRoot>(*endpoint));
  EXPECT_EQ(caller.kind(), "joiner");
  const auto refused = ask<dispatch::v1::methods::Heartbeat>(*endpoint);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().reason, "NO_CERTIFICATE");
}

TEST_F(LinkTest, RefusingANodeEndsItsOpenStreamsAtOnce) {
  const auto m = manager();
  const auto w = machine("w1", Role::kWorker);
  std::string gone;
  m->link.set_on_gone([&](const std::string& id) { gone = id; });
  auto& to = w->link.to("m1", address_of(*m));
  std::optional<Status> ended;
  const auto stream = rpc::open<dispatch::v1::methods::Session>(
      to, "core", {}, {.deadline = {}}, [](const auto&) {}, [&](const Status& status) { ended = status; });
  ASSERT_TRUE(wait_for([&] { return !streams.empty(); }));
  m->link.refuse("w1", true, 0);
  EXPECT_EQ(streams_cancelled, 1);
  EXPECT_EQ(m->link.accepted(), 0U);
  EXPECT_EQ(gone, "w1");
  ASSERT_TRUE(wait_for([&] { return ended.has_value(); }));
  EXPECT_EQ(ended->error().reason, "CONNECTION_LOST");
  const auto refused = ask<dispatch::v1::methods::Heartbeat>(to);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("was removed from the swarm"));
  m->link.refuse("w1", false, 0);
  EXPECT_TRUE(ask<dispatch::v1::methods::Heartbeat>(to));
}

TEST_F(LinkTest, WhoIsRefusedAsRemovedHearsByWhomAndFromWhichIncarnation) {
  const auto m = manager();
  const auto w = machine("w1", Role::kManager);
  std::vector<std::pair<std::string, std::uint64_t>> told;
  w->link.set_on_removed([&](const std::string& by, std::uint64_t incarnation) { told.emplace_back(by, incarnation); });
  auto& to = w->link.to("m1", address_of(*m));
  ASSERT_TRUE(ask<dispatch::v1::methods::Heartbeat>(to));
  m->link.refuse("w1", true, 5);
  EXPECT_FALSE(ask<dispatch::v1::methods::Heartbeat>(to));
  ASSERT_TRUE(wait_for([&] { return !told.empty(); }));
  EXPECT_EQ(told.front(), (std::pair<std::string, std::uint64_t>{"m1", 5}));
  // Whoever answers at that address in its place is not believed: its certificate is another's, or of another swarm, or
  // of a worker.
  m->link.refuse("w1", true, 6);
  told.clear();
  const auto other_root = *make_root(clock.wall_now());
  for (const auto& [id, role, signer] :
       {std::tuple{"m2", Role::kManager, root}, std::tuple{"m1", Role::kManager, other_root},
        std::tuple{"m1", Role::kWorker, root}}) {
    const auto liar = machine(id, role);
    Credentials own = credentials(id, role, signer);
    own.roots = root.certificate;  // so it knows whom it refuses
    ASSERT_TRUE(liar->link.set_credentials(own));
    ASSERT_TRUE(liar->link.listen("127.0.0.1:0"));
    liar->link.refuse("w1", true, 6);
    const auto asker = machine("w1", Role::kManager);
    std::string rejected;
    asker->link.set_on_removed([&](const std::string& by, std::uint64_t incarnation) { told.emplace_back(by, incarnation); });
    asker->link.set_on_rejected([&](const std::string&, const Error& error) { rejected = error.message; });
    EXPECT_FALSE(ask<dispatch::v1::methods::Heartbeat>(asker->link.to("m1", address_of(*liar))));
    EXPECT_THAT(rejected, HasSubstr("was removed from the swarm"));
    EXPECT_TRUE(told.empty()) << id;
  }
}

TEST_F(LinkTest, ComesBackByItselfAfterABreak) {
  auto m = manager();
  const auto port = m->link.port();
  const auto w = machine("w1", Role::kWorker);
  int gone = 0;
  w->link.set_on_gone([&](const std::string&) { ++gone; });
  auto& to = w->link.to("m1", address_of(*m));
  ASSERT_TRUE(ask<dispatch::v1::methods::Heartbeat>(to));
  m->link.clear();
  ASSERT_TRUE(wait_for([&] { return gone == 1; }));
  const auto failed = ask<dispatch::v1::methods::Heartbeat>(to);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().reason, "NODE_UNREACHABLE");
  ASSERT_TRUE(m->link.set_credentials(credentials("m1", Role::kManager, root)));
  ASSERT_TRUE(m->link.listen("127.0.0.1:" + std::to_string(port)));
  EXPECT_TRUE(ask<dispatch::v1::methods::Heartbeat>(to));
}

TEST_F(LinkTest, AManagerCallsAWorkerOverTheWorkersConnection) {
  const auto m = manager();
  const auto w = machine("w1", Role::kWorker);
  std::string who;
  w->table.on<manager::v1::methods::CheckMember>([&](const auto&, const rpc::CallContext& context, auto reply) {
    who = context.principal.id();
    reply(manager::v1::CheckMemberResponse());
  });
  EXPECT_FALSE(ask<manager::v1::methods::CheckMember>(m->link.to("w1", "")));
  ASSERT_TRUE(ask<dispatch::v1::methods::Heartbeat>(w->link.to("m1", address_of(*m))));
  EXPECT_TRUE(ask<manager::v1::methods::CheckMember>(m->link.to("w1", "")));
  EXPECT_EQ(who, "m1");
}

TEST_F(LinkTest, GarbageAndSilenceEndOnlyThatConnection) {
  LinkOptions options;
  options.accept_limit = milliseconds(200);
  const auto m = manager(options);
  const int garbage = raw_socket(*m);
  const int silent = raw_socket(*m);
  ASSERT_TRUE(wait_for([&] { return m->link.accepted() == 2; }));
  ASSERT_EQ(::send(garbage, "GET / HTTP/1.1\r\n\r\n", 18, MSG_NOSIGNAL), 18);
  EXPECT_TRUE(wait_for([&] { return m->link.accepted() == 1; }));
  EXPECT_TRUE(wait_for([&] { return m->link.accepted() == 0; }));
  ::close(garbage);
  ::close(silent);
  const auto w = machine("w1", Role::kWorker);
  EXPECT_TRUE(ask<dispatch::v1::methods::Heartbeat>(w->link.to("m1", address_of(*m))));
}

TEST_F(LinkTest, StrangersCannotFillTheListener) {
  LinkOptions options;
  options.joiners_max = 3;
  const auto m = manager(options);
  std::vector<bus::Fd> fds;
  for (int i = 0; i < 6; ++i) {
    fds.emplace_back(raw_socket(*m));
    wait_for([] { return false; }, milliseconds(20));
  }
  EXPECT_LE(m->link.accepted(), 3U);
}

TEST_F(LinkTest, AHangingNodeIsNoticed) {
  base::AsioLoop stopped;
  LinkOptions options;
  options.beat = milliseconds(100);
  const auto m = manager(options);
  Machine w(*this, stopped);
  ASSERT_TRUE(w.link.set_credentials(credentials("w1", Role::kWorker, root)));
  std::string gone;
  m->link.set_on_gone([&](const std::string& id) { gone = id; });
  bool answered = false;
  rpc::call<dispatch::v1::methods::Heartbeat>(w.link.to("m1", address_of(*m)), "core", {}, {},
                                              [&](const auto&) { answered = true; });
  const auto end = clock.now() + seconds(60);
  while (!answered && clock.now() < end) {
    stopped.run_once(milliseconds(2));
    loop.run_once(milliseconds(2));
  }
  ASSERT_TRUE(answered);
  EXPECT_TRUE(wait_for([&] { return gone == "w1"; }));  // its loop does not run any more
}

TEST_F(LinkTest, AReaderThatStopsCostsABoundedAmount) {
  base::AsioLoop stopped;
  const auto m = manager();
  Machine w(*this, stopped);
  ASSERT_TRUE(w.link.set_credentials(credentials("w1", Role::kWorker, root)));
  auto& to = w.link.to("m1", address_of(*m));
  bool answered = false;
  const auto ask_root = [&] {
    rpc::call<ca::v1::methods::GetRoot>(to, "core", {}, {}, [&](const auto&) { answered = true; });
  };
  ask_root();
  const auto end = clock.now() + seconds(60);
  while (!answered && clock.now() < end) {
    stopped.run_once(milliseconds(2));
    loop.run_once(milliseconds(2));
  }
  ASSERT_TRUE(answered);
  answer_size = std::size_t{4} << 20;
  for (int i = 0; i < 20; ++i) {
    ask_root();  // 80 MiB of answers that nobody reads
  }
  EXPECT_TRUE(wait_for([&] { return m->link.accepted() == 0; }));
}

TEST_F(LinkTest, BigMessagesPass) {
  const auto m = manager();
  answer_size = std::size_t{15} << 20;
  const auto w = machine("w1", Role::kWorker);
  EXPECT_TRUE(ask<ca::v1::methods::GetRoot>(w->link.to("m1", address_of(*m))));
}

TEST_F(LinkTest, AddressesThatAreNotOursOrTakenAreNamed) {
  const auto m = manager();
  const auto other = machine("m2", Role::kManager);
  const auto taken = other->link.listen(address_of(*m));
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().reason, "ADDRESS_IN_USE");
  const auto foreign = other->link.listen("192.0.2.1:2377");
  ASSERT_FALSE(foreign);
  EXPECT_EQ(foreign.error().reason, "NOT_OUR_ADDRESS");
  EXPECT_EQ(other->link.listen("eth0:99999").error().reason, "BAD_ADDRESS");
  EXPECT_EQ(parse_host_port("[::1]:7", 1)->host, "::1");
  EXPECT_EQ(parse_host_port("::1", 2377)->port, 2377);
  EXPECT_EQ(parse_host_port("manager.example", 2377)->port, 2377);
  EXPECT_FALSE(parse_host_port(":2377", 1));
  EXPECT_FALSE(parse_host_port("a b:1", 1));
}

}  // namespace
}  // namespace skep::link
