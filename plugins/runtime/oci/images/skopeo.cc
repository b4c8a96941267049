#include "plugins/runtime/oci/images/skopeo.h"

#include <array>
#include <cstdlib>

#include "plugins/runtime/oci/images/skopeo_errors.h"

namespace skep::oci {
namespace {

/// Proxies and the trust store of the machine are the site's choice; nothing else is handed down.
std::vector<std::string> child_environment(const std::string& home) {
  std::vector<std::string> out{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                               "HOME=" + home, "TMPDIR=" + home, "XDG_RUNTIME_DIR=" + home};
  constexpr std::array<const char*, 8> kHandedDown{"HTTP_PROXY",   "HTTPS_PROXY",  "NO_PROXY",
                                                   "http_proxy",   "https_proxy",  "no_proxy",
                                                   "SSL_CERT_DIR", "SSL_CERT_FILE"};
  for (const char* const name : kHandedDown) {
    if (const char* const value = std::getenv(name); value != nullptr) {
      out.push_back(std::string(name) + "=" + value);
    }
  }
  return out;
}

}  // namespace

Status Skopeo::write_file(const std::string& name, std::string_view content, std::string& path) {
  path = options_.directory + "/" + name;
  // Not durable on purpose: the directory goes with the pull. Files are made with mode 0600.
  SKEP_TRY_ASSIGN(const auto file, env_.disk.open(path, OpenMode::kCreate));
  SKEP_TRY(file->truncate(0));
  return file->write(0, content);
}

Result<std::vector<std::string>> Skopeo::arguments(Verb verb, const Target& target) {
  const std::string side = verb == Verb::kCopy ? "src-" : "";
  std::string registries;
  SKEP_TRY(write_file("registries.conf", "unqualified-search-registries = []\n", registries));
  std::vector<std::string> argv{options_.program,   "--registries-conf",  registries,
                                "--registries.d",   options_.directory,   "--tmpdir",
                                options_.directory, "--override-os",      options_.os,
                                "--override-arch",  options_.architecture};
  if (options_.signature_policy.empty()) {
    argv.emplace_back("--insecure-policy");
  } else {
    argv.insert(argv.end(), {"--policy", options_.signature_policy});
  }
  argv.emplace_back(verb == Verb::kCopy ? "copy" : "inspect");
  if (target.endpoint != nullptr) {
    std::string auth;
    SKEP_TRY(write_file(
        "auth.json",
        auth_file(target.endpoint->host, target.auth == nullptr ? RegistryAuth{} : *target.auth),
        auth));
    argv.insert(
        argv.end(),
        {"--" + side + "tls-verify=" + (target.endpoint->tls == Tls::kVerify ? "true" : "false"),
         "--authfile", auth});
    if (!target.endpoint->certs_directory.empty()) {
      argv.insert(argv.end(), {"--" + side + "cert-dir", target.endpoint->certs_directory});
    }
  }
  return argv;
}

Result<std::string> Skopeo::run(std::vector<std::string> argv, const Target& target,
                                const Line& on_line) {
  ProcessSpec spec;
  spec.argv = std::move(argv);
  spec.environment = child_environment(options_.directory);
  spec.directory = options_.directory;
  ChildOptions limits;
  limits.deadline = options_.deadline;
  limits.on_line = on_line;
  Result<ProcessResult> result = run_child(env_, spec, limits, cancel_);
  if (!result && result.error().code == Code::kNotFound) {
    return Error{Code::kFailedPrecondition,
                 "program '" + options_.program +
                     "' is missing, which fetches images: install the package skopeo",
                 "SKOPEO_MISSING"};
  }
  if (!result) {
    return std::move(result).error().with_context("image '" + target.image + "'");
  }
  if (result->exit_code != 0) {
    PullSubject subject;
    subject.image = target.image;
    if (target.endpoint != nullptr) {
      subject.registry = target.endpoint->host;
    }
    subject.certs_directory = options_.certs_directory;
    subject.anonymous = target.auth == nullptr || target.auth->anonymous();
    return explain_skopeo(result->err, subject);
  }
  return std::move(result->out);
}

Result<std::string> Skopeo::manifest(const Target& target) {
  SKEP_TRY_ASSIGN(std::vector<std::string> argv, arguments(Verb::kInspect, target));
  argv.insert(argv.end(), {"--raw", target.url});
  return run(std::move(argv), target, {});
}

Result<std::string> Skopeo::config(const Target& target) {
  SKEP_TRY_ASSIGN(std::vector<std::string> argv, arguments(Verb::kInspect, target));
  argv.insert(argv.end(), {"--config", "--raw", target.url});
  return run(std::move(argv), target, {});
}

Status Skopeo::copy_to_layout(const Target& target, const std::string& layout,
                              const std::string& blobs, const Line& on_line) {
  SKEP_TRY_ASSIGN(std::vector<std::string> argv, arguments(Verb::kCopy, target));
  argv.insert(argv.end(),
              {"--remove-signatures", "--dest-oci-accept-uncompressed-layers",
               "--dest-shared-blob-dir", blobs, target.url, "oci:" + layout + ":image"});
  SKEP_TRY(run(std::move(argv), target, on_line));
  return ok();
}

Status Skopeo::copy_to_directory(const Target& target, const std::string& directory,
                                 const Line& on_line) {
  SKEP_TRY_ASSIGN(std::vector<std::string> argv, arguments(Verb::kCopy, target));
  argv.insert(argv.end(), {"--remove-signatures", target.url, "dir:" + directory});
  SKEP_TRY(run(std::move(argv), target, on_line));
  return ok();
}

}  // namespace skep::oci
