#include <gmock/gmock.h>

#include "core/control/ca/ca.h"
#include "core/control/ca/root_rotation.h"
#include "dispatcher_world.h"

namespace skep::control {
namespace {

using ::testing::HasSubstr;

Result<std::string> try_open(DispatcherWorld& world, const std::string& node,
                             const std::string& boot) {
  dispatch::v1::SessionRequest request;
  request.set_node_id(node);
  request.set_boot_id(boot);
  Effects effects;
  auto id = world.dispatcher->open_session(request, world.now, effects);
  world.take(std::move(effects));
  world.settle();
  return id;
}

TEST(Dispatcher, ASecondLiveNodeWithTheSameIdentityIsRefusedWithAnAlarm) {
  DispatcherWorld world;
  const std::string session = world.open("n1", "first");
  const auto second = try_open(world, "n1", "second");
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().reason, "IDENTITY_IN_USE");
  EXPECT_THAT(second.error().message, HasSubstr("swarm leave --force"));
  EXPECT_THAT(world.store.view().get<Node>("n1")->status().message(),
              HasSubstr("another agent claims"));
  EXPECT_EQ(world.state_of("n1"), model::v1::NODE_STATE_READY);
  EXPECT_TRUE(world.ended.empty()) << "the one that was there goes on";
  world.beat(session);
  // The same process may come again: its connection broke.
  EXPECT_TRUE(try_open(world, "n1", "first"));
  EXPECT_EQ(world.ended[session], "SESSION_REPLACED");
  EXPECT_EQ(world.store.view().get<Node>("n1")->status().message(), "");
}

TEST(Dispatcher, AnIdentityIsFreeWhenItsFirstHolderEndedOrFellSilent) {
  DispatcherWorld world;
  const std::string first = world.open("n1", "first");
  world.take(world.dispatcher->session_closed(first, world.now));
  const auto second = try_open(world, "n1", "second");
  ASSERT_TRUE(second) << "a process that ended closed its stream";
  EXPECT_FALSE(try_open(world, "n1", "third"));
  world.now += 11s;  // two heartbeats of 5 s: the machine vanished without a word
  EXPECT_TRUE(try_open(world, "n1", "third"));
  world.beat(*try_open(world, "n1", "third"), /*restarting=*/true);
  EXPECT_TRUE(try_open(world, "n1", "fourth")) << "it said that it restarts";
}

TEST(Dispatcher, ChangedSettingsOfTheSwarmAreToldAtOnce) {
  DispatcherWorld world;
  model::v1::Cluster cluster;
  cluster.set_id("c1");
  *cluster.mutable_root_ca() = *new_root_ca(world.random, 1'800'000'000'000'000'000);
  world.put(cluster);
  world.open("n1");
  world.session_messages.clear();
  auto changed = *world.store.view().cluster();
  changed.mutable_spec()->set_heartbeat_period(Duration(2s).count());
  changed.mutable_spec()->set_certificate_expiry(Duration(1h).count());
  changed.mutable_root_ca()->CopyFrom(
      *begin_rotation(changed.root_ca(), "", "", 1'800'000'000'000'000'000));
  world.put(changed);
  ASSERT_EQ(world.session_messages.size(), 1U);
  const auto& told = world.session_messages.front();
  EXPECT_EQ(told.heartbeat_period(), Duration(2s).count());
  EXPECT_EQ(told.certificate_life(), Duration(1h).count());
  EXPECT_EQ(told.roots(), trusted_roots(changed.root_ca()));
  EXPECT_EQ(told.issuer_public_key(), link::as_issuer(wanted_root(changed.root_ca()))->public_key);
  EXPECT_EQ(told.node().id(), "n1");
  world.advance(7s);  // not the 15 s that its last heartbeat was good for
  EXPECT_EQ(world.store.view().get<model::v1::Node>("n1")->status().state(), model::v1::NODE_STATE_DOWN);
}

}  // namespace
}  // namespace skep::control
