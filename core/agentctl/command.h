#pragma once

// The command line as data: a tree of nouns and verbs, each with its flags and what it does. The
// tree is parsed (CLI11 behind parse_command), printed as help and turned into completion from the
// same description. Built once at start-up, read-only afterwards, main thread only.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "skep/result.h"

namespace skep::ctl {

struct Context;

/// Exit code 2: the command line itself is wrong; nothing was asked of anybody.
inline constexpr int kExitUsage = 2;

struct Flag {
  std::string names;  ///< "--quiet,-q": long first
  std::string value;  ///< how help shows the value ("list", "bytes"); empty for a switch
  std::string help;
  bool many = false;  ///< may be given again and again
  std::function<Status(const std::vector<std::string>&)> set = {};  ///< with all values given
  std::string later = {};  ///< not there yet: the reason, answered as kUnimplemented
};

class Command {
 public:
  using Run = std::function<Result<int>(Context&, const std::vector<std::string>& arguments)>;

  Command(std::string names, std::string summary)
      : names_(std::move(names)), summary_(std::move(summary)) {}

  /// Adds a sub-command; `names` may hold aliases: "ls,list". The reference stays valid.
  Command& add(std::string names, std::string summary);
  /// What stands behind the flags: "[OPTIONS] SERVICE [SERVICE...]" with bounds.
  Command& arguments(std::string usage, std::size_t min, std::size_t max = kAny);
  static constexpr std::size_t kAny = static_cast<std::size_t>(-1);
  /// Flags end at the first argument; what follows belongs to somebody else's command line.
  Command& stop_at_first_argument();
  /// What it does; the result is the exit code.
  Command& run(Run run);
  /// Which live names complete its arguments: "service", "node", "image", "volume", "container",
  /// "plugin".
  Command& completes(std::string noun);

  Command& toggle(std::string names, bool& target, std::string help);
  Command& toggle(std::string names, std::optional<bool>& target, std::string help);
  Command& text(std::string names, std::string& target, std::string value, std::string help);
  Command& text(std::string names, std::optional<std::string>& target, std::string value,
                std::string help);
  Command& list(std::string names, std::vector<std::string>& target, std::string help);
  /// Parsed by `parse` when given, the last value counts; its error gains the flag's name.
  Command& parsed(std::string names, std::string value, std::string help,
                  std::function<Status(const std::string&)> parse);
  /// A flag of Docker's whose part comes later: given, it answers that it is not there yet.
  Command& later(std::string names, std::string value, std::string reason);
  Command& add_flag(Flag flag);
  /// A command of Docker's whose part comes later: it answers so whatever follows (kUnimplemented, NOT_YET).
  Command& not_yet(std::string reason);

  [[nodiscard]] std::string_view name() const;
  [[nodiscard]] bool answers_to(std::string_view word) const;
  [[nodiscard]] const std::string& names() const { return names_; }
  [[nodiscard]] const std::string& summary() const { return summary_; }
  [[nodiscard]] const std::string& usage() const { return usage_; }
  [[nodiscard]] const std::string& completion() const { return completion_; }
  [[nodiscard]] const std::vector<Flag>& flags() const { return flags_; }
  [[nodiscard]] const std::vector<std::unique_ptr<Command>>& commands() const { return commands_; }
  [[nodiscard]] bool is_not_yet() const { return !not_yet_.empty(); }
  [[nodiscard]] bool runs() const { return static_cast<bool>(run_); }

 private:
  friend class CommandParser;
  std::string names_;
  std::string summary_;
  std::string usage_;
  std::string completion_;
  std::string not_yet_;
  std::size_t arguments_min_ = 0;
  std::size_t arguments_max_ = 0;
  bool stops_at_first_ = false;
  std::vector<Flag> flags_;
  std::vector<std::unique_ptr<Command>> commands_;
  Run run_;
};

/// Finds the verb in `words`, parses its flags and runs it. Help goes to context.out. Errors of
/// the command line are kInvalidArgument with reason USAGE and name the nearest known word.
Result<int> run_command_line(const Command& root, Context& context, std::vector<std::string> words);

/// The text of `agentctl NOUN VERB --help`; `path` is the words that lead to the command.
std::string help_text(const Command& command, std::string_view path);

/// Reason of errors whose exit code is kExitUsage.
inline constexpr std::string_view kUsageReason = "USAGE";

}  // namespace skep::ctl
