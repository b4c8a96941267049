#include "core/agentd/credentials.h"

#include <array>

namespace skep::agentd {
namespace {

constexpr std::string_view kKeyContext = "node.key";

struct Files {
  explicit Files(const Paths& paths)
      : certificate(paths.state_dir + "/node.crt"),
        key(paths.state_dir + "/node.key"),
        roots(paths.state_dir + "/root-ca.crt") {}
  std::string certificate, key, roots;
};

Error damaged(const std::string& file, const std::string& why) {
  return Error{Code::kDataLoss,
               file + ": " + why +
                   "; restore it from a backup, or 'agentctl swarm leave --force' and join again (that ends "
                   "this node's tasks)",
               "DAMAGED_FILE"};
}

}  // namespace

Result<std::optional<link::Credentials>> load_credentials(const Paths& paths, Disk& disk,
                                                          const base::Sealer* sealer) {
  const Files files(paths);
  link::Credentials out;
  int missing = 0;
  std::string which;
  const std::array<std::pair<const std::string*, std::string*>, 3> parts{
      {{&files.certificate, &out.pair.certificate}, {&files.key, &out.pair.key}, {&files.roots, &out.roots}}};
  for (const auto& [file, text] : parts) {
    auto content = disk.read_file(*file);
    if (content) {
      *text = *std::move(content);
    } else if (content.error().code == Code::kNotFound) {
      ++missing;
      which = *file;
    } else {
      return std::move(content).error();
    }
  }
  if (missing == static_cast<int>(parts.size())) {
    return std::optional<link::Credentials>();
  }
  if (missing > 0) {
    return damaged(which, "is missing, while the node's other certificate files are there");
  }
  if (base::looks_sealed(out.pair.key)) {
    auto key = sealer != nullptr ? sealer->unseal(out.pair.key, kKeyContext)
                                 : Result<std::string>(Error{Code::kDataLoss, "it is sealed, and data.key is not there"});
    if (!key) {
      return damaged(files.key, key.error().message);
    }
    out.pair.key = *std::move(key);
  }
  const auto facts = link::read_certificate(out.pair.certificate);
  if (!facts) {
    return damaged(files.certificate, facts.error().message);
  }
  if (auto pair = link::check_pair(out.pair); !pair) {
    return damaged(files.key, pair.error().message);
  }
  if (auto root = link::certificate_digest(out.roots); !root) {
    return damaged(files.roots, root.error().message);
  }
  out.node_id = facts->identity.node_id;
  out.cluster_id = facts->identity.cluster_id;
  return std::optional(std::move(out));
}

Status save_credentials(const Paths& paths, Disk& disk, Random& random, const base::Sealer* sealer,
                        const link::Credentials& credentials) {
  const Files files(paths);
  const std::string& key = credentials.pair.key;
  SKEP_TRY(disk.write_file_atomic(files.key, sealer == nullptr ? key : sealer->seal(key, kKeyContext, random), 0600));
  SKEP_TRY(disk.write_file_atomic(files.roots, credentials.roots, 0644));
  return disk.write_file_atomic(files.certificate, credentials.pair.certificate, 0644);
}

bool node_key_sealed(const Paths& paths, Disk& disk) {
  const auto key = disk.read_file(Files(paths).key);
  return key && base::looks_sealed(*key);
}

Status forget_credentials(const Paths& paths, Disk& disk) {
  const Files files(paths);
  for (const std::string* file : {&files.certificate, &files.key, &files.roots}) {
    auto status = disk.remove(*file);
    if (!status && status.error().code != Code::kNotFound) {
      return status;
    }
  }
  return ok();
}

}  // namespace skep::agentd
