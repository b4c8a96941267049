#include "plugins/network/bridge/bridge_driver.h"

#include <gtest/gtest.h>

#include "skep/testing/manual_env.h"

namespace skep::bridge {
namespace {

class FakeKernel final : public Kernel {
 public:
  Status ensure_bridge(const std::string& name, const std::string& alias, const std::string&) override {
    tagged[name] = alias;
    return ok();
  }
  Status attach(const Attachment& attachment) override {
    tagged[attachment.host_interface] = attachment.alias;
    attached.push_back(attachment);
    return ok();
  }
  Status delete_link(const std::string& name) override {
    tagged.erase(name);
    return ok();
  }
  Result<std::vector<TaggedLink>> links() override {
    std::vector<TaggedLink> out;
    for (const auto& [name, alias] : tagged) {
      out.push_back({name, alias});
    }
    return out;
  }
  Result<std::vector<std::string>> used_subnets() override { return used; }
  Status apply_rules(const RuleSet& new_rules) override {
    rules = new_rules;
    return ok();
  }
  Status delete_rules(const std::string&) override {
    rules = {};
    return ok();
  }
  Status reserve_port(model::v1::PublishedPort::Protocol, std::uint32_t port) override {
    if (foreign.contains(port)) {
      return Error{Code::kFailedPrecondition, "in use", "PORT_IN_USE"};
    }
    held.insert(port);
    return ok();
  }
  void release_port(model::v1::PublishedPort::Protocol, std::uint32_t port) override { held.erase(port); }

  std::map<std::string, std::string> tagged;
  std::vector<Attachment> attached;
  std::vector<std::string> used;
  RuleSet rules;
  std::set<std::uint32_t> foreign;
  std::set<std::uint32_t> held;
};

class NoCore final : public rpc::Caller {
 public:
  rpc::CallId call(std::string, std::string_view, rpc::Body, rpc::CallOptions, rpc::OnReply) override {
    return 1;
  }
  void cancel(rpc::CallId) override {}
  std::shared_ptr<rpc::ClientStream> open(std::string, std::string_view, rpc::Body, rpc::CallOptions,
                                          rpc::StreamHandlers) override {
    return nullptr;
  }
};

class Bridge : public ::testing::Test {
 protected:
  Bridge() {
    start_.set_run_dir("/run");
    start_.set_installation_id("i1");
    restart();
    network::v1::CreateNetworkRequest request;
    request.set_network_id("gw");
    EXPECT_TRUE(driver_->create_network(request));
  }
  void restart() {
    driver_ = std::make_unique<BridgeDriver>(kernel_);
    ASSERT_TRUE(driver_->start({env_.env, core_, start_}));
  }
  Result<network::v1::CreateEndpointResponse> endpoint(const std::string& id) {
    network::v1::CreateEndpointRequest request;
    request.set_network_id("gw");
    request.set_endpoint_id(id);
    return driver_->create_endpoint(request);
  }
  Result<network::v1::PublishResponse> publish(const std::string& id, std::uint32_t published) {
    network::v1::PublishRequest request;
    request.set_network_id("gw");
    request.set_endpoint_id(id);
    auto* port = request.add_ports();
    port->set_target_port(80);
    port->set_published_port(published);
    return driver_->publish(request);
  }
  Status remove(const std::string& id) {
    network::v1::DeleteEndpointRequest request;
    request.set_network_id("gw");
    request.set_endpoint_id(id);
    return driver_->delete_endpoint(request);
  }

  testing::ManualEnv env_;
  FakeKernel kernel_;
  NoCore core_;
  plugin::v1::StartRequest start_;
  std::unique_ptr<BridgeDriver> driver_;
};

TEST_F(Bridge, GivesEachEndpointItsOwnAddressAndLetsFreedOnesRest) {
  const std::string first = endpoint("t1")->addresses(0);
  EXPECT_EQ(endpoint("t1")->addresses(0), first) << "a repeat is the same endpoint";
  EXPECT_NE(endpoint("t2")->addresses(0), first);
  ASSERT_TRUE(remove("t1"));
  EXPECT_NE(endpoint("t3")->addresses(0), first);
  EXPECT_EQ(endpoint("t1")->mac().substr(0, 5), "02:42");
}

TEST_F(Bridge, ChoosesFreePortsAndKeepsThemOnARepeat) {
  ASSERT_TRUE(endpoint("t1"));
  ASSERT_TRUE(endpoint("t2"));
  kernel_.foreign = {32768};
  EXPECT_EQ(publish("t1", 0)->ports(0).published_port(), 32769u);
  EXPECT_EQ(publish("t1", 0)->ports(0).published_port(), 32769u);
  EXPECT_EQ(publish("t2", 0)->ports(0).published_port(), 32770u);
  EXPECT_EQ(kernel_.rules.ports.size(), 2u);
}

TEST_F(Bridge, RefusesATakenPortAndChangesNothing) {
  ASSERT_TRUE(endpoint("t1"));
  ASSERT_TRUE(endpoint("t2"));
  ASSERT_TRUE(publish("t1", 8080));
  EXPECT_EQ(publish("t2", 8080).error().reason, "PORT_IN_USE");
  kernel_.foreign = {9090};
  EXPECT_EQ(publish("t1", 9090).error().reason, "PORT_IN_USE");
  EXPECT_EQ(kernel_.rules.ports.size(), 1u);
  EXPECT_EQ(kernel_.rules.ports[0].published, 8080u);
  ASSERT_TRUE(remove("t1"));
  EXPECT_TRUE(kernel_.rules.ports.empty());
  EXPECT_FALSE(kernel_.held.contains(8080));
}

TEST_F(Bridge, RecoversEndpointsPortsAndRemovesOnlyItsOwnStrays) {
  ASSERT_TRUE(endpoint("kept"));
  ASSERT_TRUE(endpoint("stale"));
  const std::string address = endpoint("kept")->addresses(0);
  ASSERT_TRUE(publish("kept", 8080));
  ASSERT_TRUE(publish("stale", 8081));
  kernel_.tagged["svstray"] = "skep i1 endpoint gone";
  kernel_.tagged["svother"] = "skep i2 endpoint theirs";
  kernel_.held.clear();
  restart();
  EXPECT_TRUE(kernel_.held.contains(8080));
  network::v1::RecoverRequest request;
  request.add_endpoint_ids("kept");
  ASSERT_TRUE(driver_->recover(request));
  EXPECT_EQ(endpoint("kept")->addresses(0), address);
  ASSERT_EQ(kernel_.rules.ports.size(), 1u);
  EXPECT_EQ(kernel_.rules.ports[0].published, 8080u);
  EXPECT_FALSE(kernel_.tagged.contains("svstray"));
  EXPECT_TRUE(kernel_.tagged.contains("svother"));
  EXPECT_EQ(driver_->list()->endpoints_size(), 1);
}

TEST(SubnetPool, AvoidsWhatIsUsedAndSaysWhenNothingIsLeft) {
  const auto free = choose_subnet({*parse_subnet("172.16.0.0/12")}, 7);
  ASSERT_FALSE(free);
  EXPECT_NE(free.error().message.find("subnet ="), std::string::npos);
  const Subnet first = *choose_subnet({}, 3);
  const Subnet second = *choose_subnet({first}, 3);
  EXPECT_FALSE(first.overlaps(second));
}

TEST(SubnetPool, NeverGivesNetworkGatewayOrBroadcast) {
  const Subnet subnet = *parse_subnet("10.0.0.0/29");
  std::set<std::uint32_t> taken;
  std::uint32_t last = 0;
  std::set<std::string> given;
  while (const auto address = next_address(subnet, taken, last)) {
    taken.insert(*address);
    last = *address;
    given.insert(to_text(*address));
  }
  EXPECT_EQ(given, (std::set<std::string>{"10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"}));
}

}  // namespace
}  // namespace skep::bridge
