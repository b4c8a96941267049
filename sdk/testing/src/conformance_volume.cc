#include "expect.h"
#include "skep/testing/conformance.h"
#include "skep/volume.methods.h"

namespace skep::testing {
namespace {

using namespace volume::v1;           // NOLINT(google-build-using-namespace)
using namespace volume::v1::methods;  // NOLINT(google-build-using-namespace)

constexpr const char* kName = "skep-conformance";

auto create(Probe& probe, const std::string& name) {
  CreateRequest request;
  request.set_name(name);
  return probe.call<Create>(request);
}
auto remove(Probe& probe, const std::string& name) {
  RemoveRequest request;
  request.set_name(name);
  return probe.call<Remove>(request);
}
auto mount(Probe& probe, const std::string& name, const std::string& id) {
  MountRequest request;
  request.set_name(name);
  request.set_mount_id(id);
  return probe.call<Mount>(request);
}
auto unmount(Probe& probe, const std::string& name, const std::string& id) {
  UnmountRequest request;
  request.set_name(name);
  request.set_mount_id(id);
  return probe.call<Unmount>(request);
}
auto get(Probe& probe, const std::string& name) {
  GetRequest request;
  request.set_name(name);
  return probe.call<Get>(request);
}

/// Creates a volume, runs `body`, takes it away again whatever came.
Status with_volume(Probe& probe, const std::function<Status()>& body) {
  SKEP_TRY(expect_ok(create(probe, kName), "create"));
  Status status = body();
  for (const char* id : {"m1", "m2"}) {
    (void)unmount(probe, kName, id).has_value();
  }
  const auto removed = remove(probe, kName);
  SKEP_TRY(std::move(status));
  return expect_ok(removed, "remove at the end");
}

Status listed(Probe& probe, bool wanted) {
  const auto list = probe.call<List>({});
  SKEP_TRY(expect_ok(list, "list"));
  bool found = false;
  for (const auto& volume : list->volumes()) {
    found = found || volume.name() == kName;
  }
  return expect(found == wanted, wanted ? "list shows a created volume" : "list shows no removed volume");
}

Status create_is_idempotent(Probe& probe) {
  return with_volume(probe, [&]() -> Status {
    SKEP_TRY(expect_ok(create(probe, kName), "create of the same volume again"));
    SKEP_TRY(listed(probe, true));
    const auto volume = get(probe, kName);
    SKEP_TRY(expect_ok(volume, "get"));
    return expect(volume->volume().name() == kName, "get answers the volume that was asked for");
  });
}

Status mount_counts_ids(Probe& probe) {
  return with_volume(probe, [&]() -> Status {
    const auto first = mount(probe, kName, "m1");
    SKEP_TRY(expect_ok(first, "mount"));
    SKEP_TRY(expect(first->mountpoint().starts_with('/'), "mount answers an absolute path"));
    const auto again = mount(probe, kName, "m1");
    SKEP_TRY(expect_ok(again, "mount with the same id again"));
    SKEP_TRY(expect(again->mountpoint() == first->mountpoint(), "the same volume has one mount point"));
    SKEP_TRY(expect_ok(mount(probe, kName, "m2"), "mount with another id"));
    SKEP_TRY(expect_ok(unmount(probe, kName, "m1"), "unmount"));
    SKEP_TRY(expect_error(remove(probe, kName), Code::kFailedPrecondition, "remove while one id holds it"));
    SKEP_TRY(expect_ok(unmount(probe, kName, "m2"), "unmount of the last id"));
    return expect_ok(unmount(probe, kName, "never"), "unmount of an id that never mounted");
  });
}

Status missing_volumes(Probe& probe) {
  SKEP_TRY(expect_error(get(probe, "skep-no-such"), Code::kNotFound, "get of a volume that is not there"));
  SKEP_TRY(expect_error(mount(probe, "skep-no-such", "m1"), Code::kNotFound, "mount of one"));
  SKEP_TRY(expect_ok(unmount(probe, "skep-no-such", "m1"), "unmount of one"));
  return expect_ok(remove(probe, "skep-no-such"), "remove of one");
}

Status odd_names(Probe& probe) {
  for (const char* name : {"", "../x", "a/b", "-v", ".."}) {
    SKEP_TRY(expect_error(create(probe, name), Code::kInvalidArgument,
                          std::string("create with the name '") + name + "'"));
  }
  const std::string longest(255, 'v');
  SKEP_TRY(expect_ok(create(probe, longest), "create with a name of 255 letters"));
  SKEP_TRY(expect_ok(remove(probe, longest), "its removal"));
  return expect_error(create(probe, std::string(256, 'v')), Code::kInvalidArgument,
                      "create with a name of 256 letters");
}

Status recover_drops_stale_holders(Probe& probe) {
  return with_volume(probe, [&]() -> Status {
    SKEP_TRY(expect_ok(mount(probe, kName, "m1"), "mount"));
    SKEP_TRY(expect_ok(mount(probe, kName, "m2"), "mount"));
    RecoverRequest request;
    auto* used = request.add_mounts();
    used->set_name(kName);
    used->set_mount_id("m1");
    SKEP_TRY(expect_ok(probe.call<Recover>(request), "recover"));
    SKEP_TRY(expect_error(remove(probe, kName), Code::kFailedPrecondition, "remove while m1 holds it"));
    SKEP_TRY(expect_ok(unmount(probe, kName, "m1"), "unmount"));
    return expect_ok(remove(probe, kName), "remove once only the stale m2 held it");
  });
}

Status survives_a_crash(Probe& probe) {
  return with_volume(probe, [&]() -> Status {
    const auto before = mount(probe, kName, "m1");
    SKEP_TRY(expect_ok(before, "mount"));
    if (auto crashed = probe.crash(); !crashed) {
      return crashed.error().code == Code::kUnimplemented ? skip("in-process drivers are not crashed")
                                                          : std::move(crashed);
    }
    SKEP_TRY(listed(probe, true));
    const auto after = mount(probe, kName, "m1");
    SKEP_TRY(expect_ok(after, "mount with the same id after the crash"));
    return expect(after->mountpoint() == before->mountpoint(), "the mount point is the same after a crash");
  });
}

}  // namespace

std::vector<Case> volume_suite() {
  return {
      {"capabilities: the scope is local or global",
       [](Probe& probe) -> Status { return expect_scope(probe.call<Capabilities>({})); }},
      {"create: a repeat is the same volume; get and list agree", create_is_idempotent},
      {"remove: what was removed is not listed",
       [](Probe& probe) -> Status {
         SKEP_TRY(with_volume(probe, [] { return ok(); }));
         return listed(probe, false);
       }},
      {"mount: one reference per mount id, in use until the last is gone", mount_counts_ids},
      {"missing volumes: get and mount say so, unmount and remove succeed", missing_volumes},
      {"names: paths and oddities are refused, 255 letters fit", odd_names},
      {"recover: mounts that are not named are dropped", recover_drops_stale_holders},
      {"crash: volumes, mount points and repeats survive it", survives_a_crash},
  };
}

}  // namespace skep::testing
