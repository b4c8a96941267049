#include <fmt/format.h>

#include <ostream>

#include "core/agentctl/command.h"
#include "core/agentctl/context.h"
#include "core/agentctl/nouns/container.h"
#include "core/agentctl/nouns/nouns.h"
#include "core/agentctl/text.h"
#include "skep/agent.methods.h"
#include "skep/control.methods.h"
#include "skep/plugin.methods.h"
#include "skep/runtime.methods.h"
#include "skep/volume.methods.h"

namespace skep::ctl {
namespace {

constexpr std::chrono::milliseconds kPatience{
    500};  // a person waits with the finger on the tab key

constexpr std::string_view kBash = R"(_agentctl() {
  local cur="${COMP_WORDS[COMP_CWORD]}"
  local IFS=$'\n'
  COMPREPLY=( $(agentctl __complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null) )
  [ ${#COMPREPLY[@]} -eq 0 ] && compopt -o default
}
complete -F _agentctl agentctl
)";
constexpr std::string_view kZsh = R"(#compdef agentctl
_agentctl() {
  local -a candidates
  candidates=("${(@f)$(agentctl __complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ -n "${candidates[1]}" ]]; then compadd -- "${candidates[@]}"; else _files; fi
}
compdef _agentctl agentctl
)";
constexpr std::string_view kFish = R"(function __agentctl_complete
  set -l words (commandline -opc) (commandline -ct)
  agentctl __complete -- $words[2..-1] 2>/dev/null
end
complete -c agentctl -f -a '(__agentctl_complete)'
)";

std::vector<std::string> live_names(Client& agent, const std::string& noun) {
  std::vector<std::string> names;
  Loop& loop = agent.connection().loop();
  const auto patient = [&loop, end = loop.now() + kPatience] { return loop.now() < end; };
  if (noun == "service") {
    if (const auto answer = agent.list<control::v1::methods::ListServices>(kCore, {}, kPatience, patient)) {
      for (const auto& service : answer->services()) {
        names.push_back(service.spec().name());
      }
    }
  } else if (noun == "node") {
    names.emplace_back("self");
    if (const auto answer = agent.list<control::v1::methods::ListNodes>(kCore, {}, kPatience, patient)) {
      for (const auto& node : answer->nodes()) {
        names.push_back(node.description().hostname());
      }
    }
  } else if (noun == "container") {
    if (const auto answer = agent.call<agent::v1::methods::ListContainers>(kCore, {}, kPatience)) {
      for (const auto& container : answer->containers()) {
        names.push_back(container.name());
      }
    }
  } else if (noun == "plugin") {
    if (const auto answer = agent.call<plugin::v1::methods::ListPlugins>(kCore, {}, kPatience)) {
      for (const auto& plugin : answer->plugins()) {
        names.push_back(plugin.id());
      }
    }
  } else if (noun == "image") {
    if (const auto answer =
            agent.call<runtime::v1::methods::ListImages>("runtime/oci", {}, kPatience)) {
      for (const auto& image : answer->images()) {
        names.insert(names.end(), image.tags().begin(), image.tags().end());
      }
    }
  } else if (noun == "volume") {
    if (const auto answer = agent.call<volume::v1::methods::List>("volume/local", {}, kPatience)) {
      for (const auto& volume : answer->volumes()) {
        names.push_back(volume.name());
      }
    }
  }
  return names;
}

// The last word is the one being typed; --root before it is honoured.
Result<int> complete(Context& context, const Command& root, const std::vector<std::string>& words) {
  const Command* command = &root;
  const std::string typed = words.empty() ? "" : words.back();
  for (std::size_t i = 0; i + 1 < words.size(); ++i) {
    if (words[i] == "--root" && i + 2 < words.size()) {
      context.root = words[++i];
      continue;
    }
    for (const auto& child : command->commands()) {
      if (child->answers_to(words[i])) {
        command = child.get();
        break;
      }
    }
  }
  std::vector<std::string> candidates;
  if (typed.starts_with("-")) {
    candidates = {"--help", "--root"};
    for (const Flag& flag : command->flags()) {
      candidates.push_back(split(flag.names, ',').front());
    }
  } else if (!command->commands().empty()) {
    for (const auto& child : command->commands()) {
      if (!child->is_not_yet()) {
        candidates.emplace_back(child->name());
      }
    }
  } else if (auto agent = context.agent(); agent) {
    candidates = live_names(**agent, command->completion());
  }
  for (const std::string& candidate : candidates) {
    if (candidate.starts_with(typed) && !candidate.starts_with("__")) {
      context.out << candidate << '\n';
    }
  }
  return 0;
}

}  // namespace

void add_completion_commands(Command& root) {
  auto& completion =
      root.add("completion", "Print a script that completes agentctl's words in a shell");
  for (const auto& [shell, script] :
       {std::pair("bash", kBash), std::pair("zsh", kZsh), std::pair("fish", kFish)}) {
    completion.add(shell, fmt::format("Script for {}", shell))
        .arguments("", 0, 0)
        .run([text = script](Context& context, const auto&) -> Result<int> {
          context.out << text;
          return 0;
        });
  }
  root.add("__complete", "Candidates for the last word (for the scripts of 'completion')")
      .arguments("[WORD...]", 0)
      .stop_at_first_argument()
      .run([&root](Context& context, const auto& words) { return complete(context, root, words); });
}

}  // namespace skep::ctl
