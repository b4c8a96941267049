// What the certificate is good for that a manager has for the time it is locked: its key lies open.
#include "core/link/authorise.h"
#include "tests/unit/link/link_rig.h"

namespace skep::link {
namespace {

using dispatch::v1::methods::Heartbeat;
using manager::v1::methods::CheckMember;

const Identity kLocked{"m2", Role::kLockedManager, "cluster1"};

TEST(LockedManager, MayHaveTheSessionOfItsNodeAndNothingElse) {
  for (const char* method : {"dispatch/1/session", "dispatch/1/heartbeat", "dispatch/1/update_task_status",
                             "dispatch/1/update_description", "dispatch/1/assignments", "ca/1/get_root"}) {
    EXPECT_TRUE(authorise(kLocked, method)) << method;
  }
  for (const char* method :
       {"ca/1/issue", "ca/1/renew", "ca/1/join_token", "manager/1/join", "manager/1/check_member",
        "manager/1/fetch_state", "consensus/1/deliver", "consensus/1/start", "consensus/1/propose",
        "consensus/1/status", "consensus/1/change_members", "consensus/1/committed", "control/1/list_services",
        "control/1/create_service", "control/1/update_cluster", "control/1/unlock_key", "control/1/rotate_root",
        "control/1/service_logs", "control/1/watch", "node/1/logs", "agent/1/info", "agent/1/unlock",
        "agent/1/backup", "runtime/1/exec", "bus/1/trace", "dispatch/2/session", "dispatch", ""}) {
    const auto refused = authorise(kLocked, method);
    ASSERT_FALSE(refused) << method;
    EXPECT_EQ(refused.error().reason, "NOT_ALLOWED") << method;
    EXPECT_THAT(refused.error().message, HasSubstr("node 'm2' is a locked manager and may not call")) << method;
  }
}

TEST(LockedManager, HasACertificateThatSaysSo) {
  constexpr WallTime kNow = 1'800'000'000'000'000'000;
  const auto root = *make_root(kNow);
  const auto certificate = sign_request(root, make_request()->request, kLocked, kNow, kCertificateLifeMin);
  ASSERT_TRUE(certificate);
  const auto facts = verify_certificate(*certificate, root.certificate, "cluster1", kNow);
  ASSERT_TRUE(facts);
  EXPECT_EQ(facts->identity, kLocked);
  EXPECT_EQ(role_name(facts->identity.role), "locked manager");
}

TEST_F(LinkTest, ALockedManagerBeatsAsItsNodeAndIsRefusedTheRest) {
  const auto m = manager();
  const auto locked = machine("m2", Role::kLockedManager);
  auto& to = locked->link.to("m1", address_of(*m));
  ASSERT_TRUE(ask<Heartbeat>(to));
  EXPECT_EQ(caller.kind(), "node");
  EXPECT_EQ(caller.id(), "m2");
  EXPECT_EQ(caller.role(), "locked manager");
  const auto refused = ask<control::v1::methods::GetCluster>(to);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().reason, "NOT_ALLOWED");
  EXPECT_EQ(ask<ca::v1::methods::Renew>(to).error().reason, "NOT_ALLOWED");
}

TEST_F(LinkTest, AnUnlockedManagerGoesOverToItsOwnCertificate) {
  const auto m = manager();
  const auto other = machine("m2", Role::kLockedManager);
  auto& to = other->link.to("m1", address_of(*m));
  ASSERT_TRUE(ask<Heartbeat>(to));
  ASSERT_TRUE(other->link.set_credentials(credentials("m2", Role::kManager, root)));
  ASSERT_TRUE(wait_for([&] { return m->link.accepted() == 0; }));
  ASSERT_TRUE(ask<control::v1::methods::GetCluster>(to));
  EXPECT_EQ(caller.role(), "manager");
}

TEST_F(LinkTest, ARemovedNodeIsRefusedWithThatCertificateToo) {
  const auto m = manager();
  const auto locked = machine("m2", Role::kLockedManager);
  auto& to = locked->link.to("m1", address_of(*m));
  ASSERT_TRUE(ask<Heartbeat>(to));
  m->link.refuse("m2", true, 0);
  EXPECT_EQ(m->link.accepted(), 0U);
  const auto refused = ask<Heartbeat>(to);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("was removed from the swarm"));
}

TEST_F(LinkTest, WhoAnswersWithTheOpenKeyIsNotThatManager) {
  const auto thief = manager();
  ASSERT_TRUE(thief->link.set_credentials(credentials("m1", Role::kLockedManager, root)));
  const auto other = machine("m2", Role::kManager);
  std::string told;
  other->link.set_on_rejected([&](const std::string& id, const Error& error) { told = id + ": " + error.reason; });
  const auto failed = ask<Heartbeat>(other->link.to("m1", address_of(*thief)));
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().reason, "NODE_UNREACHABLE");
  EXPECT_THAT(failed.error().message, HasSubstr("node 'm1' is no manager"));
  EXPECT_EQ(told, "m1: NOT_A_MANAGER");
}

TEST_F(LinkTest, NothingIsAskedOverTheConnectionOfTheOpenKey) {
  const auto m = manager();
  const auto thief = machine("m2", Role::kLockedManager);
  int asked = 0;
  thief->table.on<CheckMember>([&](const auto&, const rpc::CallContext&, auto reply) {
    ++asked;
    reply(manager::v1::CheckMemberResponse());
  });
  ASSERT_TRUE(ask<Heartbeat>(thief->link.to("m1", address_of(*m))));
  EXPECT_FALSE(ask<CheckMember>(m->link.to("m2", "")));
  EXPECT_EQ(asked, 0);
  // The manager itself is asked beside it.
  const auto real = machine("m2", Role::kManager);
  real->table.on<CheckMember>(
      [](const auto&, const rpc::CallContext&, auto reply) { reply(manager::v1::CheckMemberResponse()); });
  ASSERT_TRUE(ask<Heartbeat>(real->link.to("m1", address_of(*m))));
  EXPECT_TRUE(ask<CheckMember>(m->link.to("m2", "")));
  EXPECT_EQ(asked, 0);
}

TEST_F(LinkTest, TheOpenKeyCannotAnswerWhatTheManagerWasAsked) {
  const auto m = manager();
  const auto real = machine("m2", Role::kManager);
  std::optional<rpc::Reply<manager::v1::CheckMemberResponse>> pending;
  real->table.on<CheckMember>(
      [&](const auto&, const rpc::CallContext&, rpc::Reply<manager::v1::CheckMemberResponse> reply) {
        pending = std::move(reply);
      });
  ASSERT_TRUE(ask<Heartbeat>(real->link.to("m1", address_of(*m))));
  std::optional<Status> answered;
  rpc::call<CheckMember>(m->link.to("m2", ""), "core", {}, {.deadline = seconds(50)},
                         [&](const auto& reply) { answered = reply ? ok() : Status(reply.error()); });
  ASSERT_TRUE(wait_for([&] { return pending.has_value(); }));
  // Somebody with the open key answers with every number that the call can have.
  const auto context = TlsContext::make(credentials("m2", Role::kLockedManager, root));
  ASSERT_TRUE(context);
  rpc::MethodTable nothing;
  bool open = false;
  const auto forger = *Connection::start(m->env, bus::Fd(raw_socket(*m)), *context, nothing, {},
                                         {.admit = {},
                                          .on_open = [&] { open = true; },
                                          .on_answer = [](const bus::v1::Header&, const std::string&) {},
                                          .on_closed = [](const Error&) {}});
  ASSERT_TRUE(wait_for([&] { return open; }));
  for (std::uint64_t number = 0; number < 64; ++number) {
    bus::v1::Header header;
    header.set_protocol(rpc::kProtocol);
    header.set_type(bus::v1::RESPONSE);
    header.set_correlation(number);
    ASSERT_TRUE(forger->send(header.SerializeAsString(), manager::v1::CheckMemberResponse().SerializeAsString()));
  }
  wait_for([&] { return answered.has_value(); }, milliseconds(300));
  EXPECT_FALSE(answered) << "forged";
  (*pending)(manager::v1::CheckMemberResponse());
  ASSERT_TRUE(wait_for([&] { return answered.has_value(); }));
  EXPECT_TRUE(*answered);
}

}  // namespace
}  // namespace skep::link
