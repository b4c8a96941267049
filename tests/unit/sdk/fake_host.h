#pragma once

// A host for one plugin instance in this process: an AsioLoop behind skep.loop/1, and an endpoint
// that calls the plugin. Work runs while a test waits in run_until().

#include <gtest/gtest.h>

#include <mutex>

#include "core/base/asio_loop.h"
#include "skep/plugin.h"
#include "skep/rpc_endpoint.h"

namespace skep {

class FakeHost {
 public:
  explicit FakeHost(bool with_loop = true)
      : core(loop, core_table,
             [this](const std::string& header, const std::string& body) {
               plugin_->deliver(plugin_->self, bytes(header), bytes(body));
               return ok();
             },
             {.name = "core"}) {
    loop_table_ = {
        .struct_size = sizeof(skep_loop_v1),
        .self = this,
        .post = [](void* self, void (*run)(void*), void (*)(void*), void* arg) {
          of(self).loop.post([run, arg] { run(arg); });
        },
        .run_after = [](void* self, std::int64_t delay, void (*run)(void*), void* arg) -> std::uint64_t {
          return of(self).loop.run_after(Duration(delay), [run, arg] { run(arg); });
        },
        .cancel_timer = [](void* self, std::uint64_t id) { of(self).loop.cancel_timer(id); },
        .watch_fd = [](void* self, std::int32_t fd, std::uint32_t events, void (*run)(void*),
                       void* arg) -> std::uint64_t {
          const auto ready = [run, arg] { run(arg); };
          return events == 1 ? of(self).loop.watch_readable(fd, ready)
                             : of(self).loop.watch_writable(fd, ready);
        },
        .unwatch = [](void* self, std::uint64_t id) { of(self).loop.unwatch(id); }};
    host_ = {.struct_size = sizeof(skep_host),
             .abi_major = SKEP_ABI_MAJOR,
             .abi_minor = SKEP_ABI_MINOR,
             .self = this,
             .send = [](void* self, skep_bytes header, skep_bytes body) -> std::int32_t {
               of(self).loop.post([self, h = text(header), b = text(body)] {
                 of(self).core.on_frame(h, b);
               });
               return 0;
             },
             .log = [](void* self, std::int32_t level, skep_bytes line) {
               const std::lock_guard lock(of(self).mutex_);
               of(self).log_ += std::to_string(level) + " " + text(line) + "\n";
             },
             .get_extension = with_loop ? [](void* self, const char* id) -> const void* {
               return std::string_view(id) == "skep.loop/1" ? &of(self).loop_table_ : nullptr;
             } : [](void*, const char*) -> const void* { return nullptr; }};
    entry_ = {.struct_size = sizeof(skep_entry), .abi_major = 1, .abi_minor = 0, .id = "fake",
              .version = "1", .manifest = {}, .create = nullptr};
  }
  ~FakeHost() {
    if (plugin_ != nullptr) {
      plugin_->destroy(plugin_->self);
    }
  }

  template <class Driver>
  bool create() {
    plugin_ = create_plugin(&host_, entry_, []() -> std::unique_ptr<DriverHolder> {
      return std::make_unique<TypedDriverHolder<Driver>>();
    });
    return plugin_ != nullptr;
  }
  std::int32_t start(const std::string& request = {}) {
    return plugin_->start(plugin_->self, bytes(request));
  }
  void stop() { plugin_->stop(plugin_->self); }
  std::string log() {
    const std::lock_guard lock(mutex_);
    return log_;
  }
  bool run_until(const std::function<bool()>& done) {
    const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!done() && std::chrono::steady_clock::now() < limit) {
      loop.run_once(std::chrono::milliseconds(20));
    }
    return done();
  }
  template <class M>
  Result<typename M::Response> call(const typename M::Request& request) {
    std::optional<Result<typename M::Response>> reply;
    rpc::call<M>(core, "fake", request, {}, [&](auto r) { reply = std::move(r); });
    if (!run_until([&] { return reply.has_value(); })) {
      return Error{Code::kTimeout, "the test waited too long"};
    }
    return std::move(*reply);
  }

  static skep_bytes bytes(std::string_view s) {
    return {reinterpret_cast<const std::uint8_t*>(s.data()), s.size()};
  }
  static std::string text(skep_bytes b) {
    return {reinterpret_cast<const char*>(b.data), b.size};
  }

  base::AsioLoop loop;
  rpc::MethodTable core_table;
  rpc::RpcEndpoint core;

 private:
  static FakeHost& of(void* self) { return *static_cast<FakeHost*>(self); }
  skep_loop_v1 loop_table_{};
  skep_host host_{};
  skep_entry entry_{};
  const skep_plugin* plugin_ = nullptr;
  std::mutex mutex_;
  std::string log_;  // guarded by mutex_
};

}  // namespace skep
