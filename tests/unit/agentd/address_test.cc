#include "core/agentd/address.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/agentd/manager_book.h"

namespace skep::agentd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::vector<InterfaceAddress> kOne = {{"eth0", "10.0.0.5"}, {"eth0", "fd00::5", true}, {"docker0", "172.17.0.1", false, true}};
const std::vector<InterfaceAddress> kTwo = {{"eth0", "10.0.0.5"}, {"eth1", "192.168.7.5"}};

std::string chosen(const WantedAddresses& wanted, const std::vector<InterfaceAddress>& ours) {
  const auto answer = choose_node_addresses(wanted, ours);
  return answer ? answer->advertise + " " + answer->listen : "refused: " + answer.error().message;
}

TEST(NodeAddress, IsTheOnlyOneThereIs) {
  EXPECT_EQ(chosen({}, kOne), "10.0.0.5:2377 0.0.0.0:2377");
  EXPECT_EQ(chosen({}, {}), "127.0.0.1:2377 127.0.0.1:2377");
  EXPECT_EQ(chosen({}, {{"eth0", "fd00::5", true}}), "[fd00::5]:2377 [::]:2377");
  EXPECT_THAT(chosen({}, kTwo), HasSubstr("multiple addresses (10.0.0.5 on eth0, 192.168.7.5 on eth1): name one with "
                                          "--advertise-addr"));
  EXPECT_EQ(chosen({"", "", "192.168.7.5"}, kTwo), "192.168.7.5:2377 0.0.0.0:2377") << "the way to the manager tells";
}

TEST(NodeAddress, WhatIsListenedOnIsAdvertised) {
  EXPECT_EQ(chosen({"", "eth1:99", ""}, kTwo), "192.168.7.5:99 192.168.7.5:99");
  EXPECT_EQ(chosen({"", "eth1:99", "10.0.0.5"}, kTwo), "192.168.7.5:99 192.168.7.5:99");
  EXPECT_EQ(chosen({"", "0.0.0.0:99", ""}, kOne), "10.0.0.5:99 0.0.0.0:99");
  EXPECT_EQ(chosen({"", ":99", ""}, kOne), "10.0.0.5:99 0.0.0.0:99");
  EXPECT_EQ(chosen({"eth0", "0.0.0.0:99", ""}, kTwo), "10.0.0.5:99 0.0.0.0:99");
  EXPECT_EQ(chosen({"eth0:77", "eth0:99", ""}, kTwo), "10.0.0.5:77 10.0.0.5:99");
  EXPECT_EQ(chosen({"127.0.0.1", "127.0.0.1:99", ""}, kTwo), "127.0.0.1:99 127.0.0.1:99");
}

TEST(NodeAddress, WhatIsAdvertisedIsListenedOn) {
  EXPECT_EQ(chosen({"10.0.0.5:99", "", ""}, kTwo), "10.0.0.5:99 0.0.0.0:99");
  EXPECT_EQ(chosen({"FD00::5", "", ""}, kOne), "[fd00::5]:2377 [::]:2377");
  EXPECT_EQ(chosen({"[fd00::5]:99", "", ""}, kOne), "[fd00::5]:99 [::]:99");
  EXPECT_EQ(chosen({"[fd00::5]", "", ""}, kOne), "[fd00::5]:2377 [::]:2377");
  EXPECT_EQ(chosen({"127.0.0.1", "", ""}, kTwo), "127.0.0.1:2377 127.0.0.1:2377");
  EXPECT_EQ(chosen({"docker0", "", ""}, kOne), "172.17.0.1:2377 0.0.0.0:2377") << "named, so wanted";
}

TEST(NodeAddress, WhatNobodyReachesIsRefusedWithWhatToGive) {
  const char* given = "there are 10.0.0.5 on eth0, 192.168.7.5 on eth1";
  for (const char* bad : {"0.0.0.0", "0.0.0.0:2377", "::"}) {
    EXPECT_THAT(chosen({bad, "", ""}, kTwo), ::testing::AllOf(HasSubstr("tells nobody where"), HasSubstr(given)));
  }
  for (const char* bad : {"224.0.0.1", "239.1.2.3:99", "255.255.255.255", "ff02::1"}) {
    EXPECT_THAT(chosen({bad, "", ""}, kTwo), ::testing::AllOf(HasSubstr("no single machine"), HasSubstr(given)));
    EXPECT_THAT(chosen({"", bad, ""}, kTwo), HasSubstr("--listen-addr: "));
  }
  for (const char* bad : {"10.0.0.5:0", "eth0:0", "eth0:65536", "eth0:x", "eth0:"}) {
    EXPECT_THAT(chosen({bad, "", ""}, kTwo), HasSubstr("port of 1 to 65535"));
  }
  EXPECT_THAT(chosen({"eth9", "", ""}, kTwo), ::testing::AllOf(HasSubstr("no interface of this node"), HasSubstr(given)));
  EXPECT_THAT(chosen({"", "eth9:99", ""}, kTwo), HasSubstr("no interface of this node"));
}

TEST(NodeAddress, LoopbackIsForOneMachineOnly) {
  EXPECT_THAT(chosen({"127.0.0.1", "", "10.0.0.5"}, kTwo), HasSubstr("from this machine only")) << "a join";
  EXPECT_EQ(chosen({"127.0.0.1", "", "127.0.0.1"}, kTwo), "127.0.0.1:2377 127.0.0.1:2377");
  EXPECT_THAT(chosen({"127.0.0.1", "0.0.0.0:99", ""}, kTwo), HasSubstr("from this machine only"));
  EXPECT_THAT(chosen({"10.0.0.5", "127.0.0.1:99", ""}, kTwo),
              HasSubstr("--listen-addr: '127.0.0.1' is reached from this machine only"));
}

TEST(NodeAddress, MustBeOursUnlessItIsTranslated) {
  EXPECT_THAT(chosen({"203.0.113.9", "", ""}, kTwo),
              ::testing::AllOf(HasSubstr("is no address of this machine; there are"), HasSubstr("give --listen-addr too")));
  EXPECT_EQ(chosen({"203.0.113.9:99", "0.0.0.0", ""}, kTwo), "203.0.113.9:99 0.0.0.0:99");
}

TEST(NodeAddress, ThisMachinesAddressesHoldNoLoopback) {
  const auto ours = machine_addresses();
  ASSERT_TRUE(ours) << ours.error().message;
  for (const auto& address : *ours) {
    EXPECT_FALSE(address.address.starts_with("127.")) << address.interface;
  }
  EXPECT_EQ(address_towards("127.0.0.1"), "127.0.0.1");
}

TEST(ManagersToAsk, AreTheNamedOnesThenThoseKnown) {
  const std::vector<std::string> known = {"a=10.0.0.1:2377", "self=10.0.0.2:2377", "c=10.0.0.3:99", "junk"};
  EXPECT_THAT(*managers_to_ask({"10.0.0.9", "10.0.0.1"}, known, "self"),
              ElementsAre("10.0.0.9:2377", "10.0.0.1:2377", "10.0.0.3:99"));
  EXPECT_EQ(managers_to_ask({"1.1.1.1", "2.2.2.2", "3.3.3.3", "4.4.4.4", "5.5.5.5", "6.6.6.6", "7.7.7.7"}, known, "self")->size(),
            kReturnTriesMax);
  EXPECT_EQ(managers_to_ask({}, known, "self").error().reason, "NO_MANAGER_NAMED");
  EXPECT_EQ(managers_to_ask({"a b"}, known, "self").error().reason, "BAD_ADDRESS");
}

}  // namespace
}  // namespace skep::agentd
