#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include "core/agentctl/errors.h"
#include "skep/agent.methods.h"
#include "skep/control.methods.h"
#include "tests/unit/agentctl/fake_agent.h"

namespace skep::ctl {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
namespace methods = control::v1::methods;

class SwarmAdmin : public ::testing::Test {
 protected:
  SwarmAdmin() {
    cluster.mutable_meta()->set_version(7);
    cluster.mutable_spec()->set_task_history_limit(5);
    agent.table.on_sync<methods::GetCluster>(
        [this](const auto&) -> Result<control::v1::GetClusterResponse> {
          control::v1::GetClusterResponse response;
          *response.mutable_cluster() = cluster;
          return response;
        });
    agent.table.on_sync<methods::UpdateCluster>(
        [this](const control::v1::UpdateClusterRequest& request)
            -> Result<control::v1::UpdateClusterResponse> {
          if (conflicts > 0) {
            --conflicts;
            cluster.mutable_meta()->set_version(cluster.meta().version() + 1);
            return Error{Code::kConflict, "changed", "VERSION_CONFLICT"};
          }
          EXPECT_EQ(request.version(), cluster.meta().version());
          control::v1::UpdateClusterResponse response;
          if (request.spec().autolock() && !cluster.spec().autolock()) {
            response.set_unlock_key("SWMKEY-1-abc");
          }
          *cluster.mutable_spec() = request.spec();
          ++updates;
          return response;
        });
    agent.table.on_sync<methods::UnlockKey>([this](const control::v1::UnlockKeyRequest& request)
                                                -> Result<control::v1::UnlockKeyResponse> {
      control::v1::UnlockKeyResponse response;
      response.set_key(request.rotate() ? "SWMKEY-1-new" : key);
      return response;
    });
    agent.table.on_sync<agent::v1::methods::Unlock>(
        [this](const agent::v1::UnlockRequest& request) -> Result<agent::v1::UnlockResponse> {
          unlocked_with = request.key();
          return agent::v1::UnlockResponse();
        });
    agent.table.on_sync<methods::RotateRoot>(
        [this](const control::v1::RotateRootRequest& request) -> Result<control::v1::RotateRootResponse> {
          root_request = request;
          ++rotations;
          control::v1::RotateRootResponse response;
          response.set_digest("d1ce");
          rotating = 3;
          return response;
        });
    agent.table.on_sync<methods::RootStatus>(
        [this](const control::v1::RootStatusRequest&) -> Result<control::v1::RootStatusResponse> {
          control::v1::RootStatusResponse response;
          response.set_certificate("-----BEGIN CERTIFICATE-----\n");
          response.set_nodes(2);
          response.set_rotating(rotating > 0);
          response.set_certificates(rotating > 1 ? 1 : 2);
          response.set_roots(rotating > 0 ? 0 : 2);
          if (rotating > 1) {
            response.add_waiting("beta (down)");
          }
          rotating -= rotating > 0 ? 1 : 0;
          return response;
        });
  }
  FakeAgent agent;
  Cli cli{agent};
  model::v1::Cluster cluster;
  int conflicts = 0;
  int updates = 0;
  int rotating = 0;
  std::string key;
  std::string unlocked_with;
  control::v1::RotateRootRequest root_request;
  int rotations = 0;
};

TEST_F(SwarmAdmin, UpdateChangesWhatIsGivenAndNothingElse) {
  const auto done = cli.run({"swarm", "update", "--cert-expiry", "720h", "--dispatcher-heartbeat",
                             "10s", "--max-snapshots", "3", "--snapshot-interval", "500"});
  EXPECT_EQ(done.exit_code, 0) << done.err;
  EXPECT_EQ(done.out, "Swarm updated.\n");
  EXPECT_EQ(cluster.spec().certificate_expiry(), Duration(std::chrono::hours(720)).count());
  EXPECT_EQ(cluster.spec().heartbeat_period(), Duration(std::chrono::seconds(10)).count());
  EXPECT_EQ(cluster.spec().snapshots_kept(), 3U);
  EXPECT_EQ(cluster.spec().snapshot_interval(), 500U);
  EXPECT_EQ(cluster.spec().task_history_limit(), 5);
  EXPECT_EQ(cli.run({"swarm", "update", "--task-history-limit", "-3"}).exit_code, 0);
  EXPECT_EQ(cluster.spec().task_history_limit(), -1);
}

TEST_F(SwarmAdmin, SnapshotIntervalsHaveBounds) {
  for (const char* bad : {"0", "1000001", "many"}) {
    for (const char* verb : {"update", "init"}) {
      const auto done = cli.run({"swarm", verb, "--snapshot-interval", bad});
      EXPECT_EQ(done.exit_code, kExitUsage) << bad;
      EXPECT_THAT(done.err, HasSubstr("--snapshot-interval"));
    }
  }
  EXPECT_THAT(cli.run({"swarm", "update", "--snapshot-interval", "0"}).err,
              HasSubstr("use 1 to 1000000 (the default is 10000)"));
  EXPECT_EQ(updates, 0);
}

TEST_F(SwarmAdmin, ForceNewClusterRefusesWhatItWouldIgnore) {
  const std::vector<std::vector<std::string>> settings = {
      {"--autolock"}, {"--availability", "drain"}, {"--cert-expiry", "2h"}, {"--dispatcher-heartbeat", "2s"},
      {"--task-history-limit", "1"}, {"--snapshot-interval", "5"}, {"--max-snapshots", "1"},
      {"--external-ca", "protocol=cfssl,url=https://one/"}, {"--default-addr-pool", "10.0.0.0/8"}, {"--default-addr-pool-mask-length", "24"}, {"--data-path-port", "5000"}};
  for (const auto& setting : settings) {
    std::vector<std::string> words = {"swarm", "init", "--force-new-cluster"};
    words.insert(words.end(), setting.begin(), setting.end());
    const auto done = cli.run(words);
    EXPECT_EQ(done.exit_code, kExitUsage) << setting.front();
    EXPECT_THAT(done.err, HasSubstr("keeps the settings of the swarm, so " + setting.front() + " would be ignored"));
  }
  EXPECT_THAT(cli.run({"swarm", "init", "--autolock", "--force-new-cluster", "--max-snapshots", "2"}).err,
              HasSubstr("--max-snapshots, --autolock would be ignored"));
  EXPECT_FALSE(agent.init_request.force_new_cluster());
  EXPECT_EQ(cli.run({"swarm", "init", "--force-new-cluster", "--advertise-addr", "10.0.0.1"}).exit_code, 0);
  EXPECT_TRUE(agent.init_request.force_new_cluster());
}

TEST_F(SwarmAdmin, ABackupMayGoToAPipeButNotToATerminal) {
  Status end = ok();
  agent.table.on_stream<agent::v1::methods::Backup>([&end](const agent::v1::BackupRequest&, auto stream) {
    for (const std::string& part : {std::string("\0half", 5), std::string("half\n")}) {
      agent::v1::BackupChunk chunk;
      chunk.set_data(part);
      (void)stream.send(chunk);
    }
    stream.finish(end);
  });
  auto done = cli.run({"backup", "create", "-"});
  EXPECT_EQ(done.exit_code, 0) << done.err;
  EXPECT_EQ(done.out, std::string("\0halfhalf\n", 10)) << "nothing but the backup";
  EXPECT_THAT(done.err, HasSubstr("It holds the root key"));
  end = Error{Code::kUnavailable, "the manager stopped", "MANAGER_STOPPED"};
  done = cli.run({"backup", "create", "-"});
  EXPECT_EQ(done.exit_code, 8);
  EXPECT_THAT(done.err, HasSubstr("what was written is no whole backup: the manager stopped"));
  cli.terminal.output = true;
  EXPECT_EQ(cli.run({"backup", "create", "-"}).exit_code, kExitUsage);
  for (const char* verb : {"restore", "inspect", "verify"}) {
    done = cli.run({"backup", verb, "-"});
    EXPECT_EQ(done.exit_code, kExitUsage) << verb;
    EXPECT_THAT(done.err, HasSubstr("from a file, not from stdin"));
  }
}

TEST(NextStep, FitsTheErrorAndNotOnlyItsCode) {
  const auto step = [](Code code, const char* reason, const char* message = "x") {
    return next_step({code, message, reason});
  };
  EXPECT_EQ(step(Code::kPermissionDenied, ""), "run it as root");
  EXPECT_EQ(step(Code::kPermissionDenied, "WRONG_UNLOCK_KEY"), "");
  EXPECT_EQ(step(Code::kPermissionDenied, "INVALID_TOKEN"), "");
  EXPECT_THAT(step(Code::kUnauthenticated, ""), HasSubstr("agentctl login"));
  EXPECT_EQ(step(Code::kUnauthenticated, "WRONG_SWARM"), "");
  EXPECT_THAT(step(Code::kUnauthenticated, "CERTIFICATE_EXPIRED"), HasSubstr("clocks"));
  EXPECT_THAT(step(Code::kTimeout, ""), HasSubstr("may still take effect"));
  EXPECT_THAT(step(Code::kTimeout, "TASKS_LEFT"), HasSubstr("--wait"));
  EXPECT_THAT(step(Code::kTimeout, "JOIN_TIMEOUT"), HasSubstr("manager's address"));
  EXPECT_THAT(step(Code::kUnavailable, "NO_LEADER"), HasSubstr("agentctl doctor"));
  EXPECT_EQ(step(Code::kUnavailable, "OUTCOME_UNKNOWN"), "");
  EXPECT_THAT(step(Code::kUnavailable, "NAME_NOT_RESOLVED"), HasSubstr("name service"));
  EXPECT_THAT(step(Code::kResourceExhausted, ""), HasSubstr("free what is full"));
  EXPECT_EQ(step(Code::kResourceExhausted, "", "try again later"), "");
}

TEST_F(SwarmAdmin, UpdateTriesAgainWhenSomebodyWasFaster) {
  conflicts = 2;
  EXPECT_EQ(cli.run({"swarm", "update", "--task-history-limit", "1"}).out, "Swarm updated.\n");
  EXPECT_EQ(updates, 1);
}

TEST_F(SwarmAdmin, UpdateWithoutFlagsPrintsItsUsage) {
  const auto done = cli.run({"swarm", "update"});
  EXPECT_THAT(done.out, HasSubstr("--task-history-limit"));
  const auto bad = cli.run({"swarm", "update", "--cert-expiry", "soon"});
  EXPECT_NE(bad.exit_code, 0);
  EXPECT_THAT(bad.err, HasSubstr("soon"));
  EXPECT_EQ(updates, 0);
}

TEST_F(SwarmAdmin, TurningAutolockOnTellsTheKey) {
  auto done = cli.run({"swarm", "update", "--autolock"});
  EXPECT_THAT(
      done.out,
      HasSubstr("Swarm updated.\n\nTo unlock a swarm manager after it restarts, run the "
                "`agentctl swarm unlock`\ncommand and provide the following key:\n\n"
                "    SWMKEY-1-abc\n\nPlease remember to store this key in a password manager"));
  EXPECT_TRUE(cluster.spec().autolock());
  done = cli.run({"swarm", "update", "--autolock=false"});
  EXPECT_EQ(done.out, "Swarm updated.\n");
  EXPECT_FALSE(cluster.spec().autolock());
}

TEST_F(SwarmAdmin, TheUnlockKeyIsShownAndRotated) {
  auto done = cli.run({"swarm", "unlock-key"});
  EXPECT_NE(done.exit_code, 0);
  EXPECT_THAT(done.err, HasSubstr("no unlock key is set"));
  key = "SWMKEY-1-abc";
  EXPECT_THAT(cli.run({"swarm", "unlock-key"}).out, HasSubstr("    SWMKEY-1-abc\n"));
  EXPECT_EQ(cli.run({"swarm", "unlock-key", "-q"}).out, "SWMKEY-1-abc\n");
  done = cli.run({"swarm", "unlock-key", "--rotate"});
  EXPECT_THAT(done.out, HasSubstr("Successfully rotated manager unlock key.\n\n"));
  EXPECT_THAT(done.out, HasSubstr("    SWMKEY-1-new\n"));
}

TEST_F(SwarmAdmin, UnlockReadsTheKeyAndSaysWhenThereIsNothingToUnlock) {
  EXPECT_THAT(cli.run({"swarm", "unlock"}, "x\n").err, HasSubstr("swarm is not locked"));
  agent.info.set_swarm_state("inactive");
  EXPECT_THAT(cli.run({"swarm", "unlock"}, "x\n").err,
              HasSubstr("This node is not part of a swarm"));
  agent.info.set_swarm_state("locked");
  const auto done = cli.run({"swarm", "unlock"}, "SWMKEY-1-abc\n");
  EXPECT_EQ(done.exit_code, 0) << done.err;
  EXPECT_EQ(unlocked_with, "SWMKEY-1-abc");
}

TEST_F(SwarmAdmin, CaPrintsTheRootAndFollowsARotation) {
  EXPECT_EQ(cli.run({"swarm", "ca"}).out, "-----BEGIN CERTIFICATE-----\n");
  EXPECT_EQ(cli.run({"swarm", "ca", "-d"}).exit_code, kExitUsage);
  EXPECT_EQ(cli.run({"swarm", "ca", "--rotate", "--ca-cert", "/x"}).exit_code, kExitUsage);
  auto done = cli.run({"swarm", "ca", "--rotate"});
  EXPECT_EQ(done.exit_code, 0) << done.err;
  EXPECT_THAT(done.out, HasSubstr("desired root digest: sha256:d1ce\n"));
  EXPECT_THAT(done.out, HasSubstr("rotated TLS certificates:  1/2 nodes"));
  EXPECT_THAT(done.out, HasSubstr("waiting for beta (down)"));
  EXPECT_THAT(done.out,
              HasSubstr("rotated CA certificates:   2/2 nodes\n\n-----BEGIN CERTIFICATE-----\n"));
  EXPECT_EQ(cli.run({"swarm", "ca", "--rotate", "-q"}).out, "");
  EXPECT_EQ(cli.run({"swarm", "ca", "--rotate", "--detach"}).out,
            "desired root digest: sha256:d1ce\n");
}

TEST_F(SwarmAdmin, ARotationMayBringTheLifeOfCertificatesInOneCall) {
  EXPECT_EQ(cli.run({"swarm", "ca", "--rotate", "--cert-expiry", "720h", "-q"}).exit_code, 0);
  EXPECT_EQ(root_request.certificate_lifetime(), Duration(std::chrono::hours(720)).count());
  EXPECT_EQ(updates, 0) << "whole or not at all";
  EXPECT_EQ(cli.run({"swarm", "ca", "--rotate", "-q"}).exit_code, 0);
  EXPECT_EQ(root_request.certificate_lifetime(), 0);
}

TEST_F(SwarmAdmin, AnEmptyRootIsNoWishForANewOne) {
  std::string dir = "/tmp/skep-ca-XXXXXX";
  ASSERT_NE(::mkdtemp(dir.data()), nullptr);
  const auto file = [&](const char* name, const char* text) {
    const std::string path = dir + "/" + name;
    EXPECT_TRUE(cli.disk.write_file_atomic(path, text, 0600));
    return path;
  };
  const std::string pem = file("pem", "-----BEGIN X-----\n");
  for (const std::string& empty : {file("empty", ""), file("blank", " \n\n"), std::string()}) {
    auto done = cli.run({"swarm", "ca", "--rotate", "--ca-cert", empty, "--ca-key", pem});
    EXPECT_EQ(done.exit_code, kExitUsage) << done.err;
    EXPECT_THAT(done.err, HasSubstr("--ca-cert: "));
    done = cli.run({"swarm", "ca", "--rotate", "--ca-cert", pem, "--ca-key", empty});
    EXPECT_EQ(done.exit_code, kExitUsage) << done.err;
    EXPECT_THAT(done.err, HasSubstr("--ca-key: "));
  }
  EXPECT_EQ(rotations, 0);
  EXPECT_EQ(cli.run({"swarm", "ca", "--rotate", "-q", "--ca-cert", pem, "--ca-key", pem}).exit_code, 0);
  EXPECT_EQ(root_request.key(), "-----BEGIN X-----\n");
  EXPECT_TRUE(cli.disk.remove_tree(dir));
}

TEST_F(SwarmAdmin, ExternalCasAreReadAsDockerDoes) {
  std::string dir = "/tmp/skep-ca-XXXXXX";
  ASSERT_NE(::mkdtemp(dir.data()), nullptr);
  const std::string pem = dir + "/pem";
  const std::string root = "-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----\n";
  ASSERT_TRUE(cli.disk.write_file_atomic(pem, root, 0600));
  auto done = cli.run({"swarm", "update", "--external-ca", "Protocol=CFSSL,url=https://one:8888/sign,label=a,\"note=b,c\"",
                       "--external-ca", "protocol=cfssl,url=https://[fd00::1]/,cacert=" + pem});
  EXPECT_EQ(done.exit_code, 0) << done.err;
  ASSERT_EQ(cluster.spec().external_cas_size(), 2);
  EXPECT_EQ(cluster.spec().external_cas(0).protocol(), "cfssl");
  EXPECT_EQ(cluster.spec().external_cas(0).url(), "https://one:8888/sign");
  EXPECT_EQ(cluster.spec().external_cas(0).options().at("label"), "a");
  EXPECT_EQ(cluster.spec().external_cas(0).options().at("note"), "b,c");
  EXPECT_EQ(cluster.spec().external_cas(0).certificate(), "");
  EXPECT_EQ(cluster.spec().external_cas(1).certificate(), root);
  EXPECT_EQ(cli.run({"swarm", "update", "--external-ca", "protocol=cfssl,url=https://two/"}).exit_code, 0);
  ASSERT_EQ(cluster.spec().external_cas_size(), 1) << "the list is replaced";
  EXPECT_EQ(cli.run({"swarm", "update", "--task-history-limit", "3"}).exit_code, 0);
  EXPECT_EQ(cluster.spec().external_cas_size(), 1) << "and stays";
  EXPECT_EQ(cli.run({"swarm", "update", "--external-ca", ""}).exit_code, 0);
  EXPECT_EQ(cluster.spec().external_cas_size(), 0);

  const std::vector<std::pair<std::string, std::string>> refused = {
      {"", "is no KEY=VALUE"},
      {"cfssl", "'cfssl' is no KEY=VALUE"},
      {"url=https://one/", "protocol= is missing"},
      {"protocol=cfssl", "url= is missing"},
      {"protocol=acme,url=https://one/", "'acme' is not a protocol"},
      {"protocol=cfssl,url=http://one/", "does not begin with https://"},
      {"protocol=cfssl,url=https://", "the host is missing"},
      {"protocol=cfssl,url=https://u:p@one/", "user or password"},
      {"protocol=cfssl,url=https://one:x/", "the port"},
      {"protocol=cfssl,url=https://one/,cacert=", "cacert names no file"},
      {"protocol=cfssl,url=https://one/,cacert=/no/such", "/no/such"},
      {"protocol=cfssl,url=https://one/,cacert=/proc/self/cmdline", "no certificate in PEM"}};
  for (const auto& [text, why] : refused) {
    done = cli.run({"swarm", "ca", "--rotate", "--ca-cert", pem, "--external-ca", text});
    EXPECT_NE(done.exit_code, 0) << text;
    EXPECT_THAT(done.err, HasSubstr(why)) << text;
  }
  EXPECT_NE(cli.run({"swarm", "init", "--external-ca", "protocol=cfssl,url=ftp://x"}).exit_code, 0);
  EXPECT_THAT(cli.run({"swarm", "ca", "--external-ca", "protocol=cfssl,url=https://one/"}).err, HasSubstr("--rotate"));
  EXPECT_THAT(cli.run({"swarm", "ca", "--rotate", "--external-ca", "protocol=cfssl,url=https://one/"}).err, HasSubstr("--external-ca demands --ca-cert"));
  EXPECT_THAT(cli.run({"swarm", "ca", "--rotate", "--ca-cert", pem}).err, HasSubstr("--ca-cert demands --ca-key, or --external-ca"));
  EXPECT_THAT(cli.run({"swarm", "ca", "--rotate", "--ca-key", pem}).err, HasSubstr("--ca-key demands --ca-cert"));
  EXPECT_EQ(rotations, 0);
  done = cli.run({"swarm", "ca", "--rotate", "-q", "--ca-cert", pem, "--external-ca", "protocol=cfssl,url=https://one/"});
  EXPECT_EQ(done.exit_code, 0) << done.err;
  EXPECT_EQ(root_request.certificate(), root);
  EXPECT_EQ(root_request.key(), "");
  ASSERT_EQ(root_request.external_cas_size(), 1);
  EXPECT_EQ(cli.run({"swarm", "init", "--external-ca", "protocol=cfssl,url=https://one/"}).exit_code, 0);
  EXPECT_EQ(agent.init_request.spec().external_cas(0).url(), "https://one/");
  EXPECT_TRUE(cli.disk.remove_tree(dir));
}

}  // namespace
}  // namespace skep::ctl
