// The store against a real docker-registry: credentials, TLS, mirrors, lists of platforms, damage.
#include <thread>

#include "plugins/runtime/oci/images/digest.h"
#include "plugins/runtime/oci/images/testing_store.h"

namespace skep::oci {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::make_image;
using testing::must_run;
using testing::read_file;
using testing::Registry;

class ROOT_ImageRegistry : public testing::StoreTest {
 protected:
  /// Everybody's registry, without TLS and credentials.
  Registry& plain() {
    if (plain_ == nullptr) {
      plain_ = std::make_unique<Registry>(real_, at("registry"));
    }
    return *plain_;
  }
  std::string push(Registry& registry, const std::string& name,
                   std::vector<std::string> options = {}) {
    std::string image = registry.host() + "/" + name;
    options.push_back("docker://" + image);
    make_image(options);
    return image;
  }
  std::string text_of(const std::string& image) {
    const auto resolved = store_->resolve(image);
    EXPECT_TRUE(resolved) << resolved.error().message;
    return resolved ? read_file(resolved->layer_dirs.at(1) + "/www/text") : "";
  }
  void expect_error(const std::string& image, const std::string& auth, Code code,
                    const std::string& says) {
    const auto pulled = pull(image, auth);
    ASSERT_FALSE(pulled) << image;
    EXPECT_EQ(pulled.error().code, code) << pulled.error().message;
    EXPECT_THAT(pulled.error().message, HasSubstr(says));
  }
  /// No file below the store holds this text.
  void expect_nowhere(const std::string& secret) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(at("store"))) {
      if (entry.is_regular_file() && !entry.is_symlink()) {
        EXPECT_THAT(read_file(entry.path()), ::testing::Not(HasSubstr(secret))) << entry.path();
      }
    }
  }

  std::unique_ptr<Registry> plain_;
};

TEST_F(ROOT_ImageRegistry, PullsWithHealthCheckAndRemembersTheDigest) {
  const std::string name = push(plain(), "web:1");
  const runtime::v1::Image image = must_pull(name);
  EXPECT_THAT(image.tags(), ElementsAre(name));
  ASSERT_EQ(image.digests_size(), 1);
  EXPECT_THAT(image.health_check().test(), ElementsAre("CMD", "/bin/health"));
  EXPECT_EQ(text_of(name), "v1\n");
  EXPECT_EQ(lines_with("fetching"), 2U);

  must_pull(name);
  EXPECT_EQ(lines_with("fetching") + lines_with("unpacking"), 0U) << "it is here already";

  plain().stop();
  EXPECT_EQ(must_pull(image.digests(0)).id(), image.id()) << "a digest needs no registry";
  expect_error(name, "", Code::kUnavailable, "does not answer");
  EXPECT_TRUE(store_->resolve(name)) << "what was pulled is still there";
}

TEST_F(ROOT_ImageRegistry, ATagBesideADigestIsARemark) {
  const std::string name = push(plain(), "web:1");
  const std::string digest = digest_of(must_run(
      {"skopeo", "inspect", "--raw", "--tls-verify=false", "docker://" + name}));
  const std::string pinned = name + "@" + digest;
  const runtime::v1::Image image = must_pull(pinned);
  EXPECT_EQ(image.tags_size(), 0);
  EXPECT_THAT(image.digests(), ElementsAre(plain().host() + "/web@" + digest));
  EXPECT_TRUE(store_->resolve(pinned));
  EXPECT_FALSE(store_->resolve(name)) << "nobody pulled the tag";
}

TEST_F(ROOT_ImageRegistry, AMovedTagFetchesOnlyWhatIsNew) {
  const std::string name = push(plain(), "web:1");
  const std::string before = must_pull(name).id();
  push(plain(), "web:1", {"-x", "v2"});
  const std::string after = must_pull(name).id();
  EXPECT_NE(before, after);
  EXPECT_EQ(lines_with("unpacking"), 1U);
  EXPECT_EQ(text_of(name), "v2\n");
  EXPECT_EQ(text_of(before), "v1\n");
  EXPECT_EQ(count_in("store/tmp"), 0U);
}

TEST_F(ROOT_ImageRegistry, CredentialsOpenARegistry) {
  std::filesystem::create_directories(at("private"));
  std::ofstream(at("private/htpasswd"))
      << must_run({"htpasswd", "-nbB", "-C", "4", "me", "secret-word"});
  Registry registry(real_, at("private"), "",
                    "auth:\n  htpasswd: {realm: test, path: " + at("private/htpasswd") + "}\n");
  const std::string name = registry.host() + "/web:1";
  make_image({"dir:" + at("image")});
  must_run({"skopeo", "--insecure-policy", "copy", "-q", "--dest-tls-verify=false", "--dest-creds",
            "me:secret-word", "dir:" + at("image"), "docker://" + name});

  expect_error(name, "", Code::kUnauthenticated, "agentctl login " + registry.host());
  expect_error(name, auth("me", "wrong-word"), Code::kUnauthenticated, "--with-registry-auth");
  expect_error(name, "not base64!", Code::kInvalidArgument, "agentctl login");
  expect_nowhere("wrong-word");
  EXPECT_FALSE(store_->resolve(name));

  EXPECT_THAT(must_pull(name, auth("me", "secret-word")).tags(), ElementsAre(name));
  EXPECT_EQ(text_of(name), "v1\n");
  expect_nowhere("secret-word");
  expect_nowhere(base64_encode("me:secret-word"));
}

TEST_F(ROOT_ImageRegistry, OwnCaWorksThroughCertsD) {
  must_run({"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
            "-nodes", "-days", "2", "-subj", "/CN=test CA", "-addext",
            "subjectAltName=IP:127.0.0.1", "-keyout", at("key.pem"), "-out", at("ca.pem")});
  must_run({"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
            "-nodes", "-days", "2", "-subj", "/CN=other CA", "-keyout", at("other.key"), "-out",
            at("other.pem")});
  Registry registry(real_, at("tls"),
                    "  tls: {certificate: " + at("ca.pem") + ", key: " + at("key.pem") + "}\n");
  const std::string name = push(registry, "web:1");
  const std::string certs = at("certs.d/" + registry.host());
  std::filesystem::create_directories(certs);

  std::filesystem::copy_file(at("other.pem"), certs + "/ca.crt");
  expect_error(name, "", Code::kFailedPrecondition, certs + "/ca.crt");
  std::filesystem::copy_file(at("ca.pem"), certs + "/ca.crt",
                             std::filesystem::copy_options::overwrite_existing);
  EXPECT_THAT(must_pull(name).tags(), ElementsAre(name));
  EXPECT_EQ(text_of(name), "v1\n");
}

TEST_F(ROOT_ImageRegistry, CertificatesForARegistryForbidPlainHttp) {
  const std::string name = push(plain(), "web:1");
  std::filesystem::create_directories(at("certs.d/" + plain().host()));
  expect_error(name, "", Code::kFailedPrecondition, "no TLS");
}

TEST_F(ROOT_ImageRegistry, SaysWhatIsMissing) {
  const std::string name = push(plain(), "web:1");
  expect_error(plain().host() + "/web:9", "", Code::kNotFound, "web:9");
  expect_error(plain().host() + "/nothing:1", "", Code::kNotFound, "nothing:1");
  expect_error(plain().host() + "/web@sha256:" + std::string(64, '0'), "", Code::kNotFound,
               "sha256:0000");
  expect_error("127.0.0.1:" + std::to_string(testing::free_port()) + "/web:1", "",
               Code::kUnavailable, "does not answer");
  expect_error("registry.invalid/web:1", "", Code::kUnavailable, "does not answer");
  expect_error("Bad Name", "", Code::kInvalidArgument, "Bad Name");
}

TEST_F(ROOT_ImageRegistry, MirrorsAreAskedFirst) {
  push(plain(), "library/web:1");
  options_.mirrors["docker.io"] = {"127.0.0.1:" + std::to_string(testing::free_port()),
                                   plain().host()};
  open();
  EXPECT_THAT(must_pull("web:1").tags(), ElementsAre("web:1"));
  EXPECT_EQ(text_of("web:1"), "v1\n");
}

TEST_F(ROOT_ImageRegistry, TheDefaultRegistryNamesBareImages) {
  push(plain(), "web:1");
  options_.default_domain = plain().host();
  open();
  EXPECT_THAT(must_pull("web:1").tags(), ElementsAre("web:1"));
  EXPECT_TRUE(store_->resolve(plain().host() + "/web:1"));
}

TEST_F(ROOT_ImageRegistry, AListGivesThisPlatform) {
  push(plain(), "web:amd64");
  push(plain(), "web:arm64", {"-a", "arm64", "-x", "arm"});
  std::string entries;
  for (const std::string& architecture : {std::string("arm64"), std::string("amd64")}) {
    const std::string raw = must_run({"skopeo", "inspect", "--raw", "--tls-verify=false",
                                      "docker://" + plain().host() + "/web:" + architecture});
    entries += std::string(entries.empty() ? "" : ",") +
               R"({"mediaType":"application/vnd.docker.distribution.manifest.v2+json","digest":")" +
               digest_of(raw) + R"(","size":)" + std::to_string(raw.size()) +
               R"(,"platform":{"os":"linux","architecture":")" + architecture + R"("}})";
  }
  const std::string type = "application/vnd.docker.distribution.manifest.list.v2+json";
  std::ofstream(at("list.json")) << R"({"schemaVersion":2,"mediaType":")" << type
                                 << R"(","manifests":[)" << entries << "]}";
  must_run({"curl", "-sf", "-X", "PUT", "-H", "Content-Type: " + type, "--data-binary",
            "@" + at("list.json"), "http://" + plain().host() + "/v2/web/manifests/all"});

  const std::string name = plain().host() + "/web:all";
  const runtime::v1::Image image = must_pull(name);
  EXPECT_EQ(image.architecture(), "amd64");
  EXPECT_EQ(text_of(name), "v1\n");
  ASSERT_EQ(image.digests_size(), 1);
  EXPECT_THAT(image.digests(0), HasSubstr(digest_of(read_file(at("list.json")))))
      << "the list's digest, as Docker does";
  EXPECT_EQ(must_pull(image.digests(0)).id(), image.id());
  options_.architecture = "s390x";
  open();
  expect_error(name, "", Code::kNotFound, "linux/arm64");
}

TEST_F(ROOT_ImageRegistry, DamagedBlobsNeverBecomeLayers) {
  const std::string name = push(plain(), "web:1");
  for (const auto& entry : std::filesystem::recursive_directory_iterator(plain().storage())) {
    if (entry.is_regular_file() && entry.path().filename() == "data" &&
        entry.file_size() > 100'000) {
      std::fstream blob(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
      blob.seekp(50'000);
      blob << "damaged";
    }
  }
  expect_error(name, "", Code::kDataLoss, "damaged");
  EXPECT_EQ(count_in("store/layers/sha256"), 0U);
  EXPECT_FALSE(store_->resolve(name));
}

TEST_F(ROOT_ImageRegistry, ManyPullsAtOnceShareTheWork) {
  const std::string one = push(plain(), "web:1");
  const std::string two = push(plain(), "other:1", {"-x", "v2"});
  const std::string three = push(plain(), "third:1", {"-x", "v3"});
  std::vector<std::thread> threads;
  std::atomic<int> failures = 0;
  for (const std::string& name : {one, two, three, one, two, three}) {
    threads.emplace_back([&, name] {
      runtime::v1::PullRequest request;
      request.set_image(name);
      failures += store_->pull(request, {}).has_value() ? 0 : 1;
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(failures, 0);
  EXPECT_EQ(text_of(one), "v1\n");
  EXPECT_EQ(text_of(two), "v2\n");
  EXPECT_EQ(text_of(three), "v3\n");
  EXPECT_EQ(count_in("store/layers/sha256"), 4U);
}

TEST_F(ROOT_ImageRegistry, PullAndRemoveAtOnceNeverLeaveANameWithoutImage) {
  const std::string name = push(plain(), "web:1");
  std::atomic<bool> done = false;
  std::thread remover([&] {
    while (!done) {
      (void)store_->remove(name, RemoveMode::kForce, {});
    }
  });
  for (int i = 0; i < 5; ++i) {
    const auto pulled = pull(name);
    // The remover may win after the pull has named the image; half a state may not be seen.
    EXPECT_TRUE(pulled || pulled.error().code == Code::kNotFound) << pulled.error().message;
  }
  done = true;
  remover.join();
  must_pull(name);
  EXPECT_EQ(text_of(name), "v1\n");
}

TEST_F(ROOT_ImageRegistry, CancelEndsAPullThatHangs) {
  // A listener that never accepts: the kernel completes the connection, nobody answers.
  const OwnedFd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  ASSERT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(::listen(listener.get(), 16), 0);
  ::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size);
  const std::string name = "127.0.0.1:" + std::to_string(ntohs(address.sin_port)) + "/web:1";
  std::thread canceller([&] {
    pollfd connected{listener.get(), POLLIN, 0};
    EXPECT_EQ(::poll(&connected, 1, 30'000), 1) << "skopeo never came";
    store_->cancel_pulls();
  });
  expect_error(name, "", Code::kCancelled, "cancelled");
  canceller.join();
  expect_error(name, "", Code::kCancelled, "stopping");
}

TEST_F(ROOT_ImageRegistry, ADeadlineEndsAPullThatHangs) {
  const OwnedFd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  ASSERT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(::listen(listener.get(), 16), 0);
  ::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size);
  options_.pull_deadline = std::chrono::milliseconds(300);
  open();
  expect_error("127.0.0.1:" + std::to_string(ntohs(address.sin_port)) + "/web:1", "",
               Code::kTimeout, "in time");
}

}  // namespace
}  // namespace skep::oci
