#include "core/node/health_probe.h"

#include <chrono>

#include "skep/runtime.methods.h"

namespace skep::node {
namespace {

constexpr std::size_t kOutputMax = 4096;  ///< bytes of a probe's output kept, as Docker does
constexpr std::chrono::seconds kDriverSlack{5};

std::string in_seconds(Duration duration) {
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
  return ms % 1000 == 0 ? std::to_string(ms / 1000) + "s" : std::to_string(ms) + "ms";
}

std::string one_line(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) {
    text.pop_back();
  }
  for (char& c : text) {
    c = c == '\n' ? ' ' : c;
  }
  return text;
}

}  // namespace

HealthProbe::HealthProbe(Env& env, rpc::Caller& caller, std::string runtime,
                         std::string container_id, HealthMonitor monitor,
                         std::function<void(std::string)> report)
    : env_(env),
      caller_(caller),
      runtime_(std::move(runtime)),
      container_id_(std::move(container_id)),
      monitor_(std::move(monitor)),
      report_(std::move(report)) {
  arm();
}

HealthProbe::~HealthProbe() {
  *alive_ = false;
  end_run();
}

void HealthProbe::end_run() {
  ++run_;
  if (timer_ != 0) {
    env_.loop.cancel_timer(std::exchange(timer_, 0));
  }
  if (auto exec = std::exchange(exec_, nullptr)) {
    exec->cancel();
  }
}

void HealthProbe::arm() {
  const Duration delay = std::max(Duration(0), monitor_.next_probe() - env_.loop.now());
  timer_ = env_.loop.run_after(delay, [this] {
    timer_ = 0;
    probe();
  });
}

void HealthProbe::probe() {
  output_.clear();
  exit_code_.reset();
  runtime::v1::ExecInput first;
  first.mutable_start()->set_container_id(container_id_);
  for (const auto& word : monitor_.command()) {
    first.mutable_start()->add_command(word);
  }
  const auto mine = [alive = alive_, this, run = run_] { return *alive && run_ == run; };
  const auto deadline = std::chrono::duration_cast<std::chrono::milliseconds>(
      monitor_.timeout() + Duration(kDriverSlack));
  exec_ = rpc::open<runtime::v1::methods::Exec>(
      caller_, "runtime/" + runtime_, first, {.deadline = deadline},
      [this, mine](const runtime::v1::ExecOutput& output) {
        if (!mine()) {
          return;
        }
        on_output(output.data());
        if (output.exited()) {
          exit_code_ = output.exit_code();
        }
      },
      [this, mine](Status status) {
        if (!mine()) {
          return;
        }
        if (!status && status.error().code == Code::kUnavailable) {
          end_run();  // the driver is away: that says nothing about the task
          timer_ = env_.loop.run_after(std::chrono::seconds(1), [this] {
            timer_ = 0;
            probe();
          });
        } else if (!status) {
          finish(status.error().message);
        } else if (exit_code_.value_or(-1) != 0) {
          finish("exit " + std::to_string(exit_code_.value_or(-1)) + ": " + one_line(output_));
        } else {
          finish("");
        }
      });
  timer_ = env_.loop.run_after(monitor_.timeout(), [this] {
    timer_ = 0;
    finish("health check exceeded timeout (" + in_seconds(monitor_.timeout()) + ")");
  });
}

void HealthProbe::on_output(const std::string& bytes) {
  if (output_.size() < kOutputMax) {
    output_ += bytes.substr(0, kOutputMax - output_.size());
  }
}

void HealthProbe::finish(const std::string& failure) {
  end_run();
  const auto verdict = monitor_.on_result(failure, env_.loop.now());
  if (verdict != HealthMonitor::Verdict::kUnhealthy) {
    arm();
  }
  if (verdict == HealthMonitor::Verdict::kUndecided) {
    return;
  }
  // Last statement: the report may destroy this probe.
  const auto report = report_;
  report(verdict == HealthMonitor::Verdict::kHealthy ? std::string() : monitor_.why());
}

}  // namespace skep::node
