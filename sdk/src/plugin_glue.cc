// The only place where a plugin's exceptions become error codes.

#include <atomic>
#include <exception>
#include <optional>

#include "host_loop.h"
#include "skep/log.h"
#include "skep/plugin.h"
#include "skep/plugin.methods.h"
#include "skep/posix_env.h"
#include "skep/rpc_endpoint.h"

namespace skep {
namespace {

constexpr std::size_t kWorkersDefault = 4;
constexpr std::size_t kWorkersMax = 64;
constexpr std::size_t kServedMax = 8192;  // above what the router lets through at a time (4,096)

/// The log belongs to the shared object, so it goes to the host of the newest instance.
std::atomic<const skep_host*> g_log_host{nullptr};

void host_log(LogLevel level, std::string_view line) {
  if (const skep_host* const host = g_log_host.load()) {
    host->log(host->self, static_cast<std::int32_t>(level),
              {reinterpret_cast<const std::uint8_t*>(line.data()), line.size()});
  }
}

skep_bytes as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}
std::string_view as_text(skep_bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data), bytes.size};
}

/// Workers whose work cannot end the process by throwing.
class GuardedWorkers final : public Workers {
 public:
  explicit GuardedWorkers(Workers& workers) : workers_(workers) {}
  Status run(std::function<void()> work, std::function<void()> done) override {
    return workers_.run([work = std::move(work)] { run_guarded("worker", work); }, std::move(done));
  }

 private:
  Workers& workers_;
};

Error thrown_error(const char* what) {
  return Error{Code::kInternal, std::string("the driver threw: ") + what, "DRIVER_THREW"};
}

/// `entry`, but a handler that throws answers kInternal with what it threw.
rpc::MethodTable::Entry guarded(rpc::MethodTable::Entry entry) {
  rpc::MethodTable::Entry result;
  if (entry.unary) {
    result.unary = [inner = entry.unary](rpc::Body body, const rpc::CallContext& context,
                                         rpc::OnReply reply) {
      const auto replied = std::make_shared<bool>(false);
      const rpc::OnReply once = [replied, reply](Result<rpc::Body> answer) {
        if (!std::exchange(*replied, true)) {
          reply(std::move(answer));
        }
      };
      try {
        inner(std::move(body), context, once);
      } catch (const std::exception& thrown) {
        once(thrown_error(thrown.what()));
      } catch (...) {
        once(thrown_error("an unknown exception"));
      }
    };
  }
  if (entry.stream) {
    result.stream = [inner = entry.stream](rpc::Body body, std::shared_ptr<rpc::ServerStream> stream) {
      try {
        inner(std::move(body), stream);
      } catch (const std::exception& thrown) {
        stream->finish(thrown_error(thrown.what()));
      } catch (...) {
        stream->finish(thrown_error("an unknown exception"));
      }
    };
  }
  return result;
}

class PluginInstance {
 public:
  PluginInstance(const skep_host* host, const skep_loop_v1* loop, const skep_entry& entry,
                 std::unique_ptr<DriverHolder> driver)
      : host_(host), id_(entry.id), loop_(loop, clock_), driver_(std::move(driver)) {
    abi_ = {.struct_size = sizeof(skep_plugin),
            .self = this,
            .start = [](void* self, skep_bytes request) {
              return of(self).guard("start", [&] { return of(self).start(as_text(request)); });
            },
            .deliver = [](void* self, skep_bytes header, skep_bytes body) {
              of(self).guard("deliver", [&] { return of(self).deliver(as_text(header), as_text(body)); });
            },
            .stop = [](void* self) {
              of(self).guard("stop", [&] { return of(self).stop(); });
            },
            .destroy = [](void* self) { run_guarded("destroy", [self] { delete &of(self); }); },
            .get_extension = [](void*, const char*) -> const void* { return nullptr; }};
  }
  ~PluginInstance() {
    running_.reset();
    loop_.close();
    driver_.reset();
    const skep_host* mine = host_;
    g_log_host.compare_exchange_strong(mine, nullptr);
  }
  PluginInstance(const PluginInstance&) = delete;
  PluginInstance& operator=(const PluginInstance&) = delete;

  [[nodiscard]] const skep_plugin* abi() const { return &abi_; }

 private:
  /// What exists between start and stop.
  struct Running {
    Running(PluginInstance& plugin, plugin::v1::StartRequest start_request)
        : request(std::move(start_request)),
          pool(plugin.loop_, std::min<std::size_t>(kWorkersMax, request.worker_threads() == 0
                                                                    ? kWorkersDefault
                                                                    : request.worker_threads())),
          workers(pool),
          env{plugin.clock_, plugin.random_, plugin.loop_, workers, plugin.disk_, plugin.subprocess_},
          endpoint(plugin.loop_, table,
                   [host = plugin.host_](const std::string& header, const std::string& body) {
                     return sent(host->send(host->self, as_bytes(header), as_bytes(body)));
                   },
                   {.epoch = plugin.random_.next(), .served_max = kServedMax, .name = plugin.id_}),
          context{env, endpoint, request} {}
    static Status sent(std::int32_t code) {
      if (code == 0) {
        return ok();
      }
      return Error{static_cast<Code>(code), "the bus did not take the message", "NOT_SENT"};
    }
    plugin::v1::StartRequest request;
    WorkerPool pool;
    GuardedWorkers workers;
    Env env;
    rpc::MethodTable table;
    rpc::RpcEndpoint endpoint;
    DriverContext context;
  };

  static PluginInstance& of(void* self) { return *static_cast<PluginInstance*>(self); }

  template <class Work>
  std::int32_t guard(const char* where, const Work& work) noexcept {
    std::int32_t code = static_cast<std::int32_t>(Code::kInternal);
    run_guarded(where, [&] {
      const Status status = work();
      if (!status) {
        SKEP_ERROR("plugin call failed", {"where", where}, {"cause", status.error().message});
      }
      code = status ? 0 : static_cast<std::int32_t>(status.error().code);
    });
    return code;
  }

  Status start(std::string_view bytes) {
    plugin::v1::StartRequest request;
    if (!request.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
      return Error{Code::kInvalidArgument, "malformed skep.plugin.v1.StartRequest"};
    }
    running_.emplace(*this, std::move(request));
    rpc::MethodTable bound;
    driver_->bind(bound, running_->env);
    bound.on_sync<plugin::v1::methods::Status>(
        [this](const auto&) -> Result<plugin::v1::StatusResponse> {
          return driver_->driver().status();
        });
    for (const auto& [name, entry] : bound.entries()) {
      running_->table.set(name, guarded(entry));
    }
    return driver_->driver().start(running_->context);
  }

  Status deliver(std::string_view header, std::string_view body) {
    if (!running_) {
      return Error{Code::kFailedPrecondition, "a message came outside start and stop"};
    }
    running_->endpoint.on_frame(header, body);
    return ok();
  }

  Status stop() {
    if (!running_) {
      return ok();
    }
    if (driver_->serialised()) {
      running_->pool.stop();
    }
    run_guarded("driver stop", [this] { driver_->driver().stop(); });
    running_->pool.stop();
    loop_.close();
    running_.reset();
    return ok();
  }

  const skep_host* host_;
  const std::string id_;
  PosixClock clock_;
  PosixRandom random_;
  PosixDisk disk_;
  PosixSubprocess subprocess_;
  HostLoop loop_;
  std::unique_ptr<DriverHolder> driver_;
  std::optional<Running> running_;
  skep_plugin abi_{};
};

}  // namespace

const skep_plugin* create_plugin(const skep_host* host, const skep_entry& entry,
                                 std::unique_ptr<DriverHolder> (*make)()) noexcept {
  const skep_plugin* made = nullptr;
  g_log_host.store(host);
  static const bool sink_is_set = (log::set_sink(host_log), true);  // once: others may log already
  (void)sink_is_set;
  run_guarded("create", [&] {
    const auto* const loop =
        static_cast<const skep_loop_v1*>(host->get_extension(host->self, "skep.loop/1"));
    if (loop == nullptr) {
      SKEP_ERROR("the host has no extension skep.loop/1: it is older than this plugin");
      return;
    }
    made = (new PluginInstance(host, loop, entry, make()))->abi();
  });
  return made;
}

}  // namespace skep
