#include "core/agentd/locked_certificate.h"

#include <utility>

#include "core/link/root.h"
#include "skep/log.h"

namespace skep::agentd {
namespace {

using namespace std::chrono_literals;
constexpr Duration kAgain = 5s;
constexpr int kFailuresQuiet = 2;  // nobody may lead yet, or the session may not be up
constexpr Duration kClocksDiffer = 10min;  // of two managers that certify; lives are an hour at least
constexpr std::string_view kBegin = "-----BEGIN CERTIFICATE-----";
constexpr std::string_view kConsequence =
    ": as long as this manager is locked, its node has no session, and others take its tasks over";

Error damaged(const std::string& file, const std::string& why) {
  return Error{Code::kDataLoss, file + ": " + why, "DAMAGED_FILE"};
}

/// The role, and whose it is.
Status check_identity(const link::Identity& identity, const std::string& node_id, const std::string& cluster_id) {
  if (identity == link::Identity{node_id, link::Role::kLockedManager, cluster_id}) {
    return ok();
  }
  return Error{Code::kInvalidArgument,
               "the certificate is one of node '" + identity.node_id + "' as a " +
                   std::string(link::role_name(identity.role)) + ", not of this node as a locked manager",
               "ANOTHER_CERTIFICATE"};
}

}  // namespace

LockedCertificate::LockedCertificate(Env& env, const Paths& paths, Hooks hooks)
    : env_(env), directory_(paths.state_dir), file_(paths.state_dir + "/locked.pem"), hooks_(std::move(hooks)) {}

LockedCertificate::~LockedCertificate() { env_.loop.cancel_timer(timer_); }

Result<link::Credentials> LockedCertificate::load(const std::string& node_id, const std::string& cluster_id) {
  auto content = env_.disk.read_file(file_);
  if (!content) {
    return content.error().code == Code::kNotFound ? Error{Code::kNotFound, file_ + " is missing"}
                                                   : std::move(content).error();
  }
  auto roots = env_.disk.read_file(directory_ + "/root-ca.crt");
  if (!roots) {
    return std::move(roots).error();
  }
  const auto begin = content->find(kBegin);
  if (begin == std::string::npos) {
    return damaged(file_, "there is no certificate in it");
  }
  link::Credentials out{{content->substr(begin), content->substr(0, begin)}, *std::move(roots), cluster_id, node_id};
  // Whatever its dates: managers say by how much they are off.
  const auto facts = link::verify_whatever_date(out.pair.certificate, out.roots, cluster_id);
  if (!facts) {
    return damaged(file_, facts.error().message);
  }
  if (auto pair = link::check_pair(out.pair); !pair) {
    return damaged(file_, pair.error().message);
  }
  if (auto ours = check_identity(facts->identity, node_id, cluster_id); !ours) {
    return damaged(file_, ours.error().message);
  }
  return out;
}

Result<link::Credentials> LockedCertificate::take_up(const std::string& node_id, const std::string& cluster_id) {
  auto loaded = load(node_id, cluster_id);
  if (!loaded) {
    trouble_ = loaded.error().message;
    SKEP_ERROR("this node has no session while its manager is locked; its tasks keep running", {"cause", trouble_});
    return loaded;
  }
  used_until_ = link::read_certificate(loaded->pair.certificate)->not_after;
  return loaded;
}

std::string LockedCertificate::trouble() const {
  if (!trouble_.empty()) {
    return trouble_ + std::string(kConsequence);
  }
  return used_until_ != 0 && env_.clock.wall_now() > used_until_
             ? file_ + ": the certificate expired on " + link::date_text(used_until_) + std::string(kConsequence)
             : std::string();
}

bool LockedCertificate::belongs_to(const link::Credentials& own) {
  const auto kept = load(own.node_id, own.cluster_id);
  const auto facts =
      kept ? link::read_certificate(kept->pair.certificate) : Result<link::CertificateFacts>(kept.error());
  const auto mine = link::read_certificate(own.pair.certificate);
  const auto issuer = kept ? link::issuer_of(kept->pair.certificate, own.roots) : Result<link::Issuer>(kept.error());
  const auto wanted = link::issuer_of(own.pair.certificate, own.roots);
  return facts && mine && issuer && wanted && *issuer == *wanted && env_.clock.wall_now() < facts->not_after &&
         facts->not_before + kClocksDiffer.count() >= mine->not_before;
}

void LockedCertificate::follow(const link::Credentials& own) {
  if (own.pair.certificate != followed_) {
    const bool first = followed_.empty();
    rest();
    followed_ = own.pair.certificate;
    node_id_ = own.node_id;
    cluster_id_ = own.cluster_id;
    behind_ = !first || !belongs_to(own);
  }
  if (behind_ && !asking_) {
    ask();
  }
}

void LockedCertificate::ask() {
  env_.loop.cancel_timer(std::exchange(timer_, 0));
  auto key = link::make_request();
  if (!key) {
    return later(key.error());
  }
  ca::v1::RenewRequest request;
  request.set_request(key->request);
  request.set_locked(true);
  asking_ = true;
  hooks_.ask(request, [this, turn = std::weak_ptr<char>(turn_), key = key->key](Result<ca::v1::RenewResponse> answer) {
    if (turn.expired()) {
      return;
    }
    asking_ = false;
    if (auto taken = answer ? take(*answer, key) : Status(std::move(answer).error()); !taken) {
      return later(taken.error());
    }
    SKEP_INFO("this manager has a new certificate for the time it is locked");
    failures_ = 0;
    trouble_.clear();
    behind_ = false;
    hooks_.caught_up();
  });
}

Status LockedCertificate::take(const ca::v1::RenewResponse& answer, const std::string& key) {
  SKEP_TRY_ASSIGN(const auto facts, link::verify_certificate(answer.certificate(), answer.root(), cluster_id_,
                                                             env_.clock.wall_now()));
  // A manager of an older version answers with a manager's certificate: that must not lie open.
  SKEP_TRY(check_identity(facts.identity, node_id_, cluster_id_));
  SKEP_TRY(link::check_pair({answer.certificate(), key}));
  absent_ = false;
  return env_.disk.write_file_atomic(file_, key + answer.certificate(), 0600);
}

void LockedCertificate::later(const Error& error) {
  if (++failures_ > kFailuresQuiet && trouble_ != error.message) {
    trouble_ = error.message;
    SKEP_WARN("this manager has no new certificate for the time it is locked; trying again", {"cause", trouble_});
  }
  timer_ = env_.loop.run_after(kAgain, [this] {
    timer_ = 0;
    ask();
  });
}

void LockedCertificate::rest() {
  turn_ = std::make_shared<char>();
  env_.loop.cancel_timer(std::exchange(timer_, 0));
  followed_.clear();
  behind_ = false;
  asking_ = false;
  used_until_ = 0;
  failures_ = 0;
  trouble_.clear();
}

Status LockedCertificate::forget() {
  rest();
  if (absent_) {
    return ok();
  }
  SKEP_TRY_ASSIGN(const auto names, env_.disk.list_directory(directory_));
  for (const std::string& name : names) {
    if (name.starts_with("locked.pem")) {
      SKEP_TRY(env_.disk.remove(directory_ + "/" + name));
    }
  }
  SKEP_TRY(env_.disk.sync_directory(directory_));
  absent_ = true;
  return ok();
}

void LockedCertificate::drop() {
  if (auto gone = forget(); !gone) {
    SKEP_ERROR("the open key of a locked manager is not removed; trying again", {"cause", gone.error().message});
    timer_ = env_.loop.run_after(kAgain, [this] {
      timer_ = 0;
      drop();
    });
  }
}

}  // namespace skep::agentd
