#include "core/pluginhost/shell.h"

#include <pthread.h>

namespace skep::host {

Result<std::unique_ptr<Shell>> Shell::start(Loop& loop, ShellSpec spec, Events events) {
  std::unique_ptr<Shell> shell(new Shell());
  Shell* self = shell.get();
  bus::v1::Hello hello;
  hello.set_id(spec.manifest.id);
  hello.set_version(spec.manifest.version);
  for (const auto& driver : spec.manifest.drivers) {
    *hello.add_drivers() = driver;
  }
  hello.set_token(spec.token);
  hello.set_instance(spec.instance);
  shell->link_ = std::make_unique<bus::PluginLink>(
      loop, spec.context, bus::PluginLink::Options{spec.endpoint, std::move(hello)},
      bus::PluginLink::Callbacks{
          .on_welcome =
              [events](const bus::v1::Welcome&) {
                if (events.on_welcome) {
                  events.on_welcome();
                }
              },
          .on_frame = [self](std::string header, std::string body) { self->instance_->deliver(header, body); },
          .on_lost =
              [events](const std::string&) {
                if (events.on_lost) {
                  events.on_lost();
                }
              },
          .on_rejected = events.on_rejected});
  SKEP_TRY_ASSIGN(shell->instance_,
                  PluginInstance::create(
                      spec.path, spec.manifest, loop,
                      [self](std::string header, std::string body) {
                        return self->link_->send(std::move(header), std::move(body));
                      },
                      std::move(spec.log)));
  SKEP_TRY(shell->instance_->start(spec.start_request));
  SKEP_TRY(shell->link_->start());
  return shell;
}

Shell::~Shell() {
  if (instance_) {
    instance_->stop();
  }
  if (link_) {
    link_->stop();
  }
  instance_.reset();  // its send function uses the link until here
}

ShellThread::ShellThread(Loop& owner, ShellSpec spec, std::function<void(Status)> on_started)
    : owner_(owner), on_started_(std::move(on_started)) {
  thread_ = std::thread([this, spec = std::move(spec)]() mutable { thread_main(std::move(spec)); });
}

void ShellThread::thread_main(ShellSpec spec) {
  ::pthread_setname_np(::pthread_self(), spec.manifest.id.substr(0, 15).c_str());
  auto shell = Shell::start(loop_, std::move(spec), {});
  auto outcome = std::make_shared<Status>(shell ? ok() : Status(shell.error()));
  owner_.post([this, outcome, alive = std::weak_ptr<bool>(alive_)] {
    if (!alive.expired()) {
      const auto on_started = std::move(on_started_);  // it may end this object, and itself with it
      on_started(std::move(*outcome));
    }
  });
  if (shell) {
    loop_.run();
  }
}

ShellThread::~ShellThread() {
  alive_.reset();
  loop_.stop();
  thread_.join();
}

}  // namespace skep::host
