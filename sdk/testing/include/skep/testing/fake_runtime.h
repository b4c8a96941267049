#pragma once

// runtime/1 in memory: images that can be pulled, containers that take time to start, end by
// themselves or when told, and survive the agent. Runs on the loop's (virtual) time.

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "skep/runtime.h"
#include "skep/testing/fault_plan.h"

namespace skep::testing {

class FakeRuntime final : public RuntimeDriver {
 public:
  struct Behaviour {
    Duration pull_latency{0};
    Duration create_latency{0};
    Duration start_latency{0};
    std::optional<Duration> runs_for = {};  ///< ends by itself
    int exit_code = 0;
    bool oom_killed = false;
    Duration stop_latency{0};          ///< from the stop signal to the end
    bool ignores_stop_signal = false;  ///< lives until SIGKILL
    int stop_exit_code = 0;
    int health_exit_code = 0;
    std::string health_output = {};
    Duration health_latency{0};
  };
  struct Container {
    runtime::v1::ContainerInfo info;
    runtime::v1::CreateRequest request;
    Behaviour behaviour;
    int starts = 0;  ///< how often it really began to run: never above 1 in a right system
    std::vector<Reply<runtime::v1::WaitResponse>> waiting;
    std::vector<Reply<runtime::v1::StopResponse>> stopping;
  };

  FakeRuntime(Loop& loop, Clock& clock);
  ~FakeRuntime() override;

  Behaviour behaviour;                       ///< of images without their own
  std::map<std::string, Behaviour> by_image;
  std::map<std::string, runtime::v1::Image> registry;  ///< what pull finds
  std::map<std::string, runtime::v1::Image> images;    ///< what is here
  std::map<std::string, Container> containers;         ///< by id
  /// pull inspect_image create start wait signal stop remove list inspect recover exec
  FaultPlan faults;
  bool has_images = true;  ///< false: as runtime/process
  /// Told of every container that begins to run.
  std::function<void(const Container&)> on_started;

  /// Makes an image that pull can find.
  void publish_image(const std::string& name);
  /// The container's program ends. Ignored when it does not run.
  void end_container(const std::string& id, int exit_code, bool oom_killed = false);
  /// Somebody removed it behind everybody's back.
  void lose_container(const std::string& id) { containers.erase(id); }
  /// Power failure: what ran is found dead with exit code 255.
  void lose_power();
  [[nodiscard]] std::size_t running() const;
  /// The container with this label value, nullptr when there is none.
  [[nodiscard]] const Container* find_by_label(const std::string& label,
                                               const std::string& value) const;

  runtime::v1::CapabilitiesResponse capabilities() override;
  void pull(const runtime::v1::PullRequest& request,
            Stream<runtime::v1::methods::Pull> stream) override;
  void list_images(Reply<runtime::v1::ListImagesResponse> reply) override;
  void inspect_image(const runtime::v1::InspectImageRequest& request,
                     Reply<runtime::v1::InspectImageResponse> reply) override;
  void create(const runtime::v1::CreateRequest& request,
              Reply<runtime::v1::CreateResponse> reply) override;
  void start_container(const runtime::v1::StartRequest& request,
                       Reply<runtime::v1::StartResponse> reply) override;
  void wait(const runtime::v1::WaitRequest& request,
            Reply<runtime::v1::WaitResponse> reply) override;
  void signal(const runtime::v1::SignalRequest& request,
              Reply<runtime::v1::SignalResponse> reply) override;
  void stop_container(const runtime::v1::StopRequest& request,
                      Reply<runtime::v1::StopResponse> reply) override;
  void remove(const runtime::v1::RemoveRequest& request,
              Reply<runtime::v1::RemoveResponse> reply) override;
  void list(Reply<runtime::v1::ListResponse> reply) override;
  void inspect(const runtime::v1::InspectRequest& request,
               Reply<runtime::v1::InspectResponse> reply) override;
  void recover(const runtime::v1::RecoverRequest& request,
               Reply<runtime::v1::RecoverResponse> reply) override;
  void exec(const runtime::v1::ExecInput& first,
            Stream<runtime::v1::methods::Exec> stream) override;

 private:
  const Behaviour& behaviour_of(const std::string& image) const;
  Container* find(const std::string& id);
  void after(Duration delay, std::function<void()> work);
  void begin(const std::string& id);

  Loop& loop_;
  Clock& clock_;
  int next_pid_ = 1000;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace skep::testing
