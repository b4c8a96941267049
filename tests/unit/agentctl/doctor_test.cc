#include "core/agentctl/doctor/doctor.h"

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

TEST(Doctor, ADiskThatSyncsSlowlyIsSaidWithFigures) {
  MachineFacts facts;
  facts.sync_ns = {4'000'000, 5'000'000, 6'000'000};
  EXPECT_EQ(finding_of(facts, "disk sync").verdict, Verdict::kOk);
  EXPECT_EQ(finding_of(facts, "disk sync").detail, "median 5.00 ms, worst 6.00 ms of 3");
  facts.sync_ns = {9'000'000'000};
  EXPECT_EQ(finding_of(facts, "disk sync").verdict, Verdict::kBad);
}

}  // namespace
}  // namespace skep::ctl
