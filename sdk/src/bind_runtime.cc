#include "skep/runtime.h"

namespace skep {

namespace v1 = runtime::v1;
namespace methods = runtime::v1::methods;

namespace {
Error unimplemented(std::string what) {
  return Error{Code::kUnimplemented, "this runtime driver has no " + std::move(what),
               "NOT_IN_THIS_DRIVER"};
}
}  // namespace

void RuntimeDriver::pull(const v1::PullRequest&, Stream<methods::Pull> stream) {
  stream.finish(unimplemented("images"));
}
void RuntimeDriver::list_images(Reply<v1::ListImagesResponse> reply) {
  reply(unimplemented("images"));
}
void RuntimeDriver::remove_image(const v1::RemoveImageRequest&,
                                 Reply<v1::RemoveImageResponse> reply) {
  reply(unimplemented("images"));
}
void RuntimeDriver::inspect_image(const v1::InspectImageRequest&,
                                  Reply<v1::InspectImageResponse> reply) {
  reply(unimplemented("images"));
}
void RuntimeDriver::exec(const v1::ExecInput&, Stream<methods::Exec> stream) {
  stream.finish(unimplemented("exec"));
}
void RuntimeDriver::attach(const v1::AttachInput&, Stream<methods::Attach> stream) {
  stream.finish(unimplemented("attach"));
}
void RuntimeDriver::logs(const v1::LogsRequest&, Stream<methods::Logs> stream) {
  stream.finish(unimplemented("logs"));
}
void RuntimeDriver::stats(const v1::StatsRequest&, Reply<v1::StatsResponse> reply) {
  reply(unimplemented("statistics"));
}

void bind_driver(rpc::MethodTable& table, RuntimeDriver& driver, Env&) {
  RuntimeDriver* const d = &driver;  // outlives the table: both belong to the plugin instance
  table.on_sync<methods::Capabilities>(
      [d](const auto&) -> Result<v1::CapabilitiesResponse> { return d->capabilities(); });
  table.on_stream<methods::Pull>(
      [d](const auto& request, auto stream) { d->pull(request, std::move(stream)); });
  table.on<methods::ListImages>(
      [d](const auto&, const auto&, auto reply) { d->list_images(std::move(reply)); });
  table.on<methods::RemoveImage>([d](const auto& request, const auto&, auto reply) {
    d->remove_image(request, std::move(reply));
  });
  table.on<methods::InspectImage>([d](const auto& request, const auto&, auto reply) {
    d->inspect_image(request, std::move(reply));
  });
  table.on<methods::Create>(
      [d](const auto& request, const auto&, auto reply) { d->create(request, std::move(reply)); });
  table.on<methods::Start>([d](const auto& request, const auto&, auto reply) {
    d->start_container(request, std::move(reply));
  });
  table.on<methods::Wait>(
      [d](const auto& request, const auto&, auto reply) { d->wait(request, std::move(reply)); });
  table.on<methods::Signal>(
      [d](const auto& request, const auto&, auto reply) { d->signal(request, std::move(reply)); });
  table.on<methods::Stop>([d](const auto& request, const auto&, auto reply) {
    d->stop_container(request, std::move(reply));
  });
  table.on<methods::Remove>(
      [d](const auto& request, const auto&, auto reply) { d->remove(request, std::move(reply)); });
  table.on<methods::List>(
      [d](const auto&, const auto&, auto reply) { d->list(std::move(reply)); });
  table.on<methods::Inspect>(
      [d](const auto& request, const auto&, auto reply) { d->inspect(request, std::move(reply)); });
  table.on_stream<methods::Exec>(
      [d](const auto& first, auto stream) { d->exec(first, std::move(stream)); });
  table.on_stream<methods::Attach>(
      [d](const auto& first, auto stream) { d->attach(first, std::move(stream)); });
  table.on_stream<methods::Logs>(
      [d](const auto& request, auto stream) { d->logs(request, std::move(stream)); });
  table.on<methods::Stats>(
      [d](const auto& request, const auto&, auto reply) { d->stats(request, std::move(reply)); });
  table.on<methods::Recover>(
      [d](const auto& request, const auto&, auto reply) { d->recover(request, std::move(reply)); });
}

}  // namespace skep
