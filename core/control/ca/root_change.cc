#include "core/control/ca/root_change.h"

#include <memory>
#include <utility>

#include "core/control/ca/external_ca.h"
#include "core/link/outside.h"
#include "core/model/validate.h"

namespace skep::control {
namespace {

Error bad_root(std::string why) { return {Code::kInvalidArgument, std::move(why), "BAD_ROOT"}; }

/// One certificate of the new root, for a node of no swarm: its authority is there and signs.
Result<OutsideQuestion> probe_question(const model::v1::Cluster& cluster, const control::v1::RotateRootRequest& request,
                                       Clock& clock) {
  model::v1::Cluster later = cluster;
  *later.mutable_spec()->mutable_external_cas() = request.external_cas();
  OutsideQuestion question;
  question.authorities = external_cas_for(later, request.certificate());
  if (question.authorities.empty()) {
    return bad_root("no external certificate authority signs for the new root: without a key one must "
                    "('external-ca' without 'cacert', or with that root in it)");
  }
  question.trusted = trusted_roots(cluster.root_ca());
  SKEP_TRY_ASSIGN(const auto probe, link::make_request());
  const link::Identity identity{kProbe, link::Role::kWorker, kProbe};
  question.body = signing_question(probe.request, identity);
  if (request.certificate_lifetime() != 0) {
    later.mutable_spec()->set_certificate_expiry(request.certificate_lifetime());
  }
  question.check = [&clock, probe = probe.request, identity, root = request.certificate(),
                    life = certificate_life(later.spec())](const std::string& made) {
    return link::check_signed(made, probe, identity, root, clock.wall_now(), life);
  };
  return question;
}

Result<OutsideQuestion> cross_question(const model::v1::Cluster& cluster, const control::v1::RotateRootRequest& request,
                                       Clock& clock) {
  const std::string& old_root = cluster.root_ca().certificate();
  if (request.key().empty()) {
    return Error{Code::kFailedPrecondition,
                 "neither the key of the present root nor that of the new one is in the swarm, so nobody can vouch for "
                 "the new one: rotate to a root of the swarm's own first ('agentctl swarm ca --rotate'), and then on",
                 "BOTH_OUTSIDE"};
  }
  OutsideQuestion question;
  question.authorities = external_cas_for(cluster, old_root);
  if (question.authorities.empty()) {
    return no_signer();
  }
  question.trusted = trusted_roots(cluster.root_ca());
  SKEP_TRY_ASSIGN(const std::string asked, link::root_request({request.certificate(), request.key()}));
  question.body = cross_signing_question(asked);
  question.check = [&clock, old_root, root = request.certificate()](const std::string& made) {
    return link::check_cross_signed(made, root, old_root, clock.wall_now());
  };
  return question;
}

}  // namespace

Status check_root_request(const control::v1::RotateRootRequest& request) {
  if (request.certificate().empty() && !request.key().empty()) {
    return bad_root("a root certificate and its key must be given together");
  }
  if (request.certificate().empty() && request.external_cas_size() != 0) {
    return bad_root("an external certificate authority comes with the root that it signs for: give its certificate too");
  }
  if (!request.certificate().empty() && request.key().empty() && request.external_cas_size() == 0) {
    return bad_root("a root certificate needs its key, or an external certificate authority that has it");
  }
  return ok();
}

Result<RootChange> plan_root_change(const store::View& view, const control::v1::RotateRootRequest& request,
                                    Clock& clock) {
  const auto cluster = view.cluster();
  if (cluster == nullptr || cluster->root_ca().certificate().empty()) {
    return Error{Code::kFailedPrecondition, "this swarm has no certificate authority yet", "NO_ROOT_CA"};
  }
  SKEP_TRY(check_root_request(request));
  model::v1::ClusterSpec spec;
  *spec.mutable_external_cas() = request.external_cas();
  SKEP_TRY(model::validate_cluster_spec(spec));
  RootChange change;
  change.request = request;
  auto& wanted = change.request;
  if (wanted.certificate().empty()) {
    SKEP_TRY_ASSIGN(const auto made, link::make_root(clock.wall_now()));
    wanted.set_certificate(made.certificate);
    wanted.set_key(made.key);
  }
  SKEP_TRY(link::check_root_pair({wanted.certificate(), wanted.key()}, clock.wall_now()));
  SKEP_TRY(pin_external_cas(*wanted.mutable_external_cas(), wanted.certificate()));
  if (wanted.key().empty()) {
    SKEP_TRY_ASSIGN(change.probe, probe_question(*cluster, wanted, clock));
  }
  SKEP_TRY_ASSIGN(const auto digest, link::certificate_digest(wanted.certificate()));
  SKEP_TRY_ASSIGN(const auto present, link::certificate_digest(cluster->root_ca().certificate()));
  if (digest != present && cluster->root_ca().key().empty()) {
    SKEP_TRY_ASSIGN(change.cross_signing, cross_question(*cluster, wanted, clock));
  }
  return change;
}

void ask_root_change(Env& env, bus::HttpsClient* https, const RootChange& change,
                     std::function<void(Result<OutsideProof>)> done) {
  if (change.probe) {
    return ask_outside(env, https, *change.probe, [done = std::move(done)](Result<std::string> probe) {
      probe ? done(OutsideProof{.probe = *std::move(probe)}) : done(std::move(probe).error());
    });
  }
  if (change.cross_signing) {
    return ask_outside(env, https, *change.cross_signing, [done = std::move(done)](Result<std::string> signed_) {
      signed_ ? done(OutsideProof{.cross_signed = *std::move(signed_)})
              : done(std::move(signed_).error().with_context(
                    "the old root must vouch for the new one, and its key is outside (its authority needs a "
                    "profile 'CA' that makes CAs)"));
    });
  }
  done(OutsideProof{});
}

}  // namespace skep::control
