#include "core/agentctl/nouns/without_agent.h"

#include <fmt/format.h>

#include <istream>
#include <ostream>

#include "core/agentctl/nouns/nouns.h"
#include "core/agentctl/terminal.h"

namespace skep::ctl {
namespace {

constexpr Duration kDeadline = std::chrono::minutes(30);  // a large state on a slow disk

}  // namespace

Result<int> run_agentd(Context& context, std::vector<std::string> words, std::string input) {
  const std::size_t slash = context.program.rfind('/');
  const std::string beside =
      slash == std::string::npos ? "" : absolute_path(context.program.substr(0, slash) + "/agentd");
  ProcessSpec spec;
  spec.argv = {!beside.empty() && context.disk.exists(beside) ? beside : "agentd"};
  spec.argv.insert(spec.argv.end(), words.begin(), words.end());
  spec.stdin_data = std::move(input);
  for (const auto& [name, value] : context.environment) {
    spec.environment.push_back(fmt::format("{}={}", name, value));
  }
  auto done = context.subprocess.run(spec, kDeadline);
  if (!done && done.error().code == Code::kNotFound) {
    return Error{Code::kFailedPrecondition,
                 "the program 'agentd' is neither beside agentctl nor in PATH: it does this while "
                 "no agent runs"};
  }
  SKEP_TRY_ASSIGN(const ProcessResult result, std::move(done));
  context.out << result.out;
  constexpr std::string_view kPrefix = "agentd: ";
  const bool named = result.err.starts_with(kPrefix);
  context.err << (named ? "Error: " + result.err.substr(kPrefix.size()) : result.err);
  return result.exit_code;
}

std::string ask_unlock_key(Context& context) {
  std::string key;
  {
    if (context.terminal.input) {
      context.out << "Enter unlock key: " << std::flush;
    }
    const NoEcho quiet;
    std::getline(context.in, key);
  }
  if (context.terminal.input) {
    context.out << '\n';
  }
  return key;
}

}  // namespace skep::ctl
