#include "plugins/runtime/oci/container/spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "plugins/runtime/oci/container/name_files.h"
#include "plugins/runtime/oci/container/overlay.h"
#include "plugins/runtime/oci/container/record.h"
#include "plugins/runtime/oci/container/seccomp.h"

namespace skep::oci {
namespace {

namespace json = boost::json;

class Spec : public ::testing::Test {
 protected:
  Spec() {
    machine.seccomp = false;  // has its own test; 400 names would hide the rest
    request.set_container_id("0123456789abcdef");
    request.mutable_spec()->add_command("serve");
    request.set_sandbox("/run/netns/task");
  }
  Result<std::string> build() {
    return build_spec({.request = request,
                       .image = image,
                       .user = user,
                       .machine = machine,
                       .rootfs_path = "/run/skep/rootfs",
                       .cgroups_path = "/skep-i/oci/0123456789abcdef",
                       .hostname = "h1",
                       .hosts_path = "/b/hosts",
                       .resolv_path = "/b/resolv.conf",
                       .hostname_path = "/b/hostname"});
  }
  json::value built() {
    const auto text = build();
    EXPECT_TRUE(text) << text.error().message;
    return text ? json::parse(*text) : json::value();
  }
  std::string reason() {
    const auto text = build();
    return text ? "built" : text.error().reason;
  }
  static std::vector<std::string> targets(const json::value& config) {
    std::vector<std::string> out;
    for (const json::value& mount : config.at("mounts").as_array()) {
      out.emplace_back(mount.at("destination").as_string());
    }
    return out;
  }
  static const json::value* mount_at(const json::value& config, std::string_view target) {
    for (const json::value& mount : config.at("mounts").as_array()) {
      if (mount.at("destination").as_string() == target) {
        return &mount;
      }
    }
    return nullptr;
  }
  runtime::v1::CreateRequest request;
  runtime::v1::Image image;
  User user;
  Machine machine;
};

/// SKEP_UPDATE_GOLDEN=1 writes the file anew; look at the difference before you commit it.
TEST_F(Spec, GoldenDefault) {
  const std::string path = std::string(SKEP_SOURCE_DIR) +
                           "/plugins/runtime/oci/container/testdata/default_config.json";
  const json::value config = built();
  if (std::getenv("SKEP_UPDATE_GOLDEN") != nullptr) {
    std::ofstream(path) << json::serialize(config) << "\n";
  }
  std::ifstream file(path);
  std::ostringstream golden;
  golden << file.rdbuf();
  EXPECT_EQ(config, json::parse(golden.str())) << json::serialize(config);
}

TEST_F(Spec, BindsAndTmpfsInOrderOfDepth) {
  const auto bind = [this](const char* source, const char* target) {
    auto* mount = request.add_binds();
    mount->set_source(source);
    mount->set_target(target);
    return mount;
  };
  bind("/v/cache", "/data/cache/")->set_read_only(true);
  bind("/v/data", "/data");
  bind("/v/shm", "/dev/shm")->set_propagation("shared");
  auto* tmpfs = request.add_tmpfs();
  tmpfs->set_target("/scratch");
  tmpfs->set_tmpfs_size_bytes(4096);
  tmpfs->set_tmpfs_mode(0700);
  const json::value config = built();
  EXPECT_THAT(targets(config),
              ::testing::ElementsAre("/proc", "/dev", "/dev/pts", "/sys", "/sys/fs/cgroup",
                                     "/dev/mqueue", "/data", "/scratch", "/data/cache", "/dev/shm",
                                     "/etc/resolv.conf", "/etc/hostname", "/etc/hosts"));
  EXPECT_EQ(mount_at(config, "/data/cache")->at("options"),
            json::parse(R"(["rbind","rprivate","ro","rro"])"));
  EXPECT_EQ(mount_at(config, "/scratch")->at("options"),
            json::parse(R"(["nosuid","nodev","noexec","mode=700","size=4096"])"));
  EXPECT_EQ(config.at("linux").at("rootfsPropagation").as_string(), "rshared");
}

TEST_F(Spec, BadMountsAreRefused) {
  for (const char* target : {"", "data", "/", "/.", "/a/../b"}) {
    request.clear_binds();
    auto* mount = request.add_binds();
    mount->set_source("/v");
    mount->set_target(target);
    EXPECT_EQ(reason(), "BAD_MOUNT") << target;
  }
  request.mutable_binds(0)->set_target("/ok");
  request.mutable_binds(0)->set_propagation("sideways");
  EXPECT_EQ(reason(), "BAD_MOUNT");
  request.mutable_binds(0)->clear_propagation();
  *request.add_binds() = request.binds(0);
  request.mutable_binds(1)->set_target("//ok/");
  EXPECT_EQ(reason(), "BAD_MOUNT") << "two on one target";
}

TEST_F(Spec, LimitsBecomeCgroupValues) {
  auto& resources = *request.mutable_resources();
  resources.mutable_limits()->set_memory_bytes(64 << 20);
  resources.mutable_limits()->set_nano_cpus(1'500'000'000);
  resources.mutable_limits()->set_pids(42);
  resources.mutable_reservations()->set_nano_cpus(500'000'000);
  resources.mutable_reservations()->set_memory_bytes(32 << 20);
  const json::value limits = built().at("linux").at("resources");
  EXPECT_EQ(limits.at("memory"),
            json::parse(R"({"reservation":33554432,"limit":67108864,"swap":134217728})"));
  EXPECT_EQ(limits.at("cpu"), json::parse(R"({"period":100000,"quota":150000,"shares":512})"));
  EXPECT_EQ(limits.at("pids"), json::parse(R"({"limit":42})"));
  resources.set_memory_swap_bytes(-1);
  EXPECT_EQ(built().at("linux").at("resources").at("memory").at("swap").as_int64(), -1);
  machine.limits.swap_accounting = false;
  EXPECT_FALSE(built().at("linux").at("resources").at("memory").as_object().contains("swap"));
  machine.limits.swap_accounting = true;
  resources.set_memory_swap_bytes(1 << 20);
  EXPECT_EQ(reason(), "BAD_RESOURCES");
  resources.set_memory_swap_bytes(0);
  resources.mutable_limits()->set_memory_bytes(1 << 20);
  EXPECT_EQ(reason(), "BAD_RESOURCES") << "below 6 MiB";
}

TEST_F(Spec, WrongFieldsAreNamed) {
  auto& spec = *request.mutable_spec();
  spec.set_directory("relative");
  EXPECT_EQ(reason(), "BAD_DIRECTORY");
  spec.clear_directory();
  spec.set_init(true);
  EXPECT_EQ(reason(), "INIT_MISSING");
  machine.init_path = "/usr/bin/catatonit";
  EXPECT_EQ(built().at("process").at("args"), json::parse(R"(["/dev/init","--","serve"])"));
  spec.set_init(false);
  (*spec.mutable_sysctls())["vm.swappiness"] = "1";
  EXPECT_EQ(reason(), "BAD_SYSCTL");
  spec.clear_sysctls();
  (*spec.mutable_sysctls())["net.core.somaxconn"] = "99";
  EXPECT_EQ(built().at("linux").at("sysctl"), json::parse(R"({"net.core.somaxconn":"99"})"));
  request.clear_sandbox();
  EXPECT_EQ(reason(), "BAD_SYSCTL") << "the node's own network";
  spec.clear_sysctls();
  auto* ulimit = spec.add_ulimits();
  ulimit->set_name("files");
  EXPECT_EQ(reason(), "BAD_ULIMIT");
  ulimit->set_name("nofile");
  ulimit->set_soft(-1);
  ulimit->set_hard(10);
  EXPECT_EQ(reason(), "BAD_ULIMIT");
  ulimit->set_hard(-1);
  EXPECT_EQ(built().at("process").at("rlimits").at(0).at("hard").to_number<std::uint64_t>(),
            ~std::uint64_t{0});
}

TEST_F(Spec, AUserWithoutRootKeepsOnlyTheBoundingSet) {
  user.uid = 1001;
  user.groups = {7};
  const json::value process = built().at("process");
  EXPECT_EQ(process.at("user"), json::parse(R"({"uid":1001,"gid":0,"additionalGids":[7]})"));
  EXPECT_TRUE(process.at("capabilities").as_object().contains("bounding"));
  EXPECT_FALSE(process.at("capabilities").as_object().contains("effective"));
}

TEST_F(Spec, ExecTakesTheContainersProcessWithChanges) {
  const std::string config = *build();
  const auto changed = build_exec_process(
      config, {.args = {"ls"}, .env = {"A=b"}, .directory = "/d", .user = {.uid = 5, .home = "/h"},
               .user_given = true, .tty = true});
  ASSERT_TRUE(changed);
  const json::value process = json::parse(*changed);
  EXPECT_EQ(process.at("args"), json::parse(R"(["ls"])"));
  EXPECT_EQ(process.at("cwd").as_string(), "/d");
  EXPECT_TRUE(process.at("terminal").as_bool());
  EXPECT_EQ(process.at("user").at("uid").as_int64(), 5);
  EXPECT_FALSE(process.at("capabilities").as_object().contains("effective"));
  const std::string env = json::serialize(process.at("env"));
  EXPECT_NE(env.find("HOME=/h"), std::string::npos);
  EXPECT_EQ(env.find("HOME=/\""), std::string::npos);
  EXPECT_EQ(build_exec_process("{", {.args = {"ls"}, .env = {}}).error().code, Code::kDataLoss);
}

TEST(Seccomp, FollowsCapabilitiesAndMachine) {
  const auto names = [](const std::vector<std::string>& capabilities, std::string_view machine) {
    return json::serialize(*seccomp_filter(default_seccomp_rules(), capabilities, machine));
  };
  const std::string plain = names({}, "x86_64");
  EXPECT_NE(plain.find("\"openat\""), std::string::npos);
  EXPECT_NE(plain.find("\"arch_prctl\""), std::string::npos);
  EXPECT_EQ(plain.find("\"mount\""), std::string::npos);
  EXPECT_EQ(plain.find("\"io_uring_setup\""), std::string::npos);
  EXPECT_EQ(plain.find("\"chroot\""), std::string::npos);
  EXPECT_NE(plain.find("SCMP_CMP_MASKED_EQ"), std::string::npos) << "clone without namespaces";
  const std::string admin = names({"CAP_SYS_ADMIN", "CAP_SYS_CHROOT"}, "x86_64");
  EXPECT_NE(admin.find("\"mount\""), std::string::npos);
  EXPECT_NE(admin.find("\"chroot\""), std::string::npos);
  EXPECT_EQ(admin.find("SCMP_CMP_MASKED_EQ"), std::string::npos);
  EXPECT_EQ(names({}, "aarch64").find("\"arch_prctl\""), std::string::npos);
  EXPECT_EQ(seccomp_filter("[sometimes]\nread\n", {}, "x86_64").error().code, Code::kInternal);
}

TEST(NameFiles, HostsAndResolv) {
  model::v1::ContainerSpec spec;
  spec.add_hosts("10.0.0.9 db  db.local");
  EXPECT_NE(hosts_text(spec, "h1")->find("10.0.0.9\tdb db.local\n"), std::string::npos);
  spec.add_hosts("only-one-word");
  EXPECT_EQ(hosts_text(spec, "h1").error().reason, "BAD_HOSTS");
  const std::string node = "# comment\nnameserver 1.1.1.1\nsearch corp\noptions ndots:2\n";
  EXPECT_EQ(resolv_text({}, node), "nameserver 1.1.1.1\nsearch corp\noptions ndots:2\n");
  model::v1::ContainerSpec own;
  own.add_dns_servers("9.9.9.9");
  own.add_dns_search(".");
  EXPECT_EQ(resolv_text(own, node), "options ndots:2\nnameserver 9.9.9.9\n");
}

TEST(Record, SurvivesTheDisk) {
  ContainerRecord record;
  record.id = "abc";
  record.name = "web.1.x";
  record.labels["k"] = "v \"quoted\"";
  record.command = {"sh", "-c", "echo"};
  record.state = runtime::v1::CONTAINER_STATE_EXITED;
  record.exit_code = 137;
  record.oom_killed = true;
  record.log_files_max = 3;
  const auto read = decode_record(encode_record(record));
  ASSERT_TRUE(read);
  EXPECT_EQ(encode_record(*read), encode_record(record));
  EXPECT_EQ(to_info(*read).exit().exit_code(), 137);
  for (const char* bad : {"", "{", "[]", "{}", "{\"id\":5}"}) {
    EXPECT_EQ(decode_record(bad).error().code, Code::kDataLoss) << bad;
  }
}

TEST(Overlay, FindsMountsBelowDeepestFirst) {
  const std::string mountinfo =
      "1 0 0:1 / / rw - ext4 x rw\n"
      "2 1 0:2 / /run/a rw - tmpfs x rw\n"
      "3 2 0:3 / /run/a/b\\040c rw - tmpfs x rw\n"
      "4 1 0:4 / /run/ab rw - tmpfs x rw\n";
  EXPECT_EQ(mounts_below(mountinfo, "/run/a"),
            (std::vector<std::string>{"/run/a/b c", "/run/a"}));
}

}  // namespace
}  // namespace skep::oci
