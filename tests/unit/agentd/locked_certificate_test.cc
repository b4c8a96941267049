#include "core/agentd/locked_certificate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

#include "core/link/root.h"
#include "skep/testing/manual_env.h"

namespace skep::agentd {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using link::Role;

class LockedCertificates : public ::testing::Test, protected testing::ManualEnv {
 protected:
  LockedCertificates() {
    EXPECT_TRUE(disk.make_directories(paths.state_dir, 0700));
    roots_are(root.certificate);
  }
  void roots_are(const std::string& roots) {
    EXPECT_TRUE(disk.write_file_atomic(paths.state_dir + "/root-ca.crt", roots, 0644));
  }
  /// The certificate of manager n1, made now.
  link::Credentials own(const link::CertifiedKey& issuer) {
    const auto key = *link::make_request();
    return {{sign(issuer, key.request, Role::kManager), key.key}, issuer.certificate, "c1", "n1"};
  }
  std::string sign(const link::CertifiedKey& issuer, const std::string& request, Role role,
                   const std::string& node = "n1") {
    return *link::sign_request(issuer, request, {node, role, "c1"}, loop.wall_now(), life);
  }
  LockedCertificate made() {
    return LockedCertificate(env, paths,
                             {.ask =
                                  [this](const ca::v1::RenewRequest& request, LockedCertificate::Answer answer) {
                                    EXPECT_TRUE(request.locked());
                                    asked.push_back({request.request(), std::move(answer)});
                                  },
                              .caught_up = [this] { ++caught_up; }});
  }
  void answer(const link::CertifiedKey& issuer, Role role = Role::kLockedManager, const std::string& node = "n1") {
    ASSERT_FALSE(asked.empty());
    ca::v1::RenewResponse response;
    response.set_certificate(sign(issuer, asked.back().request, role, node));
    response.set_root(issuer.certificate);
    asked.back().answer(std::move(response));
  }
  std::string file() { return disk.exists(path) ? disk.content(path) : ""; }
  std::size_t files() {
    const auto names = *disk.list_directory(paths.state_dir);
    return static_cast<std::size_t>(
        std::count_if(names.begin(), names.end(), [](const auto& name) { return name.starts_with("locked.pem"); }));
  }

  struct Asked {
    std::string request;
    LockedCertificate::Answer answer;
  };
  const Paths paths{"/r"};
  const std::string path = paths.state_dir + "/locked.pem";
  const link::CertifiedKey root = *link::make_root(loop.wall_now());
  Duration life = 24h;
  std::vector<Asked> asked;
  int caught_up = 0;
};

TEST_F(LockedCertificates, IsAskedForKeptAndTakenUp) {
  auto kept = made();
  const auto mine = own(root);
  kept.follow(mine);
  kept.follow(mine);
  ASSERT_EQ(asked.size(), 1U) << "asked once";
  EXPECT_TRUE(kept.behind());
  answer(root);
  EXPECT_FALSE(kept.behind());
  EXPECT_EQ(caught_up, 1);
  kept.follow(mine);
  EXPECT_EQ(asked.size(), 1U);
  EXPECT_THAT(file(), HasSubstr("PRIVATE KEY"));
  EXPECT_EQ(file().find(mine.pair.key), std::string::npos) << "never the manager's own key";

  auto again = made();  // a restart
  const auto shown = again.take_up("n1", "c1");
  ASSERT_TRUE(shown) << shown.error().message;
  EXPECT_EQ(shown->node_id, "n1");
  EXPECT_EQ(link::read_certificate(shown->pair.certificate)->identity.role, Role::kLockedManager);
  EXPECT_TRUE(link::check_pair(shown->pair));
  EXPECT_TRUE(link::TlsContext::make(*shown));
  EXPECT_EQ(again.trouble(), "");
  again.follow(mine);  // unlocked
  EXPECT_EQ(asked.size(), 1U) << "it belongs to the certificate that the manager has";
}

TEST_F(LockedCertificates, FollowsEveryCertificateOfTheNode) {
  auto kept = made();
  kept.follow(own(root));
  answer(root);
  const std::string first = file();
  loop.advance(12h);
  const auto renewed = own(root);
  kept.follow(renewed);
  EXPECT_TRUE(kept.behind());
  ASSERT_EQ(asked.size(), 2U);
  answer(root);
  EXPECT_NE(file(), first);
  EXPECT_NE(file().substr(0, 200), first.substr(0, 200)) << "a new key";
  // Another root, however soon.
  const auto next = *link::make_root(loop.wall_now());
  kept.follow(own(next));
  ASSERT_EQ(asked.size(), 3U);
  answer(next);
  roots_are(next.certificate);
  EXPECT_TRUE(made().take_up("n1", "c1"));
  // What was interrupted is found at the next start: by age, by issuer.
  loop.advance(12h);
  auto later = made();
  later.follow(own(next));
  EXPECT_EQ(asked.size(), 4U);
  auto other_root = made();
  other_root.follow(own(root));
  EXPECT_EQ(asked.size(), 5U);
}

TEST_F(LockedCertificates, OneThatIsNewerThanTheNodesIsNotAskedForAgain) {
  const auto mine = own(root);
  loop.advance(10h);
  auto kept = made();
  kept.follow(mine);  // autolock was turned on long after
  answer(root);
  made().follow(mine);
  EXPECT_EQ(asked.size(), 1U);
}

TEST_F(LockedCertificates, AsksAgainAndTellsWhyItHasNone) {
  auto kept = made();
  kept.follow(own(root));
  for (std::size_t i = 1; i <= 3; ++i) {
    ASSERT_EQ(asked.size(), i);
    EXPECT_EQ(kept.trouble(), "") << "nobody may lead yet";
    asked.back().answer(Error{Code::kUnavailable, "nobody leads", "NO_LEADER"});
    loop.advance(5s);
  }
  EXPECT_THAT(kept.trouble(), HasSubstr("nobody leads: as long as this manager is locked, its node has no session"));
  kept.follow(own(root));  // renewed meanwhile: asked at once, for that
  EXPECT_EQ(kept.trouble(), "");
  answer(root);
  EXPECT_FALSE(kept.behind());
  loop.advance(1min);
  EXPECT_EQ(asked.size(), 5U);
}

TEST_F(LockedCertificates, AManagersCertificateIsNeverWrittenThere) {
  auto kept = made();
  kept.follow(own(root));
  answer(root, Role::kManager);  // as a manager of an older version answers
  EXPECT_EQ(file(), "");
  EXPECT_TRUE(kept.behind());
  loop.advance(5s);
  answer(root, Role::kLockedManager, "n2");
  EXPECT_EQ(file(), "");
  loop.advance(5s);
  answer(root, Role::kWorker);
  EXPECT_EQ(file(), "");
  EXPECT_THAT(kept.trouble(), HasSubstr("not of this node as a locked manager"));
}

TEST_F(LockedCertificates, WhatIsMissingDamagedOrExpiredIsSaid) {
  auto none = made();
  EXPECT_EQ(none.take_up("n1", "c1").error().code, Code::kNotFound);
  EXPECT_THAT(none.trouble(), HasSubstr("/locked.pem is missing: as long as this manager is locked"));
  auto kept = made();
  kept.follow(own(root));
  answer(root);
  const std::string whole = file();
  const auto key_of_another = link::make_request()->key;
  for (const std::string& content :
       {std::string(), std::string("x"), whole.substr(0, whole.size() / 2), whole.substr(whole.find("-----BEGIN CERT")),
        key_of_another + whole.substr(whole.find("-----BEGIN CERT"))}) {
    ASSERT_TRUE(disk.write_file_atomic(path, content, 0600));
    auto damaged = made();
    EXPECT_EQ(damaged.take_up("n1", "c1").error().reason, "DAMAGED_FILE");
    EXPECT_THAT(damaged.trouble(), HasSubstr("/locked.pem: "));
    EXPECT_FALSE(damaged.behind());
    damaged.follow(own(root));
    EXPECT_TRUE(damaged.behind()) << "unlocked, it asks for a whole one";
  }
  ASSERT_TRUE(disk.write_file_atomic(path, whole, 0600));
  EXPECT_EQ(made().take_up("n2", "c1").error().reason, "DAMAGED_FILE") << "of another node";
  EXPECT_EQ(made().take_up("n1", "c2").error().reason, "DAMAGED_FILE") << "of another swarm";
  auto shown = made();
  ASSERT_TRUE(shown.take_up("n1", "c1"));
  EXPECT_EQ(shown.trouble(), "");
  loop.advance(25h);
  EXPECT_THAT(shown.trouble(), HasSubstr("/locked.pem: the certificate expired on "));
  EXPECT_TRUE(made().take_up("n1", "c1")) << "whether it is too old is for the managers to say";
}

TEST_F(LockedCertificates, NothingStaysOnceItIsNotWanted) {
  auto kept = made();
  kept.follow(own(root));
  answer(root);
  ASSERT_TRUE(disk.write_file_atomic(path + ".tmp17", "half", 0600));
  kept.drop();
  EXPECT_EQ(files(), 0U);
  // Neither an answer on its way nor a turn that waits brings it back.
  kept.follow(own(root));
  ASSERT_TRUE(kept.forget());
  answer(root);
  loop.advance(1min);
  EXPECT_EQ(files(), 0U);
  EXPECT_EQ(asked.size(), 2U);
  // And a removal that fails is tried again.
  kept.follow(own(root));
  answer(root);
  disk.fail_call(1, Error{Code::kResourceExhausted, "read-only"});
  kept.drop();
  EXPECT_EQ(files(), 1U);
  loop.advance(5s);
  EXPECT_EQ(files(), 0U);
}

TEST_F(LockedCertificates, AfterTheEndAnAnswerIsNobodys) {
  {
    auto kept = std::make_unique<LockedCertificate>(
        env, paths,
        LockedCertificate::Hooks{.ask = [this](const ca::v1::RenewRequest& request,
                                               LockedCertificate::Answer given) {
                                   asked.push_back({request.request(), std::move(given)});
                                 },
                                 .caught_up = [] {}});
    kept->follow(own(root));
  }
  answer(root);
  EXPECT_EQ(files(), 0U);
  EXPECT_EQ(loop.pending(), 0U);
}

}  // namespace
}  // namespace skep::agentd
