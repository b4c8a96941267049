#include "expect.h"
#include "skep/runtime.methods.h"
#include "skep/testing/conformance.h"

namespace skep::testing {
namespace {

using namespace runtime::v1;           // NOLINT(google-build-using-namespace)
using namespace runtime::v1::methods;  // NOLINT(google-build-using-namespace)

const std::string kId(64, 'c');

CreateRequest container(const SuiteOptions& options, const std::string& script) {
  CreateRequest request;
  request.set_container_id(kId);
  request.set_name("skep-conformance");
  request.mutable_spec()->set_image(options.image);
  for (const char* word : {"/bin/sh", "-c"}) {
    request.mutable_spec()->add_command(word);
  }
  request.mutable_spec()->add_command(script);
  return request;
}

template <class M>
auto by_id(Probe& probe) {
  typename M::Request request;
  request.set_container_id(kId);
  return probe.call<M>(request);
}

Result<ExitStatus> run_to_end(Probe& probe, const SuiteOptions& options, const std::string& script) {
  SKEP_TRY(expect_ok(probe.call<Create>(container(options, script)), "create"));
  SKEP_TRY(expect_ok(by_id<Start>(probe), "start"));
  const auto ended = by_id<Wait>(probe);
  SKEP_TRY(expect_ok(ended, "wait"));
  return ended->exit();
}

/// Runs `body` and takes the container away whatever came.
Status cleanly(Probe& probe, const std::function<Status()>& body) {
  Status status = body();
  RemoveRequest request;
  request.set_container_id(kId);
  request.set_force(true);
  const auto removed = probe.call<Remove>(request);
  SKEP_TRY(std::move(status));
  return expect_ok(removed, "remove at the end");
}

std::function<Status(Probe&)> with_container(const SuiteOptions& options,
                                             std::function<Status(Probe&)> body) {
  return [options, body = std::move(body)](Probe& probe) -> Status {
    const auto capabilities = probe.call<Capabilities>({});
    SKEP_TRY(expect_ok(capabilities, "capabilities"));
    if (capabilities->images() && options.image.empty()) {
      return skip("needs an image with /bin/sh: run it again with --image docker-archive:FILE before the plugin");
    }
    return cleanly(probe, [&] { return body(probe); });
  };
}

Status exit_codes(Probe& probe, const SuiteOptions& options) {
  SKEP_TRY_ASSIGN(const ExitStatus ended, run_to_end(probe, options, "exit 7"));
  SKEP_TRY(expect(ended.exit_code() == 7, "wait answers exit code " + std::to_string(ended.exit_code()) + ", not 7"));
  const auto again = by_id<Wait>(probe);
  SKEP_TRY(expect_ok(again, "wait after the end"));
  return expect(again->exit().exit_code() == 7, "wait after the end answers the same code");
}

/// Until the container has printed a line: a signal to one that has not come to its first command says nothing.
Status printed_something(Probe& probe) {
  LogsRequest request;
  request.set_container_id(kId);
  request.set_tail(-1);
  Status last = ok();
  const bool came = probe.wait(
      [&] {
        const auto lines = probe.stream(Logs::kName, request.SerializeAsString());
        last = lines ? ok() : Status(lines.error());
        return !lines || !lines->empty();
      },
      std::chrono::seconds(20));
  SKEP_TRY(expect_ok(last, "logs"));
  return expect(came, "logs gives the line the container printed");
}

Status stops(Probe& probe, const SuiteOptions& options) {
  const auto stubborn = container(options, "trap '' TERM; echo ready; while :; do sleep 0.1; done");
  SKEP_TRY(expect_ok(probe.call<Create>(stubborn), "create"));
  SKEP_TRY(expect_ok(probe.call<Create>(stubborn), "create of the same container again"));
  SKEP_TRY(expect_ok(by_id<Start>(probe), "start"));
  SKEP_TRY(printed_something(probe));
  RemoveRequest unforced;
  unforced.set_container_id(kId);
  SKEP_TRY(expect_error(probe.call<Remove>(unforced), Code::kFailedPrecondition, "remove of a running container"));
  StopRequest request;
  request.set_container_id(kId);
  request.set_grace(200'000'000);
  const auto stopped = probe.call<Stop>(request);
  SKEP_TRY(expect_ok(stopped, "stop"));
  SKEP_TRY(expect(stopped->exit().exit_code() == 137, "one that ignores SIGTERM is killed after the grace: code " +
                                                          std::to_string(stopped->exit().exit_code()) + ", not 137"));
  return expect_ok(probe.call<Stop>(request), "stop of a container that has ended");
}

Status recovers(Probe& probe, const SuiteOptions& options) {
  SKEP_TRY(expect_ok(probe.call<Create>(container(options, "sleep 1000")), "create"));
  const auto started = by_id<Start>(probe);
  SKEP_TRY(expect_ok(started, "start"));
  if (auto crashed = probe.crash(); !crashed && crashed.error().code != Code::kUnimplemented) {
    return crashed;
  }
  RecoverRequest request;
  request.add_container_ids(kId);
  const auto found = probe.call<Recover>(request);
  SKEP_TRY(expect_ok(found, "recover"));
  SKEP_TRY(expect(found->containers_size() == 1 && found->containers(0).pid() == started->pid(),
                  "recover finds the running container with its process"));
  SKEP_TRY(expect_ok(probe.call<Recover>({}), "recover with nothing in use"));
  const auto list = probe.call<List>({});
  SKEP_TRY(expect_ok(list, "list"));
  return expect(list->containers().empty(), "recover removes what nobody knows");
}

}  // namespace

std::vector<Case> runtime_suite(const SuiteOptions& options) {
  return {
      {"unknown containers: wait and start say so, remove succeeds",
       [](Probe& probe) -> Status {
         SKEP_TRY(expect_error(by_id<Wait>(probe), Code::kNotFound, "wait"));
         SKEP_TRY(expect_error(by_id<Start>(probe), Code::kNotFound, "start"));
         return expect_ok(by_id<Remove>(probe), "remove");
       }},
      {"exit codes: wait tells them, also afterwards",
       with_container(options, [options](Probe& probe) { return exit_codes(probe, options); })},
      {"stop: signal, grace, kill; create may be repeated; a running container is not removed",
       with_container(options, [options](Probe& probe) { return stops(probe, options); })},
      {"recover: running containers are found, unknown ones removed, also after a crash",
       with_container(options, [options](Probe& probe) { return recovers(probe, options); })},
  };
}

}  // namespace skep::testing
