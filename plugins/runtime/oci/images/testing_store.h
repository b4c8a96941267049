#pragma once

// An image store in a scratch directory with the real Env, images from tests/lab/make-test-image,
// and a real docker-registry on a free port of 127.0.0.1.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "core/base/real_env.h"
#include "plugins/runtime/oci/images/image_store.h"
#include "plugins/runtime/oci/images/registry_auth.h"
#include "plugins/runtime/oci/images/testing_layer.h"

namespace skep::oci::testing {

/// Runs a program that must succeed and answers what it printed.
inline std::string must_run(const std::vector<std::string>& argv) {
  PosixSubprocess subprocess;
  const auto result = subprocess.run({argv}, std::chrono::seconds(60));
  EXPECT_TRUE(result) << argv[0] << ": " << result.error().message;
  EXPECT_EQ(result ? result->exit_code : -1, 0) << argv[0] << ": " << (result ? result->err : "");
  return result ? result->out : "";
}

/// make-test-image ARGUMENTS...
inline void make_image(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), std::string(SKEP_SOURCE_DIR) + "/tests/lab/make-test-image");
  must_run(arguments);
}

/// Binds port 0 to learn a free port; somebody else may take it, then the registry fails to start.
inline int free_port() {
  const OwnedFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  EXPECT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size);
  return ntohs(address.sin_port);
}

inline bool answers(int port) {
  const OwnedFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  return ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
}

/// docker-registry with `extra` lines in its configuration; ended by the destructor.
class Registry {
 public:
  Registry(base::RealEnv& real, const std::string& directory, const std::string& http_extra = "",
           const std::string& extra = "")
      : directory_(directory) {
    for (int attempt = 0; attempt < 5 && child_.pid == 0; ++attempt) {
      start(real, http_extra, extra);
    }
    EXPECT_NE(child_.pid, 0) << "docker-registry did not start";
  }
  ~Registry() { stop(); }
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;
  [[nodiscard]] std::string host() const { return "127.0.0.1:" + std::to_string(port_); }
  [[nodiscard]] std::string storage() const { return directory_ + "/storage"; }
  void stop() {
    if (child_.pid != 0) {
      ::kill(child_.pid, SIGKILL);
      ::waitpid(child_.pid, nullptr, 0);
      ::close(child_.pidfd);
      child_ = {};
    }
  }

 private:
  void start(base::RealEnv& real, const std::string& http_extra, const std::string& extra) {
    port_ = free_port();
    std::filesystem::create_directories(directory_);
    std::ofstream(directory_ + "/registry.yml")
        << "version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: " << storage()
        << "}, delete: {enabled: true}}\nhttp:\n  addr: " << host() << "\n"
        << http_extra << extra;
    auto child =
        real.subprocess.start({{"docker-registry", "serve", directory_ + "/registry.yml"}});
    ASSERT_TRUE(child) << child.error().message;
    child_ = *child;
    for (int tries = 0; tries < 1000 && !answers(port_); ++tries) {
      pollfd ended{child_.pidfd, POLLIN, 0};
      if (::poll(&ended, 1, 10) == 1) {  // it ended: the port was taken
        stop();
        return;
      }
    }
  }
  std::string directory_;
  int port_ = 0;
  Subprocess::Child child_;
};

class StoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    options_.directory = at("store");
    options_.certs_directory = at("certs.d");
    open();
  }
  void open() {
    auto opened = ImageStore::open(real_.env, options_);
    ASSERT_TRUE(opened) << opened.error().message;
    store_ = *std::move(opened);
  }
  [[nodiscard]] std::string at(const std::string& name) const {
    return scratch_.path() + "/" + name;
  }
  Result<runtime::v1::Image> pull(const std::string& image, const std::string& auth = "",
                                  const std::string& tag = "") {
    runtime::v1::PullRequest request;
    request.set_image(image);
    request.set_registry_auth(auth);
    request.set_tag(tag);
    lines_.clear();
    return store_->pull(request, [this](std::string_view line) { lines_.emplace_back(line); });
  }
  runtime::v1::Image must_pull(const std::string& image, const std::string& auth = "",
                               const std::string& tag = "") {
    auto pulled = pull(image, auth, tag);
    EXPECT_TRUE(pulled) << pulled.error().message;
    return pulled ? *pulled : runtime::v1::Image();
  }
  [[nodiscard]] std::size_t lines_with(const std::string& text) const {
    return static_cast<std::size_t>(std::count_if(
        lines_.begin(), lines_.end(),
        [&](const std::string& line) { return line.find(text) != std::string::npos; }));
  }
  [[nodiscard]] std::size_t count_in(const std::string& directory) const {
    return static_cast<std::size_t>(
        std::distance(std::filesystem::directory_iterator(at(directory)), {}));
  }
  static std::string auth(const std::string& user, const std::string& password) {
    return base64_encode("{\"username\":\"" + user + "\",\"password\":\"" + password + "\"}");
  }

  TempDirectory scratch_;
  base::RealEnv real_{1};  // its loop is never run, the store does not use it
  ImageStoreOptions options_;
  std::unique_ptr<ImageStore> store_;
  std::vector<std::string> lines_;
};

}  // namespace skep::oci::testing
