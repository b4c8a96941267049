#pragma once

// runtime/1: images and containers. Calls come on the plugin's loop and must not block it: slow work
// goes to env.workers and answers through the Reply. A container outlives the plugin and the agent;
// recover() finds it again.

#include "skep/driver.h"
#include "skep/runtime.methods.h"

namespace skep {

class RuntimeDriver : public virtual Driver {
 public:
  template <class T>
  using Reply = rpc::Reply<T>;
  template <class M>
  using Stream = rpc::TypedServerStream<M>;

  virtual runtime::v1::CapabilitiesResponse capabilities() = 0;

  // Images. Defaults answer kUnimplemented, for runtimes without images.
  virtual void pull(const runtime::v1::PullRequest& request,
                    Stream<runtime::v1::methods::Pull> stream);
  virtual void list_images(Reply<runtime::v1::ListImagesResponse> reply);
  virtual void remove_image(const runtime::v1::RemoveImageRequest& request,
                            Reply<runtime::v1::RemoveImageResponse> reply);
  virtual void inspect_image(const runtime::v1::InspectImageRequest& request,
                             Reply<runtime::v1::InspectImageResponse> reply);

  // Containers. Event order: create < start < exit < remove.
  virtual void create(const runtime::v1::CreateRequest& request,
                      Reply<runtime::v1::CreateResponse> reply) = 0;
  virtual void start_container(const runtime::v1::StartRequest& request,
                               Reply<runtime::v1::StartResponse> reply) = 0;
  /// Answers when the container has ended, at once if it already has.
  virtual void wait(const runtime::v1::WaitRequest& request,
                    Reply<runtime::v1::WaitResponse> reply) = 0;
  virtual void signal(const runtime::v1::SignalRequest& request,
                      Reply<runtime::v1::SignalResponse> reply) = 0;
  /// Signal, grace, SIGKILL; answers when it has ended. Success for a container that has ended.
  virtual void stop_container(const runtime::v1::StopRequest& request,
                              Reply<runtime::v1::StopResponse> reply) = 0;
  /// Success for an unknown id. kFailedPrecondition while it runs, unless forced.
  virtual void remove(const runtime::v1::RemoveRequest& request,
                      Reply<runtime::v1::RemoveResponse> reply) = 0;
  virtual void list(Reply<runtime::v1::ListResponse> reply) = 0;
  virtual void inspect(const runtime::v1::InspectRequest& request,
                       Reply<runtime::v1::InspectResponse> reply) = 0;
  virtual void recover(const runtime::v1::RecoverRequest& request,
                       Reply<runtime::v1::RecoverResponse> reply) = 0;

  // Optional; the defaults answer kUnimplemented.
  virtual void exec(const runtime::v1::ExecInput& first, Stream<runtime::v1::methods::Exec> stream);
  virtual void attach(const runtime::v1::AttachInput& first,
                      Stream<runtime::v1::methods::Attach> stream);
  virtual void logs(const runtime::v1::LogsRequest& request,
                    Stream<runtime::v1::methods::Logs> stream);
  virtual void stats(const runtime::v1::StatsRequest& request,
                     Reply<runtime::v1::StatsResponse> reply);
};

void bind_driver(rpc::MethodTable& table, RuntimeDriver& driver, Env& env);

}  // namespace skep
