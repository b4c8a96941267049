#include "core/agentctl/doctor/doctor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace skep::ctl {
namespace {

Finding finding_of(const MachineFacts& facts, const std::string& check) {
  const auto findings = judge(facts);
  const auto it = std::find_if(findings.begin(), findings.end(),
                               [&](const Finding& finding) { return finding.check == check; });
  return it == findings.end() ? Finding{} : *it;
}

TEST(Doctor, MissingToolsAreJudgedByWhatStopsWithoutThem) {
  MachineFacts facts;
  facts.tools = {{"runc", "/usr/sbin/runc"}, {"conmon", ""}};
  EXPECT_EQ(finding_of(facts, "runc").verdict, Verdict::kOk);
  EXPECT_EQ(finding_of(facts, "runc").detail, "/usr/sbin/runc");
  EXPECT_EQ(finding_of(facts, "conmon").verdict, Verdict::kBad);
  EXPECT_EQ(finding_of(facts, "skopeo").verdict, Verdict::kBad) << "a tool nobody looked for is missing";
  EXPECT_EQ(finding_of(facts, "skopeo").advice, "install the package 'skopeo'");
  EXPECT_EQ(finding_of(facts, "catatonit").verdict, Verdict::kWarning) << "only --init needs it";
}

TEST(Doctor, WhatCouldNotBeAskedBearsTheTrueReason) {
  MachineFacts facts;
  facts.tools = {{"unshare", "/usr/bin/unshare"}, {"ip", "/usr/sbin/ip"}};
  EXPECT_EQ(finding_of(facts, "bridge").advice, "run doctor as root");
  facts.root_user = true;
  facts.devices_error = "unshare: unshare failed: Operation not permitted";
  EXPECT_EQ(finding_of(facts, "bridge").detail,
            "could not be asked: unshare: unshare failed: Operation not permitted");
  EXPECT_THAT(finding_of(facts, "bridge").advice, ::testing::Not(::testing::HasSubstr("root")));
  facts.tools["unshare"] = "";
  EXPECT_EQ(finding_of(facts, "vxlan").detail, "could not be asked: the program 'unshare' is not in PATH");
  EXPECT_EQ(finding_of(facts, "vxlan").advice,
            "install the package 'util-linux', or add the directory of 'unshare' to PATH");
  facts.tools = {{"unshare", "/usr/bin/unshare"}, {"ip", ""}};
  EXPECT_EQ(finding_of(facts, "vxlan").advice, "install the package 'iproute2', or add the directory of 'ip' to PATH");
  facts.vxlan = false;
  EXPECT_EQ(finding_of(facts, "vxlan").detail, "not in this kernel");
}

TEST(Doctor, ADiskThatSyncsSlowlyIsSaidWithFigures) {
  MachineFacts facts;
  facts.sync_ns = {4'000'000, 5'000'000, 6'000'000};
  EXPECT_EQ(finding_of(facts, "disk sync").verdict, Verdict::kOk);
  EXPECT_EQ(finding_of(facts, "disk sync").detail, "median 5.00 ms, worst 6.00 ms of 3");
  facts.sync_ns = {9'000'000'000};
  EXPECT_EQ(finding_of(facts, "disk sync").verdict, Verdict::kBad);
}

TEST(Doctor, ASwarmInTroubleIsBadInTheAgentsOwnWords) {
  MachineFacts facts;
  EXPECT_EQ(finding_of(facts, "swarm").check, "") << "without an agent nobody knows";
  facts.agent_answers = true;
  facts.swarm_state = "inactive";
  EXPECT_EQ(finding_of(facts, "swarm").verdict, Verdict::kOk);
  facts.swarm_state = "active";
  EXPECT_EQ(finding_of(facts, "swarm").verdict, Verdict::kOk);
  EXPECT_EQ(finding_of(facts, "swarm").detail, "active");
  facts.swarm_error = "the swarm has no leader now: 2 of 3 votes are needed";
  EXPECT_EQ(finding_of(facts, "swarm").verdict, Verdict::kBad);
  EXPECT_EQ(finding_of(facts, "swarm").detail, facts.swarm_error);
  EXPECT_NE(finding_of(facts, "swarm").advice, "");
  facts.swarm_error.clear();
  facts.swarm_state = "locked";
  EXPECT_EQ(finding_of(facts, "swarm").verdict, Verdict::kBad);
  EXPECT_THAT(finding_of(facts, "swarm").advice, ::testing::HasSubstr("swarm unlock"));
}

TEST(Doctor, WhatTheAgentWarnsOfIsShownOnce) {
  MachineFacts facts;
  facts.agent_answers = true;
  facts.swarm_state = "active";
  facts.swarm_error = "no leader";
  facts.agent_warnings = {"the certificate of this node is out of its time", "no leader"};
  const auto findings = judge(facts);
  EXPECT_EQ(findings.back().check, "agent");
  EXPECT_EQ(findings.back().verdict, Verdict::kWarning);
  EXPECT_EQ(findings.back().detail, facts.agent_warnings.front());
  EXPECT_EQ(std::count_if(findings.begin(), findings.end(),
                          [](const Finding& finding) { return finding.detail == "no leader"; }), 1);
}

}  // namespace
}  // namespace skep::ctl
