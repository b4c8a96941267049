#include <fmt/format.h>
#include <termios.h>
#include <unistd.h>

#include <istream>
#include <memory>
#include <ostream>

#include "core/agentctl/auth.h"
#include "core/agentctl/command.h"
#include "core/agentctl/context.h"
#include "core/agentctl/nouns/nouns.h"
#include "core/agentctl/terminal.h"

namespace skep::ctl {
namespace {

constexpr std::chrono::seconds kLoginDeadline{60};
constexpr int kPrivate = 0600;

// SKEP_AUTH_FILE, else HOME/.skep/auth.json.
Result<std::string> auth_file_path(Context& context) {
  if (const std::string path = context.variable("SKEP_AUTH_FILE"); !path.empty()) {
    return absolute_path(path);
  }
  const std::string home = context.variable("HOME");
  if (home.empty()) {
    return Error{Code::kFailedPrecondition,
                 "HOME is not set: name the auth file with SKEP_AUTH_FILE"};
  }
  return home + "/.skep/auth.json";
}

std::string certs_directory(const std::string& root) {
  return absolute_path(root + "/etc/skep/certs.d");
}

struct LoginOptions {
  std::string user;
  std::string password;
  bool password_stdin = false;
  bool plain_http = false;
};

Result<Credentials> ask(Context& context, const LoginOptions& options) {
  Credentials credentials{options.user, options.password};
  if (options.password_stdin) {
    if (credentials.user.empty()) {
      return Error{Code::kInvalidArgument, "--password-stdin needs --username", "USAGE"};
    }
    std::string all((std::istreambuf_iterator<char>(context.in)), std::istreambuf_iterator<char>());
    while (!all.empty() && (all.back() == '\n' || all.back() == '\r')) {
      all.pop_back();
    }
    credentials.password = all;
  }
  if (!context.terminal.input && (credentials.user.empty() || credentials.password.empty())) {
    return Error{
        Code::kInvalidArgument,
        "no terminal to ask for user name and password: give --username and --password-stdin",
        "USAGE"};
  }
  if (credentials.user.empty()) {
    context.out << "Username: " << std::flush;
    std::getline(context.in, credentials.user);
  }
  if (credentials.password.empty()) {
    context.out << "Password: " << std::flush;
    const NoEcho quiet;
    std::getline(context.in, credentials.password);
    context.out << '\n';
  }
  if (credentials.user.empty() || credentials.password.empty()) {
    return Error{Code::kInvalidArgument, "user name and password must not be empty"};
  }
  return credentials;
}

// Like Docker and the runtime: a registry on loopback needs no certificate, unless certs.d names one.
bool on_loopback(const std::string& registry) {
  const std::string host = registry.substr(0, registry.rfind(':'));
  return host == "localhost" || host.starts_with("127.");
}

// skopeo asks the registry with the credentials and writes the auth file only when they are right.
// The password goes through its stdin, never through argv.
Status verify_and_store(Context& context, const std::string& registry,
                        const Credentials& credentials, const std::string& path, bool plain_http) {
  ProcessSpec spec;
  spec.argv = {"skopeo",     "login",          "--authfile",      path,
               "--username", credentials.user, "--password-stdin"};
  const std::string certs = certs_directory(context.root) + "/" + registry;
  const bool own_authority = context.disk.exists(certs);
  if (plain_http || (on_loopback(registry) && !own_authority)) {
    spec.argv.emplace_back("--tls-verify=false");
  }
  // A registry with its own CA works as it does for the runtime.
  if (own_authority) {
    spec.argv.insert(spec.argv.end(), {"--cert-dir", certs});
  }
  spec.argv.push_back(registry);
  for (const auto& [name, value] : context.environment) {
    spec.environment.push_back(fmt::format("{}={}", name, value));
  }
  spec.stdin_data = credentials.password;
  auto done = context.subprocess.run(spec, kLoginDeadline);
  if (!done && done.error().code == Code::kNotFound) {
    return Error{Code::kFailedPrecondition,
                 "skopeo is not installed: it talks to registries; install the package 'skopeo'"};
  }
  SKEP_TRY_ASSIGN(const ProcessResult result, std::move(done));
  if (result.exit_code == 0) {
    return ok();
  }
  const bool refused = result.err.find("invalid username/password") != std::string::npos ||
                       result.err.find("unauthorized") != std::string::npos ||
                       result.err.find("401") != std::string::npos;
  std::string why = result.err.substr(0, result.err.find('\n'));
  if (const std::size_t message = why.find("msg=\""); message != std::string::npos) {
    why = why.substr(message + 5, why.rfind('"') - message - 5);
    std::erase(why, '\\');  // skopeo quotes inside quotes
  }
  if (refused) {
    return Error{Code::kUnauthenticated, fmt::format("registry '{}' refused user '{}': {}",
                                                     registry, credentials.user, why)};
  }
  return Error{Code::kUnavailable,
               fmt::format("registry '{}' could not be asked: {}", registry, why)};
}

Result<int> login(Context& context, const LoginOptions& options,
                  const std::vector<std::string>& arguments) {
  const std::string registry =
      arguments.empty() ? "docker.io" : registry_key(arguments.front() + "/");
  if (!options.password.empty() && options.password_stdin) {
    return Error{Code::kInvalidArgument, "--password and --password-stdin exclude each other",
                 "USAGE"};
  }
  if (!options.password.empty()) {
    context.err
        << "WARNING! A password on the command line is visible to others: use --password-stdin.\n";
  }
  SKEP_TRY_ASSIGN(const std::string path, auth_file_path(context));
  SKEP_TRY_ASSIGN(const Credentials credentials, ask(context, options));
  SKEP_TRY(context.disk.make_directories(path.substr(0, path.rfind('/')), 0700));
  if (context.disk.exists(path)) {
    SKEP_TRY_ASSIGN(const std::string before, context.disk.read_file(path));
    if (auto known = find_credentials(before, registry);
        !known && known.error().code == Code::kDataLoss) {
      return std::move(known).error().with_context(path);
    }
  }
  SKEP_TRY(verify_and_store(context, registry, credentials, path, options.plain_http));
  SKEP_TRY_ASSIGN(const std::string content, context.disk.read_file(path));
  SKEP_TRY(context.disk.write_file_atomic(path, content, kPrivate));
  context.out << fmt::format("Login Succeeded: credentials for '{}' are in {} (mode 0600)\n",
                             registry, path);
  return 0;
}

Result<int> logout(Context& context, const std::vector<std::string>& arguments) {
  const std::string registry =
      arguments.empty() ? "docker.io" : registry_key(arguments.front() + "/");
  SKEP_TRY_ASSIGN(const std::string path, auth_file_path(context));
  std::string content = "{}";
  if (context.disk.exists(path)) {
    SKEP_TRY_ASSIGN(content, context.disk.read_file(path));
  }
  auto without = remove_credentials(content, registry);
  if (!without && without.error().code == Code::kNotFound) {
    context.out << fmt::format("Not logged in to {}\n", registry);
    return 0;
  }
  SKEP_TRY_ASSIGN(const std::string rest, std::move(without));
  SKEP_TRY(context.disk.write_file_atomic(path, rest, kPrivate));
  context.out << fmt::format("Removing login credentials for {}\n", registry);
  return 0;
}

}  // namespace

Result<std::string> registry_auth_for(Context& context, const std::string& image) {
  const auto path = auth_file_path(context);
  if (!path || !context.disk.exists(*path)) {
    return std::string();
  }
  SKEP_TRY_ASSIGN(const std::string content, context.disk.read_file(*path));
  const std::string registry = registry_key(image);
  auto credentials = find_credentials(content, registry);
  if (!credentials && credentials.error().code == Code::kNotFound) {
    return std::string();
  }
  if (!credentials) {
    return std::move(credentials).error().with_context(*path);
  }
  return encode_registry_auth(*credentials, registry);
}

void add_login_commands(Command& root) {
  auto options = std::make_shared<LoginOptions>();
  root.add("login", "Log in to a registry and keep the credentials")
      .arguments("[OPTIONS] [REGISTRY]", 0, 1)
      .text("--username,-u", options->user, "string", "User name")
      .text("--password,-p", options->password, "string",
            "Password (visible to others: prefer --password-stdin)")
      .toggle("--password-stdin", options->password_stdin, "Read the password from stdin")
      .toggle("--plain-http", options->plain_http,
              "The registry speaks plain HTTP or has a certificate nobody knows")
      .run([options](Context& context, const auto& arguments) {
        return login(context, *options, arguments);
      });
  root.add("logout", "Forget the credentials for a registry")
      .arguments("[REGISTRY]", 0, 1)
      .run([](Context& context, const auto& arguments) { return logout(context, arguments); });
}

}  // namespace skep::ctl
