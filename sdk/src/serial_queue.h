#pragma once

// Runs jobs one at a time, in order, on the workers: how volume and network drivers are called. At
// most 1,024 wait. Loop thread only; `work` runs on a worker. Kept alive by the handlers that use it.

#include <deque>
#include <exception>
#include <functional>
#include <memory>

#include "skep/driver.h"

namespace skep {

class SerialQueue : public std::enable_shared_from_this<SerialQueue> {
 public:
  explicit SerialQueue(Workers& workers) : workers_(workers) {}

  /// `refused` gets the reason when `work` will never run; otherwise `done` follows it.
  void submit(std::function<void()> work, std::function<void()> done,
              std::function<void(Error)> refused);

 private:
  struct Job {
    std::function<void()> work;
    std::function<void()> done;
    std::function<void(Error)> refused;
  };
  void start_next();

  Workers& workers_;
  std::deque<Job> jobs_;
  bool running_ = false;
};

/// Calls `call(request)`; what it throws becomes kInternal, because a driver is foreign code.
template <class Response, class Call, class Request>
Result<Response> call_guarded(const Call& call, const Request& request) {
  try {
    return call(request);
  } catch (const std::exception& thrown) {
    return Error{Code::kInternal, std::string("the driver threw: ") + thrown.what(), "DRIVER_THREW"};
  } catch (...) {
    return Error{Code::kInternal, "the driver threw an unknown exception", "DRIVER_THREW"};
  }
}

/// Answers M with `call(const Request&) -> Result<Response>`, serialised.
template <class M, class Call>
void serve_serialised(rpc::MethodTable& table, std::shared_ptr<SerialQueue> queue, Call call) {
  using Response = typename M::Response;
  table.on<M>([queue = std::move(queue), call = std::move(call)](
                  const typename M::Request& request, const rpc::CallContext&,
                  rpc::Reply<Response> reply) {
    const auto result = std::make_shared<Result<Response>>(Response());
    queue->submit([call, request, result] { *result = call_guarded<Response>(call, request); },
                  [result, reply] { reply(std::move(*result)); },
                  [reply](Error error) { reply(std::move(error)); });
  });
}

/// Answers with an empty Response when `status` is success.
template <class Response>
Result<Response> empty_or_error(Status status) {
  if (!status) {
    return std::move(status).error();
  }
  return Response();
}

}  // namespace skep
