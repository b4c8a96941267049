#pragma once

// One attach call: the container's own standard streams, through the socket that conmon keeps.
// Ends with the container (its exit code in the last message); when the caller goes away the
// container runs on. Loop thread only.

#include <functional>
#include <memory>

#include "plugins/runtime/oci/container/fd.h"
#include "plugins/runtime/oci/container/record.h"
#include "plugins/runtime/oci/container/stream_pump.h"
#include "skep/runtime.h"

namespace skep::oci {

class AttachSession : public std::enable_shared_from_this<AttachSession> {
 public:
  using Stream = rpc::TypedServerStream<runtime::v1::methods::Attach>;
  AttachSession(Env& env, Stream stream, std::function<void(AttachSession*)> on_over);
  ~AttachSession();
  AttachSession(const AttachSession&) = delete;
  AttachSession& operator=(const AttachSession&) = delete;

  /// `bundle` holds the socket "attach". kUnavailable: conmon does not answer.
  Status begin(const std::string& bundle, const runtime::v1::AttachInput& first);
  void on_container_exit(int exit_code);
  void abort(Error why);

 private:
  void set_handlers();
  bool on_packet(std::string_view packet);
  void finish_when_drained();
  void over();

  Env& env_;
  Stream stream_;
  std::function<void(AttachSession*)> on_over_;
  std::unique_ptr<InputFeed> input_;
  std::unique_ptr<OutputPump> output_;
  bool exited_ = false;
  bool over_ = false;
  int exit_code_ = 0;
};

}  // namespace skep::oci
