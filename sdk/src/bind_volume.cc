#include "serial_queue.h"
#include "skep/volume.h"

namespace skep {

void bind_driver(rpc::MethodTable& table, VolumeDriver& driver, Env& env) {
  namespace v1 = volume::v1;
  namespace methods = volume::v1::methods;
  const auto queue = std::make_shared<SerialQueue>(env.workers);
  VolumeDriver* const d = &driver;  // outlives the table: both belong to the plugin instance
  serve_serialised<methods::Capabilities>(
      table, queue, [d](const auto&) -> Result<v1::CapabilitiesResponse> { return d->capabilities(); });
  serve_serialised<methods::Create>(
      table, queue, [d](const auto& request) -> Result<v1::CreateResponse> {
        v1::CreateResponse response;
        SKEP_TRY_ASSIGN(*response.mutable_volume(), d->create(request));
        return response;
      });
  serve_serialised<methods::Remove>(table, queue, [d](const auto& request) {
    return empty_or_error<v1::RemoveResponse>(d->remove(request));
  });
  serve_serialised<methods::Mount>(
      table, queue, [d](const auto& request) -> Result<v1::MountResponse> {
        v1::MountResponse response;
        SKEP_TRY_ASSIGN(*response.mutable_mountpoint(), d->mount(request));
        return response;
      });
  serve_serialised<methods::Unmount>(table, queue, [d](const auto& request) {
    return empty_or_error<v1::UnmountResponse>(d->unmount(request));
  });
  serve_serialised<methods::Path>(
      table, queue, [d](const auto& request) -> Result<v1::PathResponse> {
        SKEP_TRY_ASSIGN(const v1::Volume volume, d->get(request.name()));
        v1::PathResponse response;
        response.set_mountpoint(volume.mountpoint());
        return response;
      });
  serve_serialised<methods::Get>(table, queue, [d](const auto& request) -> Result<v1::GetResponse> {
    v1::GetResponse response;
    SKEP_TRY_ASSIGN(*response.mutable_volume(), d->get(request.name()));
    return response;
  });
  serve_serialised<methods::List>(table, queue, [d](const auto&) -> Result<v1::ListResponse> {
    SKEP_TRY_ASSIGN(const std::vector<v1::Volume> volumes, d->list());
    v1::ListResponse response;
    response.mutable_volumes()->Assign(volumes.begin(), volumes.end());
    return response;
  });
  serve_serialised<methods::Recover>(table, queue, [d](const auto& request) {
    return empty_or_error<v1::RecoverResponse>(d->recover(request));
  });
}

}  // namespace skep
