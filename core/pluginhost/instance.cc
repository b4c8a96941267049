#include "core/pluginhost/instance.h"

#include <algorithm>
#include <mutex>

#include "core/pluginhost/loader.h"

namespace skep::host {
namespace {

skep_bytes bytes_of(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}
std::string_view view_of(skep_bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data), bytes.size};
}

/// One posted call: runs once, or is dropped once when the loop ends before.
class PostedCall {
 public:
  PostedCall(void (*call)(void*), void (*drop)(void*), void* arg)
      : call_(call), drop_(drop), arg_(arg) {}
  ~PostedCall() {
    if (call_ != nullptr && drop_ != nullptr) {
      drop_(arg_);
    }
  }
  PostedCall(const PostedCall&) = delete;
  PostedCall& operator=(const PostedCall&) = delete;
  void run() { std::exchange(call_, nullptr)(arg_); }

 private:
  void (*call_)(void*);
  void (*drop_)(void*);
  void* arg_;
};

}  // namespace

/// The tables behind the host's side of the door. `self` of both points here.
struct PluginInstance::Host {
  Host(Loop& the_loop, Send the_send, Log the_log)
      : loop(the_loop), send(std::move(the_send)), log(std::move(the_log)) {
    host_table = {sizeof(skep_host), SKEP_ABI_MAJOR, SKEP_ABI_MINOR, this, &Host::on_send,
                  &Host::on_log,     &Host::on_get_extension};
    loop_table = {sizeof(skep_loop_v1), this,           &Host::on_post, &Host::on_run_after,
                  &Host::on_cancel,     &Host::on_watch, &Host::on_unwatch};
  }

  static Host& of(void* self) { return *static_cast<Host*>(self); }

  static std::int32_t on_send(void* self, skep_bytes header, skep_bytes body) {
    auto status = of(self).send(std::string(view_of(header)), std::string(view_of(body)));
    return status ? 0 : static_cast<std::int32_t>(status.error().code);
  }
  static void on_log(void* self, std::int32_t level, skep_bytes text) {
    Host& host = of(self);
    const auto known = static_cast<LogLevel>(std::clamp<std::int32_t>(level, 0, 4));
    if (known >= LogLevel::kWarn) {
      const std::lock_guard lock(host.mutex);
      host.last_complaint = std::string(view_of(text));
    }
    host.log(known, view_of(text));
  }
  static const void* on_get_extension(void* self, const char* id) {
    return std::string_view(id) == "skep.loop/1" ? &of(self).loop_table : nullptr;
  }
  static void on_post(void* self, void (*call)(void*), void (*drop)(void*), void* arg) {
    auto posted = std::make_shared<PostedCall>(call, drop, arg);
    of(self).loop.post([posted] { posted->run(); });
  }
  static std::uint64_t on_run_after(void* self, std::int64_t delay_ns, void (*call)(void*), void* arg) {
    return of(self).loop.run_after(Duration(delay_ns), [call, arg] { call(arg); });
  }
  static void on_cancel(void* self, std::uint64_t id) { of(self).loop.cancel_timer(id); }
  static std::uint64_t on_watch(void* self, std::int32_t fd, std::uint32_t events, void (*call)(void*),
                                void* arg) {
    return (events & 2) != 0 ? of(self).loop.watch_writable(fd, [call, arg] { call(arg); })
                             : of(self).loop.watch_readable(fd, [call, arg] { call(arg); });
  }
  static void on_unwatch(void* self, std::uint64_t id) { of(self).loop.unwatch(id); }

  Loop& loop;
  Send send;
  Log log;
  skep_host host_table{};
  skep_loop_v1 loop_table{};
  std::mutex mutex;
  std::string last_complaint;  // guarded by mutex: plugins log from any thread
};

PluginInstance::PluginInstance(std::unique_ptr<Host> host, std::string id)
    : host_(std::move(host)), id_(std::move(id)) {}

Result<std::unique_ptr<PluginInstance>> PluginInstance::create(const std::string& path,
                                                               const Manifest& manifest, Loop& loop,
                                                               Send send, Log log) {
  SKEP_TRY_ASSIGN(const skep_entry* entry, load_entry(path, manifest));
  std::unique_ptr<PluginInstance> instance(new PluginInstance(
      std::make_unique<Host>(loop, std::move(send), std::move(log)), manifest.id));
  const skep_plugin* plugin = entry->create(&instance->host_->host_table);
  if (auto status = check_plugin(plugin); !status) {
    return std::move(status).error().with_context(path);
  }
  instance->plugin_ = plugin;
  return instance;
}

PluginInstance::~PluginInstance() {
  stop();
  if (plugin_ != nullptr) {
    plugin_->destroy(plugin_->self);
  }
}

Status PluginInstance::start(std::string_view start_request) {
  const std::int32_t code = plugin_->start(plugin_->self, bytes_of(start_request));
  if (code == 0) {
    started_ = true;
    return ok();
  }
  const std::lock_guard lock(host_->mutex);
  const bool known = code >= 1 && code <= static_cast<std::int32_t>(Code::kInternal);
  return Error{known ? static_cast<Code>(code) : Code::kInternal,
               "plugin '" + id_ + "' did not start: " +
                   (host_->last_complaint.empty() ? "it gave no reason (code " + std::to_string(code) + ")"
                                                  : host_->last_complaint),
               "START_FAILED"};
}

void PluginInstance::deliver(std::string_view header, std::string_view body) {
  if (started_) {
    plugin_->deliver(plugin_->self, bytes_of(header), bytes_of(body));
  }
}

void PluginInstance::stop() {
  if (started_) {
    started_ = false;
    plugin_->stop(plugin_->self);
  }
}

}  // namespace skep::host
