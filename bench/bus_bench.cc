// Bus round trips, 256-byte typed messages, core to a driver and back, beside a bare ZeroMQ PAIR
// ping-pong of the same carrier; raw and ours alternate. Then one-way messages per second (a stream
// against PUSH/PULL) and calls per second with 64 in flight.
//
//   bus_bench [round trips per repetition] [repetitions] [messages one way]

#include <unistd.h>
#include <zmq.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "core/base/asio_loop.h"
#include "core/bus/bus.h"
#include "core/bus/plugin_link.h"
#include "skep/posix_env.h"
#include "skep/runtime.methods.h"
#include "skep/volume.methods.h"

namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;
namespace bus = skep::bus;
namespace rpc = skep::rpc;
using Get = skep::volume::v1::methods::Get;
using Logs = skep::runtime::v1::methods::Logs;

constexpr std::size_t kPayload = 256;
std::size_t g_stream_messages = 200'000;

double microseconds(Clock::duration d) {
  return std::chrono::duration<double, std::micro>(d).count();
}

struct Samples {
  std::vector<double> all;
  double at(double quantile) {
    std::sort(all.begin(), all.end());
    return all[static_cast<std::size_t>(quantile * static_cast<double>(all.size() - 1))];
  }
};

// ---- bare ZeroMQ ----

void raw_round_trips(const std::string& endpoint, bool shared_context, int count, Samples& samples) {
  void* const context = zmq_ctx_new();
  void* const other = shared_context ? context : zmq_ctx_new();
  void* const server = zmq_socket(context, ZMQ_PAIR);
  zmq_bind(server, endpoint.c_str());
  std::thread echo([&] {
    void* const client = zmq_socket(other, ZMQ_PAIR);
    zmq_connect(client, endpoint.c_str());
    std::string buffer(kPayload, 'x');
    for (int i = 0; i < count; ++i) {
      zmq_recv(client, buffer.data(), buffer.size(), 0);
      zmq_send(client, buffer.data(), buffer.size(), 0);
    }
    zmq_close(client);
  });
  std::string buffer(kPayload, 'x');
  for (int i = 0; i < count; ++i) {
    const auto start = Clock::now();
    zmq_send(server, buffer.data(), buffer.size(), 0);
    zmq_recv(server, buffer.data(), buffer.size(), 0);
    samples.all.push_back(microseconds(Clock::now() - start));
  }
  echo.join();
  zmq_close(server);
  if (!shared_context) {
    zmq_ctx_term(other);
  }
  zmq_ctx_term(context);
}

double raw_messages_per_second(const std::string& endpoint, bool shared_context) {
  void* const context = zmq_ctx_new();
  void* const other = shared_context ? context : zmq_ctx_new();
  void* const pull = zmq_socket(context, ZMQ_PULL);
  zmq_bind(pull, endpoint.c_str());
  const auto start = Clock::now();
  std::thread sender([&] {
    void* const push = zmq_socket(other, ZMQ_PUSH);
    zmq_connect(push, endpoint.c_str());
    const std::string buffer(kPayload, 'x');
    for (std::size_t i = 0; i < g_stream_messages; ++i) {
      zmq_send(push, buffer.data(), buffer.size(), 0);
    }
    zmq_close(push);
  });
  std::string buffer(kPayload, 'x');
  for (std::size_t i = 0; i < g_stream_messages; ++i) {
    zmq_recv(pull, buffer.data(), buffer.size(), 0);
  }
  const double seconds = microseconds(Clock::now() - start) / 1e6;
  sender.join();
  zmq_close(pull);
  if (!shared_context) {
    zmq_ctx_term(other);
  }
  zmq_ctx_term(context);
  return static_cast<double>(g_stream_messages) / seconds;
}

// ---- ours ----

/// A plugin on its own thread and loop.
class PluginThread {
 public:
  PluginThread(std::shared_ptr<bus::ZmqContext> context, const std::string& endpoint)
      : thread_([this, context = std::move(context), endpoint] { run(context, endpoint); }) {}
  ~PluginThread() {
    loop_.stop();
    thread_.join();
  }

 private:
  void run(const std::shared_ptr<bus::ZmqContext>& context, const std::string& endpoint) {
    rpc::MethodTable table;
    table.on_sync<Get>([](const auto& request) -> skep::Result<skep::volume::v1::GetResponse> {
      skep::volume::v1::GetResponse response;
      response.mutable_volume()->set_name(request.name());
      return response;
    });
    table.on_stream<Logs>([](const auto&, rpc::TypedServerStream<Logs> stream) {
      const auto sent = std::make_shared<std::size_t>(0);
      const auto raw = stream.raw();
      const auto pump = [sent, weak = std::weak_ptr(raw)] {
        const auto out = weak.lock();
        skep::runtime::v1::LogLine line;
        line.set_data(std::string(kPayload, 'x'));
        while (out && *sent < g_stream_messages && out->send(line.SerializeAsString())) {
          ++*sent;
        }
        if (out && *sent == g_stream_messages) {
          out->finish(rpc::Body{});
        }
      };
      raw->set_handlers({}, {}, [raw] {}, pump);
      pump();
    });
    std::unique_ptr<rpc::RpcEndpoint> endpoint_rpc;
    bus::v1::Hello hello;
    hello.set_id("echo");
    auto& driver = *hello.add_drivers();
    driver.set_kind("volume");
    driver.set_name("echo");
    bus::PluginLink link(loop_, context, {.endpoint = endpoint, .hello = hello},
                         {.on_welcome = [](const auto&) {},
                          .on_frame = [&](const std::string& header,
                                          const std::string& body) { endpoint_rpc->on_frame(header, body); }});
    endpoint_rpc = std::make_unique<rpc::RpcEndpoint>(
        loop_, table, [&](std::string header, std::string body) {
          return link.send(std::move(header), std::move(body));
        });
    if (const auto status = link.start(); !status) {
      std::fprintf(stderr, "link: %s\n", status.error().message.c_str());
      return;
    }
    loop_.run();
    link.stop();
  }
  skep::base::AsioLoop loop_;
  std::thread thread_;
};

class OurBus {
 public:
  explicit OurBus(const std::string& socket) {
    bus::RouterOptions router;
    router.admit = [](const auto&, const auto&) -> skep::Result<bus::v1::Welcome> {
      return bus::v1::Welcome();
    };
    bus_ = std::make_unique<bus::Bus>(loop_, random_, bus::BusOptions{.bus_socket = socket, .router = router},
                                      bus::BusEvents{.on_joined = [this](const auto&) { joined_ = true; }});
    if (const auto status = bus_->start(); !status) {
      std::fprintf(stderr, "bus: %s\n", status.error().message.c_str());
      std::exit(1);
    }
    const bool ipc = !socket.empty();
    plugin_ = std::make_unique<PluginThread>(ipc ? std::make_shared<bus::ZmqContext>() : bus_->context(),
                                             ipc ? bus_->ipc_endpoint() : bus_->inproc_endpoint());
    while (!joined_) {
      loop_.run_once(100ms);
    }
  }
  ~OurBus() { plugin_.reset(); }

  void round_trips(int count, Samples& samples) {
    skep::volume::v1::GetRequest request;
    request.set_name(std::string(kPayload - 3, 'x'));
    int left = count;
    Clock::time_point start;
    std::function<void()> next = [&] {
      start = Clock::now();
      rpc::call<Get>(bus_->caller(), "volume/echo", request, {.deadline = 10s}, [&](const auto& reply) {
        if (!reply) {
          std::fprintf(stderr, "call: %s\n", reply.error().message.c_str());
          std::exit(1);
        }
        samples.all.push_back(microseconds(Clock::now() - start));
        if (--left > 0) {
          next();
        } else {
          loop_.stop();
        }
      });
    };
    next();
    loop_.run_once(0ms);  // restarts a loop that was stopped before
    if (left > 0) {
      loop_.run();
    }
  }

  double calls_per_second(int count) {
    skep::volume::v1::GetRequest request;
    request.set_name(std::string(kPayload - 3, 'x'));
    int to_start = count;
    int left = count;
    std::function<void()> next = [&] {
      if (to_start-- <= 0) {
        return;
      }
      rpc::call<Get>(bus_->caller(), "volume/echo", request, {.deadline = 30s}, [&](const auto&) {
        --left;
        next();
      });
    };
    const auto start = Clock::now();
    for (int i = 0; i < 64; ++i) {
      next();
    }
    while (left > 0) {
      loop_.run_once(100ms);
    }
    return count / (microseconds(Clock::now() - start) / 1e6);
  }

  double messages_per_second() {
    std::size_t received = 0;
    bool done = false;
    const auto start = Clock::now();
    const auto stream = rpc::open<Logs>(
        bus_->caller(), "volume/echo", {}, {.deadline = 0ms}, [&](const auto&) { ++received; },
        [&](const auto&) { done = true; });
    while (!done) {
      loop_.run_once(100ms);
    }
    return static_cast<double>(received) / (microseconds(Clock::now() - start) / 1e6);
  }

 private:
  skep::base::AsioLoop loop_;
  skep::PosixRandom random_;
  bool joined_ = false;
  std::unique_ptr<bus::Bus> bus_;
  std::unique_ptr<PluginThread> plugin_;
};

void compare(const char* carrier, const std::string& raw_endpoint, const std::string& socket, int count,
             int repetitions) {
  const bool inproc = socket.empty();
  OurBus ours(socket);
  Samples raw_samples;
  Samples our_samples;
  for (int i = 0; i < repetitions; ++i) {
    raw_round_trips(raw_endpoint, inproc, count, raw_samples);
    ours.round_trips(count, our_samples);
  }
  const double raw_p50 = raw_samples.at(0.5);
  const double our_p50 = our_samples.at(0.5);
  std::printf("bus round trip %-7s raw p50 %6.1f us p99 %6.1f us | ours p50 %6.1f us p99 %6.1f us | ratio %.2f (aim 1.5)\n",
              carrier, raw_p50, raw_samples.at(0.99), our_p50, our_samples.at(0.99), our_p50 / raw_p50);
  const double raw_rate = raw_messages_per_second(raw_endpoint, inproc);
  const double our_rate = ours.messages_per_second();
  std::printf("bus one way    %-7s raw %9.0f msg/s        | stream %9.0f msg/s         | ratio %.2f (aim 0.33)\n",
              carrier, raw_rate, our_rate, our_rate / raw_rate);
  std::printf("bus calls      %-7s 64 in flight: %.0f calls/s\n", carrier, ours.calls_per_second(count * 2));
}

}  // namespace

int main(int argc, char** argv) {
  const int count = argc > 1 ? std::stoi(argv[1]) : 4000;
  const int repetitions = argc > 2 ? std::stoi(argv[2]) : 5;
  g_stream_messages = argc > 3 ? std::stoul(argv[3]) : g_stream_messages;
  std::string directory = std::filesystem::temp_directory_path() / "skep-bus-bench-XXXXXX";
  if (::mkdtemp(directory.data()) == nullptr) {
    std::perror("mkdtemp");
    return 1;
  }
  compare("inproc", "inproc://raw", "", count, repetitions);
  compare("ipc", "ipc://" + directory + "/raw.sock", directory + "/bus.sock", count, repetitions);
  std::filesystem::remove_all(directory);
  return 0;
}
