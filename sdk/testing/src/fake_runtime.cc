#include "skep/testing/fake_runtime.h"

#include <algorithm>
#include <set>

namespace skep::testing {
namespace {

namespace v1 = runtime::v1;
using State = v1::ContainerState;

Error no_container(const std::string& id) {
  return Error{Code::kNotFound, "no such container: " + id, "NO_SUCH_CONTAINER"};
}

}  // namespace

FakeRuntime::FakeRuntime(Loop& loop, Clock& clock) : loop_(loop), clock_(clock) {}
FakeRuntime::~FakeRuntime() { *alive_ = false; }

const FakeRuntime::Behaviour& FakeRuntime::behaviour_of(const std::string& image) const {
  const auto it = by_image.find(image);
  return it == by_image.end() ? behaviour : it->second;
}

FakeRuntime::Container* FakeRuntime::find(const std::string& id) {
  const auto it = containers.find(id);
  return it == containers.end() ? nullptr : &it->second;
}

void FakeRuntime::after(Duration delay, std::function<void()> work) {
  if (delay <= Duration(0)) {
    return work();
  }
  loop_.run_after(delay, [alive = alive_, work = std::move(work)] {
    if (*alive) {
      work();
    }
  });
}

void FakeRuntime::publish_image(const std::string& name) {
  auto& image = registry[name];
  image.set_id("sha256:" + std::to_string(std::hash<std::string>()(name)));
  image.add_tags(name);
}

void FakeRuntime::end_container(const std::string& id, int exit_code, bool oom_killed) {
  auto* container = find(id);
  if (container == nullptr || container->info.state() != State::CONTAINER_STATE_RUNNING) {
    return;
  }
  container->info.set_state(State::CONTAINER_STATE_EXITED);
  container->info.set_pid(0);
  auto& exit = *container->info.mutable_exit();
  exit.set_exit_code(exit_code);
  exit.set_oom_killed(oom_killed);
  exit.set_finished_at(clock_.wall_now());
  v1::WaitResponse ended;
  *ended.mutable_exit() = exit;
  v1::StopResponse stopped;
  *stopped.mutable_exit() = exit;
  const auto waiting = std::exchange(container->waiting, {});
  const auto stopping = std::exchange(container->stopping, {});
  for (const auto& reply : waiting) {
    reply(ended);
  }
  for (const auto& reply : stopping) {
    reply(stopped);
  }
}

void FakeRuntime::lose_power() {
  *std::exchange(alive_, std::make_shared<bool>(true)) = false;  // nothing that was under way goes on
  for (auto& [id, container] : containers) {
    container.waiting.clear();
    container.stopping.clear();
    if (container.info.state() == State::CONTAINER_STATE_RUNNING) {
      container.info.set_state(State::CONTAINER_STATE_EXITED);
      container.info.mutable_exit()->set_exit_code(255);
    }
  }
}

std::size_t FakeRuntime::running() const {
  return static_cast<std::size_t>(
      std::count_if(containers.begin(), containers.end(), [](const auto& entry) {
        return entry.second.info.state() == State::CONTAINER_STATE_RUNNING;
      }));
}

const FakeRuntime::Container* FakeRuntime::find_by_label(const std::string& label,
                                                         const std::string& value) const {
  for (const auto& [id, container] : containers) {
    const auto it = container.info.labels().find(label);
    if (it != container.info.labels().end() && it->second == value) {
      return &container;
    }
  }
  return nullptr;
}

v1::CapabilitiesResponse FakeRuntime::capabilities() {
  v1::CapabilitiesResponse response;
  response.set_images(has_images);
  response.set_exec(true);
  response.set_resource_limits(true);
  return response;
}

void FakeRuntime::pull(const v1::PullRequest& request, Stream<v1::methods::Pull> stream) {
  if (auto error = faults.take("pull")) {
    return stream.finish(*error);
  }
  after(behaviour_of(request.image()).pull_latency, [this, name = request.image(), stream]() mutable {
    const auto it = registry.find(name);
    if (it == registry.end()) {
      return stream.finish(Error{Code::kNotFound, "No such image: " + name, "NO_SUCH_IMAGE"});
    }
    images[name] = it->second;
    v1::PullProgress progress;
    progress.set_status("done");
    *progress.mutable_image() = it->second;
    (void)stream.send(progress);
    stream.finish(ok());
  });
}

void FakeRuntime::list_images(Reply<v1::ListImagesResponse> reply) {
  v1::ListImagesResponse response;
  for (const auto& [name, image] : images) {
    *response.add_images() = image;
  }
  reply(response);
}

void FakeRuntime::inspect_image(const v1::InspectImageRequest& request,
                                Reply<v1::InspectImageResponse> reply) {
  if (auto error = faults.take("inspect_image")) {
    return reply(*error);
  }
  if (!has_images) {
    return reply(Error{Code::kUnimplemented, "this runtime driver has no images"});
  }
  const auto it = images.find(request.image());
  if (it == images.end()) {
    return reply(Error{Code::kNotFound, "No such image: " + request.image(), "NO_SUCH_IMAGE"});
  }
  v1::InspectImageResponse response;
  *response.mutable_image() = it->second;
  reply(response);
}

void FakeRuntime::create(const v1::CreateRequest& request, Reply<v1::CreateResponse> reply) {
  if (auto error = faults.take("create")) {
    return reply(*error);
  }
  after(behaviour_of(request.spec().image()).create_latency, [this, request, reply] {
    auto [it, is_new] = containers.try_emplace(request.container_id());
    if (is_new) {
      auto& container = it->second;
      container.request = request;
      container.behaviour = behaviour_of(request.spec().image());
      container.info.set_container_id(request.container_id());
      container.info.set_name(request.name());
      *container.info.mutable_labels() = request.labels();
      container.info.set_image(request.spec().image());
      container.info.set_state(State::CONTAINER_STATE_CREATED);
      container.info.set_created_at(clock_.wall_now());
    }
    reply(v1::CreateResponse());
  });
}

void FakeRuntime::begin(const std::string& id) {
  auto* container = find(id);
  if (container == nullptr || container->info.state() != State::CONTAINER_STATE_CREATED) {
    return;
  }
  ++container->starts;
  container->info.set_state(State::CONTAINER_STATE_RUNNING);
  container->info.set_pid(next_pid_++);
  container->info.set_started_at(clock_.wall_now());
  if (const auto runs_for = container->behaviour.runs_for) {
    loop_.run_after(*runs_for, [this, alive = alive_, id, b = container->behaviour] {
      if (*alive) {
        end_container(id, b.exit_code, b.oom_killed);
      }
    });
  }
  if (on_started) {
    on_started(*container);
  }
}

void FakeRuntime::start_container(const v1::StartRequest& request,
                                  Reply<v1::StartResponse> reply) {
  if (auto error = faults.take("start")) {
    return reply(*error);
  }
  const auto* container = find(request.container_id());
  if (container == nullptr) {
    return reply(no_container(request.container_id()));
  }
  after(container->behaviour.start_latency, [this, id = request.container_id(), reply] {
    auto* there = find(id);
    if (there == nullptr) {
      return reply(no_container(id));
    }
    if (there->info.state() == State::CONTAINER_STATE_EXITED) {
      return reply(Error{Code::kFailedPrecondition, "container '" + id + "' has ended"});
    }
    begin(id);
    v1::StartResponse response;
    response.set_pid(there->info.pid());
    reply(response);
  });
}

void FakeRuntime::wait(const v1::WaitRequest& request, Reply<v1::WaitResponse> reply) {
  if (auto error = faults.take("wait")) {
    return reply(*error);
  }
  auto* container = find(request.container_id());
  if (container == nullptr) {
    return reply(no_container(request.container_id()));
  }
  if (container->info.state() == State::CONTAINER_STATE_EXITED) {
    v1::WaitResponse response;
    *response.mutable_exit() = container->info.exit();
    return reply(response);
  }
  container->waiting.push_back(std::move(reply));
}

void FakeRuntime::signal(const v1::SignalRequest& request, Reply<v1::SignalResponse> reply) {
  if (auto error = faults.take("signal")) {
    return reply(*error);
  }
  if (request.signal() == "SIGKILL" || request.signal() == "9") {
    end_container(request.container_id(), 137);
  }
  reply(v1::SignalResponse());
}

void FakeRuntime::stop_container(const v1::StopRequest& request, Reply<v1::StopResponse> reply) {
  if (auto error = faults.take("stop")) {
    return reply(*error);
  }
  auto* container = find(request.container_id());
  if (container == nullptr) {
    return reply(no_container(request.container_id()));
  }
  if (container->info.state() != State::CONTAINER_STATE_RUNNING) {
    v1::StopResponse response;
    *response.mutable_exit() = container->info.exit();
    return reply(response);
  }
  container->stopping.push_back(std::move(reply));
  const auto& how = container->behaviour;
  const bool obeys = !how.ignores_stop_signal && how.stop_latency <= Duration(request.grace());
  after(obeys ? how.stop_latency : Duration(request.grace()),
        [this, id = request.container_id(), code = obeys ? how.stop_exit_code : 137] {
          end_container(id, code);
        });
}

void FakeRuntime::remove(const v1::RemoveRequest& request, Reply<v1::RemoveResponse> reply) {
  if (auto error = faults.take("remove")) {
    return reply(*error);
  }
  if (const auto* container = find(request.container_id())) {
    if (container->info.state() == State::CONTAINER_STATE_RUNNING) {
      if (!request.force()) {
        return reply(Error{Code::kFailedPrecondition, "container runs"});
      }
      end_container(request.container_id(), 137);
    }
    containers.erase(request.container_id());
  }
  reply(v1::RemoveResponse());
}

void FakeRuntime::list(Reply<v1::ListResponse> reply) {
  if (auto error = faults.take("list")) {
    return reply(*error);
  }
  v1::ListResponse response;
  for (const auto& [id, container] : containers) {
    *response.add_containers() = container.info;
  }
  reply(std::move(response));
}

void FakeRuntime::inspect(const v1::InspectRequest& request, Reply<v1::InspectResponse> reply) {
  if (auto error = faults.take("inspect")) {
    return reply(*error);
  }
  const auto* container = find(request.container_id());
  if (container == nullptr) {
    return reply(no_container(request.container_id()));
  }
  v1::InspectResponse response;
  *response.mutable_container() = container->info;
  reply(response);
}

void FakeRuntime::recover(const v1::RecoverRequest& request, Reply<v1::RecoverResponse> reply) {
  if (auto error = faults.take("recover")) {
    return reply(*error);
  }
  const std::set<std::string> kept(request.container_ids().begin(), request.container_ids().end());
  std::erase_if(containers, [&](const auto& entry) { return !kept.contains(entry.first); });
  v1::RecoverResponse response;
  for (const auto& [id, container] : containers) {
    *response.add_containers() = container.info;
  }
  reply(std::move(response));
}

void FakeRuntime::exec(const v1::ExecInput& first, Stream<v1::methods::Exec> stream) {
  if (auto error = faults.take("exec")) {
    return stream.finish(*error);
  }
  const auto* container = find(first.start().container_id());
  if (container == nullptr || container->info.state() != State::CONTAINER_STATE_RUNNING) {
    return stream.finish(Error{Code::kFailedPrecondition, "container does not run"});
  }
  // The behaviour at that moment counts: tests change it while the container runs.
  after(container->behaviour.health_latency, [this, id = first.start().container_id(), stream]() mutable {
    v1::ExecOutput output;
    output.set_stream(1);
    if (const auto* there = find(id)) {
      output.set_data(there->behaviour.health_output);
      output.set_exit_code(there->behaviour.health_exit_code);
    } else {
      output.set_exit_code(137);
    }
    output.set_exited(true);
    (void)stream.send(output);
    stream.finish(ok());
  });
}

}  // namespace skep::testing
