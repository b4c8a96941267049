#include "core/link/tcp_socket.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <optional>

#include "core/base/real_env.h"

namespace skep::link {
namespace {

using ::testing::HasSubstr;
using std::chrono::milliseconds;
using std::chrono::seconds;

class TcpConnectTest : public ::testing::Test, protected base::RealEnv {
 protected:
  TcpConnectTest() : RealEnv(1) {
    auto fd = listen_tcp({"127.0.0.1", 0});
    EXPECT_TRUE(fd);
    listener = std::move(*fd);
    port = *bound_port(listener.get());
  }
  /// To "m1", which has these addresses. Where the connection went, or why there is none.
  std::string connect(const std::vector<std::string>& addresses, Duration limit = seconds(50)) {
    std::optional<Result<bus::Fd>> made;
    const TcpConnect attempt(
        env, {"m1", port}, limit, [&](Result<bus::Fd> fd) { made = std::move(fd); },
        [addresses](const std::string& host) -> Result<std::vector<std::string>> {
          EXPECT_EQ(host, "m1");
          return addresses;
        });
    const auto end = clock.now() + seconds(60);
    while (!made && clock.now() < end) {
      loop.run_once(milliseconds(5));
    }
    if (!made || !*made) {
      return made ? made->error().reason + " " + made->error().message : "nothing";
    }
    sockaddr_in to{};
    socklen_t size = sizeof(to);
    EXPECT_EQ(::getpeername((*made)->get(), reinterpret_cast<sockaddr*>(&to), &size), 0);
    char text[INET_ADDRSTRLEN] = {};
    return ::inet_ntop(AF_INET, &to.sin_addr, text, sizeof(text));
  }

  bus::Fd listener;  // at 127.0.0.1 alone
  std::uint16_t port = 0;
};

TEST_F(TcpConnectTest, EachAddressOfANameIsTried) {
  EXPECT_EQ(connect({"127.0.0.1"}), "127.0.0.1");
  EXPECT_EQ(connect({"127.0.0.2", "no address", "127.0.0.3", "127.0.0.1"}), "127.0.0.1");
}

TEST_F(TcpConnectTest, TheLastAddressTellsWhyNoneAnswers) {
  EXPECT_THAT(connect({"127.0.0.2", "127.0.0.3"}),
              HasSubstr("NODE_UNREACHABLE m1:" + std::to_string(port) + " (127.0.0.3): Connection refused"));
  EXPECT_THAT(connect({"127.0.0.2"}), HasSubstr("m1:" + std::to_string(port) + ": Connection refused"));
}

TEST_F(TcpConnectTest, TriesNoMoreThanItsBound) {
  std::vector<std::string> many(TcpConnect::kAddressesMax, "127.0.0.2");
  many.emplace_back("127.0.0.1");
  EXPECT_THAT(connect(many), HasSubstr("Connection refused"));
}

TEST_F(TcpConnectTest, AnAddressThatDoesNotAnswerLeavesTimeForTheNext) {
  sockaddr_in silent{};
  silent.sin_family = AF_INET;
  silent.sin_port = htons(port);
  ASSERT_EQ(::inet_pton(AF_INET, "127.0.0.2", &silent.sin_addr), 1);
  const bus::Fd full(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(::bind(full.get(), reinterpret_cast<const sockaddr*>(&silent), sizeof(silent)), 0);
  ASSERT_EQ(::listen(full.get(), 0), 0);
  std::vector<bus::Fd> filling;
  for (int i = 0; i < 4; ++i) {  // one waits to be accepted, the others' packets are dropped
    filling.emplace_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    (void)::connect(filling.back().get(), reinterpret_cast<const sockaddr*>(&silent), sizeof(silent));
  }
  EXPECT_EQ(connect({"127.0.0.2", "127.0.0.1"}, milliseconds(600)), "127.0.0.1");
  EXPECT_THAT(connect({"127.0.0.2", "127.0.0.2"}, milliseconds(300)), HasSubstr("(127.0.0.2): no answer in time"));
}

TEST_F(TcpConnectTest, ANameThatIsNoneIsSaid) {
  const auto none = TcpConnect::resolve("no such name");
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().reason, "NAME_NOT_RESOLVED");
}

}  // namespace
}  // namespace skep::link
