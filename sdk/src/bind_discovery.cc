#include "skep/discovery.h"

namespace skep {

void bind_driver(rpc::MethodTable& table, DiscoveryDriver& driver, Env&) {
  namespace methods = discovery::v1::methods;
  DiscoveryDriver* const d = &driver;  // outlives the table: both belong to the plugin instance
  table.on<methods::Register>([d](const auto& request, const auto&, auto reply) {
    d->register_self(request, std::move(reply));
  });
  table.on<methods::Deregister>(
      [d](const auto&, const auto&, auto reply) { d->deregister(std::move(reply)); });
  table.on<methods::List>(
      [d](const auto&, const auto&, auto reply) { d->list(std::move(reply)); });
  table.on_stream<methods::Watch>(
      [d](const auto& request, auto stream) { d->watch(request, std::move(stream)); });
}

}  // namespace skep
