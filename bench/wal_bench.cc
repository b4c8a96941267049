// Commit latency and throughput of consensus/raft with one member, driver logic and log included,
// beside one fdatasync of the same run on the same file system. Prints ratios; asserts nothing.
//
// usage: wal_bench [DIRECTORY]   (on a real disk; default: the current directory)

#include <algorithm>
#include <cstdio>
#include <deque>
#include <string>
#include <vector>

#include "plugins/consensus/raft/raft_driver.h"
#include "skep/log.h"
#include "skep/posix_env.h"
#include "skep/testing/manual_env.h"

namespace {

namespace v1 = skep::consensus::v1;

constexpr std::size_t kEntryBytes = 256;
constexpr int kRounds = 5;
constexpr int kFloorPerRound = 400;
constexpr int kSerialPerRound = 1'000;
constexpr int kParallelPerRound = 20'000;
constexpr int kClients = 64;

struct Figures {
  std::vector<double> us;
  void add(double value) { us.push_back(value); }
  [[nodiscard]] double quantile(double q) {
    std::sort(us.begin(), us.end());
    return us[static_cast<std::size_t>(q * static_cast<double>(us.size() - 1))];
  }
};

/// Takes what is committed and acknowledges it at once.
class Core final : public skep::rpc::Caller {
 public:
  explicit Core(skep::Loop& loop) : loop_(loop) {}
  skep::rpc::CallId call(std::string, std::string_view method, skep::rpc::Body body,
                         skep::rpc::CallOptions, skep::rpc::OnReply on_reply) override {
    v1::CommittedResponse response;
    if (method == skep::consensus::v1::methods::Committed::kName) {
      v1::CommittedRequest request;
      request.ParseFromString(body);
      for (const auto& entry : request.entries()) {
        committed += entry.data().empty() ? 0 : 1;
        response.set_applied_index(entry.index());
      }
    }
    loop_.post([on_reply = std::move(on_reply), reply = response.SerializeAsString()] {
      on_reply(reply);
    });
    return 1;
  }
  void cancel(skep::rpc::CallId) override {}
  std::shared_ptr<skep::rpc::ClientStream> open(std::string, std::string_view, skep::rpc::Body,
                                                skep::rpc::CallOptions,
                                                skep::rpc::StreamHandlers) override {
    return nullptr;
  }
  std::uint64_t committed = 0;

 private:
  skep::Loop& loop_;
};

class Bench {
 public:
  explicit Bench(std::string directory) : directory_(std::move(directory)) {}

  int run() {
    if (auto status = open(); !status) {
      std::fprintf(stderr, "wal_bench: %s\n", status.error().message.c_str());
      return 1;
    }
    double parallel_seconds = 0;
    std::uint64_t syncs = 0;
    for (int round = 0; round < kRounds; ++round) {
      floor("plain", false, plain_);
      floor("filled", true, filled_);
      serial();
      const auto before = driver_.wal()->syncs();
      parallel_seconds += parallel();
      syncs += driver_.wal()->syncs() - before;
    }
    const double floor_us = plain_.quantile(0.5);
    const double total = kRounds * kParallelPerRound;
    std::printf("one fdatasync of a %zu B append           p50 %7.1f us   p99 %7.1f us\n",
                kEntryBytes, floor_us, plain_.quantile(0.99));
    std::printf("the same into a filled file              p50 %7.1f us   p99 %7.1f us\n",
                filled_.quantile(0.5), filled_.quantile(0.99));
    std::printf("raft commit, 1 member, one client        p50 %7.1f us   p99 %7.1f us   %.2f x one fdatasync\n",
                serial_.quantile(0.5), serial_.quantile(0.99), serial_.quantile(0.5) / floor_us);
    std::printf("raft commits, 1 member, %d clients       %10.0f /s   %.1f x one fdatasync's rate, %.1f entries per sync\n",
                kClients, total / parallel_seconds, total / parallel_seconds * floor_us / 1e6,
                total / static_cast<double>(syncs));
    return 0;
  }

 private:
  skep::Status open() {
    SKEP_TRY(disk_.make_directories(directory_, 0700));
    start_.set_state_dir(directory_);
    request_.set_member_id(1);
    request_.set_cluster_id("bench");
    request_.add_bootstrap()->set_id(1);
    SKEP_TRY(driver_.start({env_, core_, start_}));
    skep::Status opened = skep::ok();
    driver_.open(request_, [&](skep::Result<v1::StartResponse> reply) {
      if (!reply) {
        opened = std::move(reply).error();
      }
    });
    loop_.run_ready();
    return opened;
  }
  double now_us() {
    return static_cast<double>((clock_.now() - skep::TimePoint{}).count()) / 1e3;
  }

  void floor(const std::string& name, bool filled, Figures& figures) {
    const std::string path = directory_ + "/" + name;
    auto file = disk_.open(path, skep::OpenMode::kCreate);
    const std::string data(kEntryBytes, 'x');
    const std::uint64_t size = kEntryBytes * kFloorPerRound;
    if (!file || (filled && (!(*file)->write(0, std::string(size, '\0')) || !(*file)->sync()))) {
      return;
    }
    for (std::uint64_t offset = 0; offset < size; offset += kEntryBytes) {
      const double start = now_us();
      if (!(*file)->write(offset, data) || !(*file)->sync()) {
        return;
      }
      figures.add(now_us() - start);
    }
    (void)disk_.remove(path);
  }

  void propose() {
    v1::ProposeRequest request;
    request.set_data(std::string(kEntryBytes, 'x'));
    driver_.propose(request, [](const auto& reply) {
      SKEP_ASSERT(reply.has_value(), "the only member takes proposals");
    });
  }
  void serial() {
    for (int i = 0; i < kSerialPerRound; ++i) {
      const double start = now_us();
      const std::uint64_t wanted = core_.committed + 1;
      propose();
      while (core_.committed < wanted) {
        loop_.step();
      }
      serial_.add(now_us() - start);
      loop_.run_ready();
    }
  }
  double parallel() {
    const double start = now_us();
    const std::uint64_t first = core_.committed;
    std::uint64_t sent = 0;
    while (core_.committed < first + kParallelPerRound) {
      while (sent < core_.committed - first + kClients && sent < kParallelPerRound) {
        propose();
        ++sent;
      }
      loop_.step();
    }
    return (now_us() - start) / 1e6;
  }

  std::string directory_;
  skep::PosixDisk disk_;
  skep::PosixClock clock_;
  skep::PosixRandom random_;
  skep::testing::ManualLoop loop_;
  skep::testing::InlineWorkers workers_{loop_};
  skep::testing::FakeSubprocess subprocess_;
  skep::Env env_{clock_, random_, loop_, workers_, disk_, subprocess_};
  Core core_{loop_};
  skep::plugin::v1::StartRequest start_;
  v1::StartRequest request_;
  skep::raft::RaftDriver driver_;
  Figures plain_;
  Figures filled_;
  Figures serial_;
};

}  // namespace

int main(int argc, char** argv) {
  const std::string base = argc > 1 ? argv[1] : ".";
  skep::PosixDisk disk;
  skep::PosixRandom random;
  const std::string directory = base + "/wal_bench." + std::to_string(random.next() % 1'000'000);
  skep::log::set_level(skep::LogLevel::kWarn);
  int status = 1;
  {
    Bench bench(directory);
    status = bench.run();
  }
  (void)disk.remove_tree(directory);
  return status;
}
