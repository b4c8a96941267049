#pragma once

// The container half of a runtime driver, whole but for where root file systems come from: oci and
// process derive from it. Decides on the loop (ContainerTable), performs on workers (Engine).
// Containers belong to conmon; stop() of the driver leaves them running.

#include <map>
#include <memory>
#include <set>
#include <string>

#include "plugins/runtime/oci/container/container_table.h"
#include "plugins/runtime/oci/container/engine.h"
#include "plugins/runtime/oci/container/exit_watch.h"
#include "skep/runtime.h"

namespace skep::oci {

class ContainerDriver : public RuntimeDriver {
 public:
  /// `driver` is the id in names and records: "oci", "process".
  explicit ContainerDriver(std::string driver);
  ~ContainerDriver() override;

  Status start(const DriverContext& context) override;
  void stop() override;
  plugin::v1::StatusResponse status() override;
  runtime::v1::CapabilitiesResponse capabilities() override;

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
  void stats(const runtime::v1::StatsRequest& request,
             Reply<runtime::v1::StatsResponse> reply) override;
  void exec(const runtime::v1::ExecInput& first,
            Stream<runtime::v1::methods::Exec> stream) override;
  void attach(const runtime::v1::AttachInput& first,
              Stream<runtime::v1::methods::Attach> stream) override;
  void logs(const runtime::v1::LogsRequest& request,
            Stream<runtime::v1::methods::Logs> stream) override;

 protected:
  /// Called once from start(), before anything else.
  virtual Result<std::shared_ptr<RootfsSource>> make_source(const DriverContext& context) = 0;

  [[nodiscard]] Env& env() { return *env_; }
  /// `work` on a worker, `done` on the loop unless the driver ended meanwhile.
  Status on_worker(std::function<void()> work, std::function<void()> done);
  /// Image id -> name of a container made from it.
  [[nodiscard]] std::map<std::string, std::string> images_in_use();

  /// Answers with what `work` returns on a worker.
  template <class Response, class Work>
  void answer_from_worker(Work work, Reply<Response> reply) {
    auto result = std::make_shared<Result<Response>>(
        Error{Code::kInternal, "the worker ended without an answer"});
    auto status = on_worker([work = std::move(work), result] { *result = work(); },
                            [result, reply] { reply(std::move(*result)); });
    if (!status) {
      reply(std::move(status).error());
    }
  }

 private:
  Result<EngineConfig> configure(const DriverContext& context, const Cgroups& cgroups);
  void watch_container(Container& container);
  void unwatch_container(Container& container);
  void on_exit_file(const std::string& id);
  void on_conmon_end(const std::string& id);
  void finish_exit(const std::string& id, const runtime::v1::ExitStatus& exit);
  void release_later(const std::string& id);
  void start_now(const std::string& id, const Reply<runtime::v1::StartResponse>& reply,
                 std::function<void()> done);
  void send_signal(const std::string& id, int number, std::function<void(Status)> then);
  void remove_now(const std::string& id, const Reply<runtime::v1::RemoveResponse>& reply,
                  std::function<void()> done);
  /// The second half of recover(): what is on disk and not in the table.
  void recover_stored(const std::set<std::string>& named, Reply<runtime::v1::RecoverResponse> reply);
  void adopt(const ContainerRecord& record);
  struct Sessions;
  template <class Session, class Map>
  std::function<void(Session*)> forget_from(Map& map);
  void start_streams();
  void stop_streams();
  void end_streams(const std::string& id, int exit_code);

  const std::string driver_;
  Env* env_ = nullptr;
  std::shared_ptr<Engine> engine_;  // shared with work on worker threads that outlives stop()
  ContainerTable table_;
  bool recovered_ = false;  // until then the table may lack what an earlier life left on disk
  std::unique_ptr<ExitWatch> exits_;
  std::unique_ptr<Sessions> sessions_;
  std::shared_ptr<bool> alive_;  // callbacks hold it weakly; gone once the driver stopped
};

}  // namespace skep::oci
