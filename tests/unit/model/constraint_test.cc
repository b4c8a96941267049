#include "core/model/constraint.h"

#include <gtest/gtest.h>

#include "core/model/resources.h"

namespace skep::model {
namespace {

v1::Node sample_node() {
  v1::Node node;
  node.set_id("abc");
  (*node.mutable_spec()->mutable_labels())["zone"] = "East";
  node.mutable_spec()->set_role(v1::NODE_ROLE_MANAGER);
  node.mutable_description()->set_hostname("Bee1");
  node.mutable_description()->mutable_platform()->set_os("linux");
  node.mutable_description()->mutable_platform()->set_architecture("x86_64");
  (*node.mutable_description()->mutable_engine()->mutable_labels())["disk"] = "ssd";
  node.mutable_status()->set_address("10.1.2.3:2377");
  return node;
}

bool match(const char* expression) {
  const auto constraint = parse_constraint(expression);
  EXPECT_TRUE(constraint) << expression;
  return constraint && constraint->matches(sample_node());
}

TEST(Constraint, MatchesEveryKeyWithoutCase) {
  for (const char* text :
       {"node.labels.zone==east", "node.labels.zone == EAST", "node.labels.zone!=west",
        "node.labels.none==", "node.labels.none!=x", "node.id==ABC", "node.hostname==bee1",
        "node.role==manager", "node.role!=worker", "node.platform.os==Linux",
        "node.platform.arch==amd64", "node.platform.arch==x86_64", "engine.labels.disk==SSD",
        "node.ip==10.1.2.3", "node.ip==10.0.0.0/8", "node.ip!=10.2.0.0/16"}) {
    EXPECT_TRUE(match(text)) << text;
  }
  for (const char* text : {"node.labels.zone==eas", "node.labels.Zone==east", "node.role==worker",
                           "node.ip==10.1.2.4", "node.ip!=10.0.0.0/8", "node.id!=abc"}) {
    EXPECT_FALSE(match(text)) << text;
  }
}

TEST(Constraint, RefusesWhatItDoesNotUnderstand) {
  for (const char* text : {"node.role=manager", "zone==east", "node.role==boss", "node.id==",
                           "node.labels.==x", "node.ip==10.0.0.0/33", "node.labels.a==x;y", ""}) {
    const auto constraint = parse_constraint(text);
    ASSERT_FALSE(constraint) << text;
    EXPECT_EQ(constraint.error().code, Code::kInvalidArgument);
  }
  EXPECT_EQ(parse_constraint("node.role>x").error().message,
            "constraint 'node.role>x' is invalid: expected one operator from ==, !=");
}

TEST(Constraint, SpreadsOverLabelsOnly) {
  EXPECT_EQ(spread_value("node.labels.zone", sample_node()), "east");
  EXPECT_EQ(spread_value("node.labels.none", sample_node()), "");
  EXPECT_FALSE(spread_value("node.id", sample_node()));
}

TEST(Constraint, PlatformsKnowTheirAliases) {
  google::protobuf::RepeatedPtrField<v1::Platform> wanted;
  const v1::Platform node = sample_node().description().platform();
  EXPECT_TRUE(platform_matches(wanted, node));
  wanted.Add()->set_architecture("arm64");
  EXPECT_FALSE(platform_matches(wanted, node));
  wanted.Add()->set_architecture("amd64");
  EXPECT_TRUE(platform_matches(wanted, node));
}

TEST(Resources, FitComparesEveryKind) {
  Amounts have{2, 100, {{"gpu", 1}}};
  EXPECT_TRUE(have.fits({2, 100, {{"gpu", 1}}}));
  EXPECT_FALSE(have.fits({3, 0, {}}));
  EXPECT_FALSE(have.fits({0, 0, {{"fpga", 1}}}));
  have -= Amounts{3, 0, {}};  // A node that shrank: what wants nothing of it still fits.
  EXPECT_TRUE(have.fits({0, 100, {}}));
  have += Amounts{3, 0, {{"gpu", 1}}};
  EXPECT_EQ(have, (Amounts{2, 100, {{"gpu", 2}}}));
}

}  // namespace
}  // namespace skep::model
