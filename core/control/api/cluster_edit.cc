#include "core/control/api/cluster_edit.h"

#include <utility>

#include "core/base/unlock_key.h"
#include "core/control/ca/external_ca.h"
#include "core/control/ca/root_change.h"
#include "core/model/validate.h"

namespace skep::control {
namespace {

using model::v1::Cluster;

Result<store::Ptr<Cluster>> known_cluster(const store::View& view) {
  const auto cluster = view.cluster();
  if (cluster == nullptr) {
    return Error{Code::kUnavailable, "the swarm is being initialised", "NO_CLUSTER"};
  }
  return cluster;
}

/// Every authority names the root it signs for, and somebody can sign.
Status settle_external_cas(Cluster& cluster) {
  if (cluster.root_ca().certificate().empty()) {
    return ok();
  }
  SKEP_TRY(pin_external_cas(*cluster.mutable_spec()->mutable_external_cas(), cluster.root_ca().certificate()));
  const model::v1::RootCa& root = cluster.root_ca();
  const std::string& key = root.has_rotation() ? root.rotation().key() : root.key();
  return key.empty() && external_cas_for(cluster, wanted_root(root)).empty() ? Status(no_signer()) : ok();
}

/// The edit of `known`, as `change` makes it, unless this operation was done before.
template <class Change>
Result<Edit<Cluster>> edit_cluster(const Cluster& known, const std::string& operation_id,
                                   Change change) {
  Edit<Cluster> edit;
  edit.object = known;
  if (has_operation(known.meta(), operation_id)) {
    return edit;
  }
  SKEP_TRY(change(edit.object));
  note_operation(*edit.object.mutable_meta(), operation_id);
  edit.transaction.put(edit.object);
  return edit;
}

}  // namespace

Result<Edit<Cluster>> update_cluster(const store::View& view,
                                     const control::v1::UpdateClusterRequest& request,
                                     const std::string& operation_id, Random& random) {
  SKEP_TRY_ASSIGN(const auto known, known_cluster(view));
  return edit_cluster(*known, operation_id, [&](Cluster& cluster) -> Status {
    SKEP_TRY(check_version("swarm", known->id(), request.version(), known->meta().version()));
    SKEP_TRY(model::validate_cluster_spec(request.spec()));
    *cluster.mutable_spec() = request.spec();
    SKEP_TRY(settle_external_cas(cluster));
    if (!request.spec().autolock()) {
      cluster.clear_unlock_key();
    } else if (cluster.unlock_key().empty()) {
      cluster.set_unlock_key(base::new_unlock_key(random));
    }
    return ok();
  });
}

Result<Edit<Cluster>> rotate_unlock_key(const store::View& view, const std::string& operation_id,
                                        Random& random) {
  SKEP_TRY_ASSIGN(const auto known, known_cluster(view));
  return edit_cluster(*known, operation_id, [&](Cluster& cluster) -> Status {
    if (!known->spec().autolock()) {
      return Error{
          Code::kFailedPrecondition,
          "cannot rotate because autolock is not turned on: 'agentctl swarm update --autolock'",
          "AUTOLOCK_OFF"};
    }
    cluster.set_unlock_key(base::new_unlock_key(random));
    return ok();
  });
}

Result<Edit<Cluster>> rotate_root(const store::View& view,
                                  const control::v1::RotateRootRequest& request,
                                  const std::string& operation_id, WallTime now,
                                  const OutsideProof& outside) {
  SKEP_TRY_ASSIGN(const auto known, known_cluster(view));
  return edit_cluster(*known, operation_id, [&](Cluster& cluster) -> Status {
    SKEP_TRY(check_root_request(request));
    if (request.certificate_lifetime() != 0) {
      cluster.mutable_spec()->set_certificate_expiry(request.certificate_lifetime());
    }
    if (request.external_cas_size() != 0) {
      *cluster.mutable_spec()->mutable_external_cas() = request.external_cas();
      SKEP_TRY(pin_external_cas(*cluster.mutable_spec()->mutable_external_cas(), request.certificate()));
    }
    SKEP_TRY(model::validate_cluster_spec(cluster.spec()));
    SKEP_TRY_ASSIGN(*cluster.mutable_root_ca(),
                    begin_rotation(known->root_ca(), request.certificate(), request.key(), now, outside));
    return settle_external_cas(cluster);
  });
}

}  // namespace skep::control
