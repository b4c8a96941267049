#include <fmt/format.h>

#include <algorithm>

#include "core/agentctl/command.h"
#include "core/agentctl/text.h"

namespace skep::ctl {
namespace {

// "--quiet,-q" as people read it: "-q, --quiet".
std::string flag_label(const Flag& flag) {
  std::string long_name;
  std::string short_name;
  for (const std::string& name : split(flag.names, ',')) {
    (name.starts_with("--") ? long_name : short_name) = name;
  }
  return fmt::format("  {}{}{}", short_name.empty() ? "    " : short_name + ", ", long_name,
                     flag.value.empty() ? "" : " " + flag.value);
}

std::string flags_text(const std::vector<Flag>& flags) {
  std::vector<std::pair<std::string, std::string>> lines;
  for (const Flag& flag : flags) {
    lines.emplace_back(flag_label(flag), flag.help);
  }
  lines.emplace_back("      --root directory",
                     "Agent to talk to: the one that runs with this --root");
  lines.emplace_back("  -h, --help", "Print this help");
  std::sort(lines.begin(), lines.end(),
            [](const auto& a, const auto& b) { return a.first.substr(6) < b.first.substr(6); });
  std::size_t width = 0;
  for (const auto& line : lines) {
    width = std::max(width, line.first.size());
  }
  std::string text = "\nOptions:\n";
  for (const auto& [label, help] : lines) {
    text += fmt::format("{:<{}}   {}\n", label, width, help);
  }
  return text;
}

}  // namespace

std::string help_text(const Command& command, std::string_view path) {
  if (command.commands().empty()) {
    std::string text =
        fmt::format("\nUsage:  {} {}\n\n{}\n", path,
                    command.usage().empty() ? "[OPTIONS]" : command.usage(), command.summary());
    if (command.names().find(',') != std::string::npos) {
      std::string aliases;
      for (const std::string& name : split(command.names(), ',')) {
        aliases += (aliases.empty() ? "" : ", ") + name;
      }
      text += "\nAliases: " + aliases + "\n";
    }
    return text + flags_text(command.flags());
  }
  std::string text =
      fmt::format("\nUsage:  {} COMMAND\n\n{}\n\nCommands:\n", path, command.summary());
  std::size_t width = 0;
  std::string later;
  for (const auto& child : command.commands()) {
    width = std::max(width, child->is_not_yet() ? 0 : child->name().size());
    later += child->is_not_yet() ? fmt::format("{}{}", later.empty() ? "" : ", ", child->name()) : "";
  }
  for (const auto& child : command.commands()) {
    if (!child->name().starts_with("__") && !child->is_not_yet()) {
      text += fmt::format("  {:<{}}   {}\n", child->name(), width, child->summary());
    }
  }
  text += later.empty() ? "" : fmt::format("\nNot there yet:  {}\n", later);
  return text + flags_text(command.flags()) +
         fmt::format("\nRun '{} COMMAND --help' for more about a command.\n", path);
}

}  // namespace skep::ctl
