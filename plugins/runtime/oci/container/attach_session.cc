#include "plugins/runtime/oci/container/attach_session.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>

#include "skep/posix_env.h"

namespace skep::oci {
namespace {

// conmon puts one byte before each packet to say which stream it is from.
constexpr char kConmonStderr = 3;

/// Socket addresses hold 107 characters and bundles lie deeper: the directory's fd is the way in.
Result<UniqueFd> connect_in(const std::string& bundle) {
  const UniqueFd directory(::open(bundle.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  UniqueFd fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!directory.valid() || !fd.valid()) {
    return errno_error(errno, bundle + ": attach");
  }
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = "/proc/self/fd/" + std::to_string(directory.get()) + "/attach";
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return Error{Code::kUnavailable, errno_error(errno, "attach to the container's monitor").message,
                 "ATTACH_FAILED"};
  }
  return fd;
}

}  // namespace

AttachSession::AttachSession(Env& env, Stream stream, std::function<void(AttachSession*)> on_over)
    : env_(env),
      stream_(std::move(stream)),
      on_over_(std::move(on_over)),
      input_(std::make_unique<InputFeed>(env.loop, stream_.raw())) {}

AttachSession::~AttachSession() {
  on_over_ = nullptr;  // the owner is letting go already
  over();
}

Status AttachSession::begin(const std::string& bundle, const runtime::v1::AttachInput& first) {
  SKEP_TRY_ASSIGN(UniqueFd fd, connect_in(bundle));
  set_handlers();
  output_ = std::make_unique<OutputPump>(
      env_.loop, [this](std::string_view packet) { return on_packet(packet); },
      [this] { finish_when_drained(); });
  input_->open(fd.get(), InputFeed::Kind::kSocket);
  input_->put(first.stdin_data());
  if (first.stdin_end()) {
    input_->end();
  }
  output_->open(std::move(fd));
  return ok();
}

void AttachSession::set_handlers() {
  const std::weak_ptr<AttachSession> weak = weak_from_this();
  stream_.raw()->set_handlers(
      [weak](const rpc::Body& body) {
        const auto self = weak.lock();
        if (auto input = rpc::parse<runtime::v1::AttachInput>(body); self && input) {
          self->input_->put(input->stdin_data());
          if (input->stdin_end()) {
            self->input_->end();
          }
        }
      },
      [weak] {
        if (const auto self = weak.lock()) {
          self->input_->end();
        }
      },
      [weak] {
        if (const auto self = weak.lock()) {
          self->over();
        }
      },
      [weak] {
        if (const auto self = weak.lock(); self && !self->over_) {
          self->output_->resume();
          self->finish_when_drained();
        }
      });
}

bool AttachSession::on_packet(std::string_view packet) {
  if (packet.size() < 2) {
    return true;
  }
  runtime::v1::ExecOutput message;
  message.set_stream(packet.front() == kConmonStderr ? 2 : 1);
  message.set_data(std::string(packet.substr(1)));
  const Status sent = stream_.send(message);
  return sent || sent.error().code != Code::kResourceExhausted;
}

void AttachSession::on_container_exit(int exit_code) {
  exited_ = true;
  exit_code_ = exit_code;
  finish_when_drained();
}

void AttachSession::finish_when_drained() {
  if (!exited_ || over_ || !output_->drain()) {
    return;
  }
  runtime::v1::ExecOutput last;
  last.set_exited(true);
  last.set_exit_code(exit_code_);
  const Status sent = stream_.send(last);
  if (!sent && sent.error().code == Code::kResourceExhausted) {
    return;  // the next credit comes back here
  }
  stream_.finish(ok());
  over();
}

void AttachSession::abort(Error why) {
  if (!over_) {
    stream_.finish(std::move(why));
    over();
  }
}

void AttachSession::over() {
  if (std::exchange(over_, true)) {
    return;
  }
  input_->close();
  if (output_) {
    output_->close();
  }
  if (on_over_) {
    on_over_(this);
  }
}

}  // namespace skep::oci
