#pragma once

// A bus on real sockets in one thread: everything runs while a test waits in run_until().

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>

#include "core/base/asio_loop.h"
#include "core/bus/bus.h"
#include "core/bus/control_client.h"
#include "core/bus/plugin_link.h"
#include "skep/posix_env.h"
#include "skep/volume.methods.h"

namespace skep::bus {

/// A directory that goes with the object.
class TempDir {
 public:
  TempDir() {
    std::string pattern = std::filesystem::temp_directory_path() / "skep-bus-XXXXXX";
    path_ = ::mkdtemp(pattern.data());
  }
  ~TempDir() { std::filesystem::remove_all(path_); }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  [[nodiscard]] std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

inline RouterOptions accept_everybody() {
  return {.admit = [](const PeerFacts&, const v1::Hello& hello) -> Result<v1::Welcome> {
    v1::Welcome welcome;
    welcome.set_node_id("n1");
    welcome.set_start_request("start " + hello.id());
    return welcome;
  }};
}

inline v1::Hello hello_of(const std::string& id, const std::string& kind) {
  v1::Hello hello;
  hello.set_id(id);
  auto& driver = *hello.add_drivers();
  driver.set_kind(kind);
  driver.set_name(id);
  driver.set_major(1);
  return hello;
}

/// A participant with a driver: a link and an endpoint that answers volume/1/get with the name.
struct Plugin {
  Plugin(Loop& loop, std::shared_ptr<ZmqContext> context, const std::string& endpoint,
         const std::string& id = "local")
      : endpoint_rpc(loop, table,
                     [this](std::string header, std::string body) {
                       return link.send(std::move(header), std::move(body));
                     },
                     {.served_max = 8192, .name = id}),
        link(loop, std::move(context), {.endpoint = endpoint, .hello = hello_of(id, "volume")},
             {.on_welcome =
                  [this](const v1::Welcome& w) {
                    welcome = w;
                    ++welcomes;
                  },
              .on_frame = [this](const std::string& header,
                                 const std::string& body) { endpoint_rpc.on_frame(header, body); },
              .on_lost = [this](const std::string& why) { lost = why; },
              .on_rejected = [this](const Error& error) { rejected = error.message; }}) {
    table.on_sync<volume::v1::methods::Get>(
        [](const volume::v1::GetRequest& request) -> Result<volume::v1::GetResponse> {
          volume::v1::GetResponse response;
          response.mutable_volume()->set_name(request.name());
          return response;
        });
  }
  rpc::MethodTable table;
  v1::Welcome welcome;
  int welcomes = 0;
  std::string lost;
  std::string rejected;
  rpc::RpcEndpoint endpoint_rpc;
  PluginLink link;
};

struct BusTest : ::testing::Test {
  BusOptions options(RouterOptions router = accept_everybody()) {
    return {.bus_socket = dir / "bus.sock", .control_socket = dir / "control.sock", .router = std::move(router)};
  }
  void start(BusOptions bus_options) {
    bus = std::make_unique<Bus>(loop, random, std::move(bus_options),
                                BusEvents{.on_joined = [this](const auto& name) { events.push_back("+" + name); },
                                          .on_gone = [this](const auto& name, const auto&) {
                                            events.push_back("-" + name);
                                          }});
    const auto status = bus->start();
    ASSERT_TRUE(status) << status.error().message;
  }
  bool run_until(const std::function<bool()>& done,
                 std::chrono::seconds limit = std::chrono::seconds(60)) {
    const auto end = std::chrono::steady_clock::now() + limit;
    while (!done() && std::chrono::steady_clock::now() < end) {
      loop.run_once(std::chrono::milliseconds(10));
    }
    return done();
  }
  Result<volume::v1::GetResponse> get(rpc::Caller& caller, const std::string& target,
                                      const std::string& name) {
    volume::v1::GetRequest request;
    request.set_name(name);
    std::optional<Result<volume::v1::GetResponse>> reply;
    rpc::call<volume::v1::methods::Get>(caller, target, request, {}, [&](auto r) { reply = std::move(r); });
    EXPECT_FALSE(reply.has_value()) << "never from within call()";
    if (!run_until([&] { return reply.has_value(); })) {
      return Error{Code::kTimeout, "the test waited too long"};
    }
    return std::move(*reply);
  }
  std::unique_ptr<ControlClient> client() {
    auto connected = ControlClient::connect(loop, {.path = dir / "control.sock"});
    EXPECT_TRUE(connected) << connected.error().message;
    return connected ? *std::move(connected) : nullptr;
  }

  TempDir dir;
  base::AsioLoop loop;
  PosixRandom random;
  std::vector<std::string> events;
  std::unique_ptr<Bus> bus;
};

}  // namespace skep::bus
