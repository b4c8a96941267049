#include "plugins/runtime/oci/container/testing/lab.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>

#include "plugins/runtime/oci/container/overlay.h"

namespace skep::oci::testing {
namespace {

namespace fs = std::filesystem;

/// The driver makes no calls to the core.
class NoCaller final : public rpc::Caller {
 public:
  rpc::CallId call(std::string, std::string_view, rpc::Body, rpc::CallOptions,
                   rpc::OnReply) override {
    return 0;
  }
  void cancel(rpc::CallId) override {}
  std::shared_ptr<rpc::ClientStream> open(std::string, std::string_view, rpc::Body,
                                          rpc::CallOptions, rpc::StreamHandlers) override {
    return nullptr;
  }
};

void make_busybox_root(const std::string& root) {
  for (const char* directory : {"bin", "etc", "tmp", "data", "proc", "sys", "dev", "root", "var"}) {
    fs::create_directories(root + "/" + directory);
  }
  fs::copy_file("/usr/bin/busybox", root + "/bin/busybox");
  for (const char* name : {"sh", "sleep", "echo", "ls", "id", "cat", "seq", "dd", "touch", "stat",
                           "kill", "hostname", "yes", "head", "tail", "true", "false", "mkdir",
                           "mount", "grep", "wc", "stty", "env", "pwd", "tr", "ulimit", "rm"}) {
    fs::create_symlink("busybox", root + "/bin/" + name);
  }
  std::ofstream(root + "/etc/passwd") << "root:x:0:0:root:/root:/bin/sh\n"
                                         "web:x:1001:1002:web:/data:/bin/sh\n";
  std::ofstream(root + "/etc/group") << "root:x:0:\nweb:x:1002:\nextra:x:1003:web\n";
}

std::string read(const fs::path& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace

std::string missing_for_containers() {
  if (::geteuid() != 0) {
    return "needs root";
  }
  for (const char* program : {"/usr/sbin/runc", "/usr/bin/conmon", "/usr/bin/busybox"}) {
    if (::access(program, X_OK) != 0) {
      return std::string("needs ") + program;
    }
  }
  return {};
}

Result<Rootfs> DirectorySource::find(const model::v1::ContainerSpec& spec) {
  if (spec.image() == "missing") {
    return Error{Code::kNotFound, "image 'missing' is not on this node: pull it", "IMAGE_NOT_FOUND"};
  }
  return rootfs;
}

Lab::Lab(std::size_t workers) : Lab("lab", nullptr, workers) {}

Lab::Lab(std::string driver, Factory factory, std::size_t workers)
    : driver_name_(std::move(driver)),
      factory_(std::move(factory)),
      real_(workers),
      caller_(std::make_unique<NoCaller>()) {
  installation_ = "test" + std::to_string(real_.random.next() % 1'000'000'000);
  std::string pattern = "/tmp/skep-oci-XXXXXX";
  directory_ = ::mkdtemp(pattern.data());
  make_busybox_root(directory_ + "/image");
  source_->rootfs.image.set_id("sha256:lab");
  source_->rootfs.layers = {directory_ + "/image"};
  start_.set_installation_id(installation_);
  start_.set_state_dir(state_dir());
  start_.set_run_dir(run_dir());
}

Lab::~Lab() {
  if (driver_) {
    driver_->stop();
    driver_.reset();
  }
  real_.workers.stop();
  // Whatever a failed test left: found by name, removed by hand.
  const Cgroups cgroups(real_.disk.read_file("/proc/mounts").value_or(""));
  const std::string top = "/skep-" + installation_;
  cgroups.kill_all(top);
  until([this] {
    for (const std::string& line : leftovers()) {
      if (line.starts_with("process")) {
        return false;
      }
    }
    return true;
  }, std::chrono::seconds(5));
  const auto removed = cgroups.remove(top);
  const auto mountinfo = real_.disk.read_file("/proc/self/mountinfo").value_or("");
  for (const std::string& mount : mounts_below(mountinfo, directory_)) {
    const auto unmounted = unmount_tree(mount);
  }
  std::error_code error;
  fs::remove_all(directory_, error);
  for (const std::string& left : leftovers()) {
    std::cerr << "left behind: " << left << "\n";
  }
}

std::string Lab::cgroup(const std::string& id) const {
  return "/skep-" + installation_ + "/" + driver_name_ + "/" + id;
}

void Lab::crash() {
  // kill -9 ends everything at once: nothing of the driver may run afterwards.
  driver_->stop();
  driver_.reset();
}

Status Lab::start(std::map<std::string, std::string> config) {
  start_.mutable_config()->clear();
  start_.mutable_config()->insert(config.begin(), config.end());
  driver_ = factory_ ? factory_() : std::make_unique<LabDriver>(source_);
  return driver_->start(DriverContext{real_.env, *caller_, start_});
}

std::string Lab::new_id() {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string id;
  for (const char byte : real_.random.bytes(32)) {
    const auto value = static_cast<unsigned char>(byte);
    id += kDigits[value >> 4];
    id += kDigits[value & 15];
  }
  return id;
}

runtime::v1::CreateRequest Lab::request(std::vector<std::string> command) {
  runtime::v1::CreateRequest request;
  request.set_container_id(new_id());
  request.set_name("web.1." + request.container_id().substr(0, 8));
  request.mutable_spec()->set_image("busybox");
  request.mutable_spec()->mutable_command()->Assign(command.begin(), command.end());
  return request;
}

bool Lab::until(const std::function<bool()>& ready, Duration limit) {
  const TimePoint deadline = real_.clock.now() + limit;
  while (!ready()) {
    if (real_.clock.now() > deadline) {
      return false;
    }
    real_.loop.run_once(std::chrono::milliseconds(20));
  }
  return true;
}

template <class Response, class Call>
Result<Response> Lab::answer(Call call) {
  auto result = std::make_shared<std::unique_ptr<Result<Response>>>();
  call(RuntimeDriver::Reply<Response>([result](Result<Response> response) {
    *result = std::make_unique<Result<Response>>(std::move(response));
  }));
  if (!until([&] { return *result != nullptr; }, std::chrono::seconds(60))) {
    return Error{Code::kTimeout, "the driver did not answer within 60 s"};
  }
  return std::move(**result);
}

Result<runtime::v1::CreateResponse> Lab::create(const runtime::v1::CreateRequest& request) {
  return answer<runtime::v1::CreateResponse>(
      [&](auto reply) { driver_->create(request, std::move(reply)); });
}

Result<runtime::v1::StartResponse> Lab::start_container(const std::string& id) {
  runtime::v1::StartRequest request;
  request.set_container_id(id);
  return answer<runtime::v1::StartResponse>(
      [&](auto reply) { driver_->start_container(request, std::move(reply)); });
}

Result<runtime::v1::WaitResponse> Lab::wait(const std::string& id) {
  runtime::v1::WaitRequest request;
  request.set_container_id(id);
  return answer<runtime::v1::WaitResponse>(
      [&](auto reply) { driver_->wait(request, std::move(reply)); });
}

Result<runtime::v1::StopResponse> Lab::stop(const std::string& id, Duration grace) {
  runtime::v1::StopRequest request;
  request.set_container_id(id);
  request.set_grace(grace.count());
  return answer<runtime::v1::StopResponse>(
      [&](auto reply) { driver_->stop_container(request, std::move(reply)); });
}

Result<runtime::v1::RemoveResponse> Lab::remove(const std::string& id, bool force) {
  runtime::v1::RemoveRequest request;
  request.set_container_id(id);
  request.set_force(force);
  return answer<runtime::v1::RemoveResponse>(
      [&](auto reply) { driver_->remove(request, std::move(reply)); });
}

Result<runtime::v1::SignalResponse> Lab::signal(const std::string& id, const std::string& name) {
  runtime::v1::SignalRequest request;
  request.set_container_id(id);
  request.set_signal(name);
  return answer<runtime::v1::SignalResponse>(
      [&](auto reply) { driver_->signal(request, std::move(reply)); });
}

Result<runtime::v1::ListResponse> Lab::list() {
  return answer<runtime::v1::ListResponse>([&](auto reply) { driver_->list(std::move(reply)); });
}

Result<runtime::v1::InspectResponse> Lab::inspect(const std::string& id) {
  runtime::v1::InspectRequest request;
  request.set_container_id(id);
  return answer<runtime::v1::InspectResponse>(
      [&](auto reply) { driver_->inspect(request, std::move(reply)); });
}

Result<runtime::v1::RecoverResponse> Lab::recover(const std::vector<std::string>& ids) {
  runtime::v1::RecoverRequest request;
  request.mutable_container_ids()->Assign(ids.begin(), ids.end());
  return answer<runtime::v1::RecoverResponse>(
      [&](auto reply) { driver_->recover(request, std::move(reply)); });
}

Result<runtime::v1::StatsResponse> Lab::stats(const std::string& id) {
  runtime::v1::StatsRequest request;
  request.set_container_id(id);
  return answer<runtime::v1::StatsResponse>(
      [&](auto reply) { driver_->stats(request, std::move(reply)); });
}

Result<runtime::v1::WaitResponse> Lab::run(const runtime::v1::CreateRequest& request) {
  SKEP_TRY(create(request));
  SKEP_TRY(start_container(request.container_id()));
  return wait(request.container_id());
}

std::string Lab::output(const std::string& id) {
  std::istringstream lines(read(state_dir() + "/containers/" + id + "/container.log"));
  std::string text;
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    std::string time;
    std::string stream;
    std::string tag;
    fields >> time >> stream >> tag;
    text += line.substr(std::min(line.size(), time.size() + stream.size() + tag.size() + 3));
    text += tag == "F" ? "\n" : "";
  }
  return text;
}

std::vector<std::string> Lab::leftovers() const {
  std::vector<std::string> found;
  for (const std::string& mount : mounts_below(read("/proc/self/mountinfo"), directory_)) {
    found.push_back("mount " + mount);
  }
  const Cgroups cgroups(read("/proc/mounts"));
  for (const std::string& name : cgroups.children("/skep-" + installation_ + "/" + driver_name_)) {
    found.push_back("cgroup " + name);
  }
  for (const auto& entry : fs::directory_iterator("/proc")) {
    const std::string pid = entry.path().filename().string();
    if (pid.find_first_not_of("0123456789") != std::string::npos) {
      continue;
    }
    const std::string words = read(entry.path() / "cmdline");
    if (words.find(directory_) != std::string::npos) {
      found.push_back("process " + pid + " " + words.substr(0, 60));
    }
  }
  return found;
}

}  // namespace skep::oci::testing
