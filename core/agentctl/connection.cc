#include "core/agentctl/connection.h"

#include <fmt/format.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "core/base/asio_loop.h"
#include "core/bus/control_client.h"

namespace skep::ctl {
namespace {

// The longest the loop sleeps when nothing happens; events end the wait at once.
constexpr std::chrono::milliseconds kLoopStep{1000};

// A signal as an event: blocked for the process, read from a signalfd.
class SignalWatch {
 public:
  SignalWatch(Loop& loop, int signal_number, std::function<void()> on_signal);
  ~SignalWatch();
  SignalWatch(const SignalWatch&) = delete;
  SignalWatch& operator=(const SignalWatch&) = delete;

 private:
  Loop& loop_;
  int signal_number_;
  int fd_ = -1;
  bool was_blocked_ = false;
  WatchId watch_ = 0;
};

SignalWatch::SignalWatch(Loop& loop, int signal_number, std::function<void()> on_signal)
    : loop_(loop), signal_number_(signal_number) {
  sigset_t set;
  sigset_t before;
  sigemptyset(&set);
  sigaddset(&set, signal_number);
  pthread_sigmask(SIG_BLOCK, &set, &before);
  was_blocked_ = sigismember(&before, signal_number) == 1;
  fd_ = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  if (fd_ >= 0) {
    watch_ = loop_.watch_readable(fd_, [this, on_signal = std::move(on_signal)] {
      signalfd_siginfo info{};
      if (read(fd_, &info, sizeof(info)) == static_cast<ssize_t>(sizeof(info))) {
        on_signal();
      }
    });
  }
}

SignalWatch::~SignalWatch() {
  if (fd_ >= 0) {
    loop_.unwatch(watch_);
    close(fd_);
  }
  if (!was_blocked_) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, signal_number_);
    pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
  }
}

class SocketConnection final : public Connection {
 public:
  static Result<std::unique_ptr<Connection>> open(const std::string& path) {
    auto connection = std::make_unique<SocketConnection>();
    SKEP_TRY_ASSIGN(connection->client_,
                    bus::ControlClient::connect(connection->loop_, {.path = path}));
    return std::unique_ptr<Connection>(std::move(connection));
  }

  rpc::Caller& caller() override { return client_->caller(); }
  Loop& loop() override { return loop_; }
  void run_until(const std::function<bool()>& done) override {
    while (!done()) {
      loop_.run_once(kLoopStep);
    }
  }
  std::shared_ptr<void> watch_signal(int number, std::function<void()> on_signal) override {
    return std::make_shared<SignalWatch>(loop_, number, std::move(on_signal));
  }

 private:
  base::AsioLoop loop_;
  std::unique_ptr<bus::ControlClient> client_;
};

}  // namespace

std::string control_socket_path(const std::string& root) {
  std::error_code error;
  const auto absolute = std::filesystem::absolute(root.empty() ? "/" : root, error);
  return ((error ? std::filesystem::path(root) : absolute) / "run/skep/control.sock")
      .lexically_normal()
      .string();
}

Result<std::unique_ptr<Connection>> connect_to_agent(const std::string& root) {
  const std::string path = control_socket_path(root);
  auto connection = SocketConnection::open(path);
  if (connection || connection.error().code != Code::kUnavailable) {
    return connection;
  }
  return Error{Code::kUnavailable,
               fmt::format("no agent answers at '{}'\n  start one with 'agentd{}', or name the "
                           "--root (or SKEP_ROOT) of "
                           "the one you mean: 'agentctl --root DIR ...'",
                           path, root == "/" || root.empty() ? "" : " --root " + root),
               "NO_AGENT"};
}

}  // namespace skep::ctl
