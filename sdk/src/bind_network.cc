#include "serial_queue.h"
#include "skep/network.h"

namespace skep {

namespace v1 = network::v1;

Result<v1::PublishResponse> NetworkDriver::publish(const v1::PublishRequest& request) {
  if (request.ports().empty()) {
    return v1::PublishResponse();
  }
  return Error{Code::kUnimplemented, "this network driver publishes no ports", "NO_PORTS"};
}

Status NetworkDriver::unpublish(const v1::UnpublishRequest& request) {
  (void)request;
  return ok();  // nothing was ever published
}

void bind_driver(rpc::MethodTable& table, NetworkDriver& driver, Env& env) {
  namespace methods = network::v1::methods;
  const auto queue = std::make_shared<SerialQueue>(env.workers);
  NetworkDriver* const d = &driver;  // outlives the table: both belong to the plugin instance
  serve_serialised<methods::Capabilities>(
      table, queue, [d](const auto&) -> Result<v1::CapabilitiesResponse> { return d->capabilities(); });
  serve_serialised<methods::CreateNetwork>(
      table, queue, [d](const auto& request) { return d->create_network(request); });
  serve_serialised<methods::DeleteNetwork>(table, queue, [d](const auto& request) {
    return empty_or_error<v1::DeleteNetworkResponse>(d->delete_network(request));
  });
  serve_serialised<methods::CreateEndpoint>(
      table, queue, [d](const auto& request) { return d->create_endpoint(request); });
  serve_serialised<methods::Join>(table, queue,
                                  [d](const auto& request) { return d->join(request); });
  serve_serialised<methods::Leave>(table, queue, [d](const auto& request) {
    return empty_or_error<v1::LeaveResponse>(d->leave(request));
  });
  serve_serialised<methods::DeleteEndpoint>(table, queue, [d](const auto& request) {
    return empty_or_error<v1::DeleteEndpointResponse>(d->delete_endpoint(request));
  });
  serve_serialised<methods::Publish>(table, queue,
                                     [d](const auto& request) { return d->publish(request); });
  serve_serialised<methods::Unpublish>(table, queue, [d](const auto& request) {
    return empty_or_error<v1::UnpublishResponse>(d->unpublish(request));
  });
  serve_serialised<methods::List>(table, queue, [d](const auto&) { return d->list(); });
  serve_serialised<methods::Recover>(table, queue, [d](const auto& request) {
    return empty_or_error<v1::RecoverResponse>(d->recover(request));
  });
}

}  // namespace skep
