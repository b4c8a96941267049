#include "core/model/validate.h"

#include <functional>

#include <gtest/gtest.h>

namespace skep::model {
namespace {

v1::ServiceSpec good() {
  v1::ServiceSpec spec;
  spec.set_name("web");
  spec.mutable_replicated()->set_replicas(3);
  spec.mutable_task()->mutable_container()->set_image("busybox");
  return spec;
}

struct Bad {
  const char* what;
  std::function<void(v1::ServiceSpec&)> change;
  const char* message;
};

TEST(Validate, AcceptsAPlainService) {
  EXPECT_TRUE(validate_service_spec(good()));
}

TEST(Validate, SaysWhatIsWrongWithAService) {
  const Bad cases[] = {
      {"name", [](auto& s) { s.set_name("a b"); }, "service name 'a b' is invalid"},
      {"mode", [](auto& s) { s.clear_mode(); }, "service mode is missing"},
      {"image", [](auto& s) { s.mutable_task()->mutable_container()->clear_image(); },
       "image is missing"},
      {"reference", [](auto& s) { s.mutable_task()->mutable_container()->set_image("A"); },
       "image reference 'A' is invalid"},
      {"cpu",
       [](auto& s) {
         s.mutable_task()->mutable_resources()->mutable_reservations()->set_nano_cpus(10);
       },
       "invalid cpu value for reservation"},
      {"memory",
       [](auto& s) {
         s.mutable_task()->mutable_resources()->mutable_limits()->set_memory_bytes(100);
       },
       "must be at least 4MiB"},
      {"constraint",
       [](auto& s) { s.mutable_task()->mutable_placement()->add_constraints("zone==x"); },
       "key 'zone' is unknown"},
      {"preference",
       [](auto& s) {
         s.mutable_task()->mutable_placement()->add_preferences()->set_spread_by("node.id");
       },
       "placement preference 'node.id' is invalid"},
      {"delay", [](auto& s) { s.mutable_task()->mutable_restart()->set_delay(-1); },
       "restart-delay cannot be negative"},
      {"ratio", [](auto& s) { s.mutable_update()->set_max_failure_ratio(1.5F); },
       "update-max-failure-ratio"},
      {"rollback",
       [](auto& s) { s.mutable_rollback()->set_failure_action(v1::UpdateConfig::ROLLBACK); },
       "rollback-failure-action cannot be rollback"},
      {"port", [](auto& s) { s.mutable_endpoint()->add_ports()->set_target_port(70000); },
       "target port 70000 is invalid"},
      {"twice",
       [](auto& s) {
         for (int i = 0; i < 2; ++i) {
           auto* port = s.mutable_endpoint()->add_ports();
           port->set_target_port(80);
           port->set_published_port(8080);
         }
       },
       "published port 8080/tcp is given twice"},
      {"dnsrr",
       [](auto& s) {
         s.mutable_endpoint()->set_mode(v1::EndpointSpec::DNSRR);
         s.mutable_endpoint()->add_ports()->set_target_port(80);
       },
       "can't be used with dnsrr"},
      {"mount",
       [](auto& s) {
         for (const char* target : {"/data", "/data/"}) {
           s.mutable_task()->mutable_container()->add_mounts()->set_target(target);
         }
       },
       "duplicate mount point"},
      {"bind",
       [](auto& s) {
         auto* mount = s.mutable_task()->mutable_container()->add_mounts();
         mount->set_type(v1::Mount::BIND);
         mount->set_target("/data");
         mount->set_source("relative");
       },
       "must be an absolute path"},
      {"dns", [](auto& s) { s.mutable_task()->mutable_container()->add_dns_servers("x"); },
       "DNS server 'x' is not an IP address"},
      {"host", [](auto& s) { s.mutable_task()->mutable_container()->add_hosts("y x"); },
       "'y' is not an IP address"},
      {"env", [](auto& s) { s.mutable_task()->mutable_container()->add_env("=x"); },
       "write NAME=VALUE"},
      {"signal", [](auto& s) { s.mutable_task()->mutable_container()->set_stop_signal("SIGFOO"); },
       "stop signal 'SIGFOO' is unknown: use a number from 1 to 64, RTMIN+n, RTMAX-n or one of "
       "HUP, INT,"},
      {"cap-add",
       [](auto& s) { s.mutable_task()->mutable_container()->add_capability_add("CAP_NET_ADMN"); },
       "WAKE_ALARM; did you mean 'NET_ADMIN'?"},
      {"cap-drop",
       [](auto& s) { s.mutable_task()->mutable_container()->add_capability_drop("FOO"); },
       "capability 'FOO' is unknown: use ALL or one of capabilities(7), AUDIT_CONTROL,"},
      {"ulimit",
       [](auto& s) { s.mutable_task()->mutable_container()->add_ulimits()->set_name("foo"); },
       "ulimit 'foo' is unknown: use one of as, core, cpu, data,"},
      {"sysctl",
       [](auto& s) { (*s.mutable_task()->mutable_container()->mutable_sysctls())["foo"] = "1"; },
       "sysctl 'foo' cannot be set for a container: write KEY=VALUE with a key of net.*, "
       "fs.mqueue.*, kernel.msgmax,"},
      {"value",
       [](auto& s) { (*s.mutable_task()->mutable_container()->mutable_sysctls())["net.a"] = ""; },
       "sysctl 'net.a' has no value: write KEY=VALUE"},
      {"node's own sysctl",
       [](auto& s) {
         (*s.mutable_task()->mutable_container()->mutable_sysctls())["net.a"] = "1";
         s.mutable_task()->add_networks()->set_target("host");
       },
       "sysctl 'net.a' would change the node itself on the network 'host'"},
      {"hostname",
       [](auto& s) { s.mutable_task()->mutable_container()->set_hostname(std::string(65, 'h')); },
       "is too long: use at most 64 characters"},
  };
  for (const Bad& bad : cases) {
    v1::ServiceSpec spec = good();
    bad.change(spec);
    const auto status = validate_service_spec(spec);
    ASSERT_FALSE(status) << bad.what;
    EXPECT_EQ(status.error().code, Code::kInvalidArgument);
    EXPECT_NE(status.error().message.find(bad.message), std::string::npos)
        << status.error().message;
  }
}

TEST(Validate, PlaceholdersOfAMountAreJudgedByWhatSurroundsThem) {
  const auto with_source = [](const char* source) {
    v1::ServiceSpec spec = good();
    auto& mount = *spec.mutable_task()->mutable_container()->add_mounts();
    mount.set_target("/data");
    mount.set_source(source);
    return validate_service_spec(spec);
  };
  EXPECT_TRUE(with_source("data-{{.Task.Slot}}"));
  EXPECT_TRUE(with_source("{{.Service.Name}}"));
  EXPECT_TRUE(with_source(R"({{index .Service.Labels "a b"}}.x)"));
  EXPECT_FALSE(with_source("a/{{.Task.Slot}}"));
  EXPECT_FALSE(with_source("data-{{.Task.Slot"));
}

TEST(Validate, LogDriversThatAreNotThereAreNotIgnored) {
  v1::ServiceSpec spec = good();
  spec.mutable_task()->mutable_log_driver()->set_name("json-file");
  EXPECT_TRUE(validate_service_spec(spec));
  spec.mutable_task()->mutable_log_driver()->set_name("syslog");
  const auto unknown = validate_service_spec(spec);
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, Code::kUnimplemented);
  EXPECT_NE(unknown.error().message.find("log driver 'syslog' is not there"), std::string::npos);
  spec.mutable_task()->mutable_log_driver()->clear_name();
  (*spec.mutable_task()->mutable_log_driver()->mutable_options())["max-size"] = "1m";
  EXPECT_EQ(validate_service_spec(spec).error().code, Code::kUnimplemented);
}

TEST(Validate, ProcessRuntimeNeedsACommandInsteadOfAnImage) {
  v1::ServiceSpec spec = good();
  spec.mutable_task()->set_runtime("process");
  spec.mutable_task()->mutable_container()->clear_image();
  EXPECT_FALSE(validate_service_spec(spec));
  spec.mutable_task()->mutable_container()->add_command("/bin/true");
  EXPECT_TRUE(validate_service_spec(spec));
}

TEST(Validate, NameAndModeCannotChange) {
  v1::ServiceSpec to = good();
  to.set_name("other");
  EXPECT_EQ(validate_service_change(good(), to).error().code, Code::kUnimplemented);
  to = good();
  to.mutable_global();
  EXPECT_EQ(validate_service_change(good(), to).error().code, Code::kUnimplemented);
}

TEST(Validate, OnlyWhatATaskFeelsNeedsNewTasks) {
  v1::ServiceSpec to = good();
  to.mutable_replicated()->set_replicas(9);
  (*to.mutable_labels())["a"] = "b";
  to.mutable_task()->mutable_placement()->add_constraints("node.role==worker");
  to.mutable_task()->mutable_restart()->set_delay(1);
  to.mutable_task()->mutable_container()->set_registry_auth("x");
  to.mutable_task()->set_runtime("oci");
  EXPECT_FALSE(needs_new_tasks(good(), to));
  v1::ServiceSpec forced = good();
  forced.mutable_task()->set_force_update(1);
  EXPECT_TRUE(needs_new_tasks(good(), forced));
  v1::ServiceSpec image = good();
  image.mutable_task()->mutable_container()->set_image("busybox:2");
  EXPECT_TRUE(needs_new_tasks(good(), image));
  v1::ServiceSpec port = good();
  auto* published = port.mutable_endpoint()->add_ports();
  published->set_target_port(80);
  EXPECT_FALSE(needs_new_tasks(good(), port));
  published->set_mode(v1::PublishedPort::HOST);
  EXPECT_TRUE(needs_new_tasks(good(), port));
}

TEST(Validate, SecretsAreBounded) {
  v1::SecretSpec spec;
  spec.set_name("key");
  EXPECT_FALSE(validate_secret_spec(spec, "secret"));
  spec.set_data(std::string(500 * 1024, 'x'));
  EXPECT_FALSE(validate_secret_spec(spec, "secret"));
  EXPECT_TRUE(validate_secret_spec(spec, "config"));
}

TEST(Validate, SettingsOfASwarmHaveBounds) {
  const auto why = [](auto change) {
    v1::ClusterSpec spec;
    change(spec);
    const auto status = validate_cluster_spec(spec);
    return status ? std::string() : status.error().message;
  };
  constexpr std::int64_t kSecond = 1'000'000'000;
  EXPECT_EQ(why([](auto&) {}), "");
  for (const std::int64_t good : {kSecond, 3600 * kSecond}) {
    EXPECT_EQ(why([&](auto& s) { s.set_heartbeat_period(good); }), "");
  }
  for (const std::int64_t bad : {-kSecond, kSecond - 1, 3600 * kSecond + 1}) {
    EXPECT_EQ(why([&](auto& s) { s.set_heartbeat_period(bad); }),
              "dispatcher-heartbeat is out of range: use 1s to 1h");
  }
  constexpr std::int64_t kYears20 = 20 * 365 * 24 * 3600 * kSecond;
  EXPECT_EQ(why([](auto& s) { s.set_certificate_expiry(kYears20); }), "");
  EXPECT_EQ(why([](auto& s) { s.set_certificate_expiry(kYears20 + 1); }),
            "cert-expiry is too long: the maximum is 175200h, 20 years");
  EXPECT_EQ(why([](auto& s) { s.set_certificate_expiry(-1); }), "cert-expiry is too short: the minimum is 1h");
  EXPECT_EQ(why([](auto& s) { s.set_snapshot_interval(1); }), "");
  EXPECT_EQ(why([](auto& s) { s.set_snapshot_interval(1'000'001); }),
            "snapshot-interval is out of range: use 1 to 1000000");
  EXPECT_EQ(why([](auto& s) { s.set_snapshots_kept(1'001); }), "max-snapshots is out of range: use 0 to 1000");
}

}  // namespace
}  // namespace skep::model
