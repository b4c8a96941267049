#include "core/control/ca/root_rotation.h"

#include "core/base/hex.h"
#include "core/link/join_token.h"
#include "skep/mutant.h"

namespace skep::control {
namespace {

constexpr int kWaitingNamed = 10;

/// A certificate that the new root signed: by its key, or as its authority outside did.
Result<std::string> make_probe(const link::CertifiedKey& issuer, const OutsideProof& outside, WallTime now) {
  if (issuer.key.empty()) {
    return outside.probe;
  }
  SKEP_TRY_ASSIGN(const auto probe, link::make_request());
  return link::sign_request(issuer, probe.request, {kProbe, link::Role::kWorker, kProbe}, now, link::kCertificateLifeMin);
}

/// What it signed as somebody with only `roots` would check it: the proof that the chain holds.
Status prove(const std::string& leaf, const std::string& chain, const std::string& roots, WallTime now) {
  const auto good = link::verify_certificate(leaf + chain, roots, kProbe, now);
  return good ? ok()
              : Status(Error{Code::kInvalidArgument,
                             "the certificate cannot be the root of a swarm: what it signs is not "
                             "accepted (" +
                                 good.error().message + ")",
                             "BAD_ROOT"});
}

/// The new root's key as certified by the old root.
Result<std::string> vouched_for(const model::v1::RootCa& root, const std::string& wanted, const OutsideProof& outside) {
  return root.key().empty() ? Result<std::string>(outside.cross_signed)
                            : link::cross_sign({root.certificate(), root.key()}, wanted);
}

/// During a rotation, what a node said before it heard of it does not count: it may have got another certificate
/// since, when one rotation took the place of another.
bool is_certified(const model::v1::Node& node, const link::Issuer& wanted, const model::v1::RootCa& root) {
  const auto& tls = node.description().tls();
  const bool heard = !root.has_rotation() || tls.root_version() == root.version();
  return heard && tls.issuer_public_key() == wanted.public_key;
}

}  // namespace

std::string trusted_roots(const model::v1::RootCa& root) {
  if (SKEP_MUTANT(kRotationForgetsOldRoot)) {
    return wanted_root(root);
  }
  return root.certificate() + (root.has_rotation() ? root.rotation().certificate() : std::string());
}

const std::string& wanted_root(const model::v1::RootCa& root) {
  return root.has_rotation() ? root.rotation().certificate() : root.certificate();
}

Result<model::v1::RootCa> begin_rotation(const model::v1::RootCa& root,
                                         const std::string& certificate, const std::string& key,
                                         WallTime now, const OutsideProof& outside) {
  link::CertifiedKey wanted{certificate, key};
  if (certificate.empty() && key.empty()) {
    SKEP_TRY_ASSIGN(wanted, link::make_root(now));
  }
  SKEP_TRY(link::check_root_pair(wanted, now));
  model::v1::RootCa changed = root;
  changed.clear_rotation();
  changed.set_version(root.version() + 1);
  SKEP_TRY_ASSIGN(const auto digest, link::certificate_digest(wanted.certificate));
  SKEP_TRY_ASSIGN(const auto present, link::certificate_digest(root.certificate()));
  SKEP_TRY_ASSIGN(const std::string probe, make_probe(wanted, outside, now));
  if (digest == present) {
    SKEP_TRY(prove(probe, "", root.certificate(), now));
    changed.set_key(wanted.key);
    return changed;
  }
  // One line end, so that two follow each other as text.
  if (!wanted.certificate.ends_with('\n')) {
    wanted.certificate += '\n';
  }
  auto& rotation = *changed.mutable_rotation();
  rotation.set_certificate(wanted.certificate);
  rotation.set_key(wanted.key);
  SKEP_TRY_ASSIGN(*rotation.mutable_cross_signed(), vouched_for(root, wanted.certificate, outside));
  SKEP_TRY(prove(probe, "", wanted.certificate, now));
  SKEP_TRY(prove(probe, rotation.cross_signed(), root.certificate(), now));
  return changed;
}

bool rotation_complete(const store::View& view) {
  const auto cluster = view.cluster();
  if (cluster == nullptr || !cluster->root_ca().has_rotation()) {
    return false;
  }
  const auto wanted = link::as_issuer(wanted_root(cluster->root_ca()));
  if (!wanted) {
    return false;
  }
  for (const auto& [id, node] : view.all<model::v1::Node>()) {
    if (!is_certified(*node, *wanted, cluster->root_ca())) {
      return false;
    }
  }
  return true;
}

model::v1::RootCa finish_rotation(const model::v1::RootCa& root, Random& random) {
  model::v1::RootCa done;
  done.set_certificate(root.rotation().certificate());
  done.set_key(root.rotation().key());
  done.set_version(root.version());
  done.set_worker_secret(link::new_token_secret(random));
  done.set_manager_secret(link::new_token_secret(random));
  return done;
}

Result<control::v1::RootStatusResponse> rotation_status(const store::View& view) {
  const auto cluster = view.cluster();
  if (cluster == nullptr || cluster->root_ca().certificate().empty()) {
    return Error{Code::kFailedPrecondition, "this swarm has no certificate authority yet",
                 "NO_ROOT_CA"};
  }
  const auto& root = cluster->root_ca();
  control::v1::RootStatusResponse status;
  status.set_certificate(root.certificate());
  status.set_rotating(root.has_rotation());
  SKEP_TRY_ASSIGN(const std::string digest, link::certificate_digest(wanted_root(root)));
  SKEP_TRY_ASSIGN(const link::Issuer wanted, link::as_issuer(wanted_root(root)));
  status.set_digest(base::hex(digest));
  for (const auto& [id, node] : view.all<model::v1::Node>()) {
    const bool certified = is_certified(*node, wanted, root);
    const bool trusts = node->description().tls().trust_root() == wanted_root(root);
    status.set_nodes(status.nodes() + 1);
    status.set_certificates(status.certificates() + (certified ? 1 : 0));
    status.set_roots(status.roots() + (trusts ? 1 : 0));
    if ((!certified || (!root.has_rotation() && !trusts)) &&
        status.waiting_size() < kWaitingNamed) {
      const bool ready = node->status().state() == model::v1::NODE_STATE_READY;
      status.add_waiting(
          (node->description().hostname().empty() ? id : node->description().hostname()) +
          (ready ? "" : " (down)"));
    }
  }
  return status;
}

}  // namespace skep::control
