#include "core/agentctl/command.h"

#include <fmt/format.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>

#include "core/agentctl/context.h"
#include "core/agentctl/suggest.h"
#include "core/agentctl/text.h"

namespace skep::ctl {
namespace {

Error usage_error(std::string message) {
  return Error{Code::kInvalidArgument, std::move(message), std::string(kUsageReason)};
}

std::string_view first_name(std::string_view names) {
  return names.substr(0, names.find(','));
}

}  // namespace

Command& Command::add(std::string names, std::string summary) {
  commands_.push_back(std::make_unique<Command>(std::move(names), std::move(summary)));
  return *commands_.back();
}

Command& Command::arguments(std::string usage, std::size_t min, std::size_t max) {
  usage_ = std::move(usage);
  arguments_min_ = min;
  arguments_max_ = max;
  return *this;
}

Command& Command::stop_at_first_argument() {
  stops_at_first_ = true;
  return *this;
}

Command& Command::run(Run run) {
  run_ = std::move(run);
  return *this;
}

Command& Command::completes(std::string noun) {
  completion_ = std::move(noun);
  return *this;
}

namespace {
Result<bool> parse_bool(const std::string& text) {
  if (text == "true" || text == "1" || text == "t") {
    return true;
  }
  if (text == "false" || text == "0" || text == "f") {
    return false;
  }
  return usage_error(fmt::format("'{}' is neither true nor false", text));
}
}  // namespace

Command& Command::toggle(std::string names, bool& target, std::string help) {
  flags_.push_back({.names = std::move(names),
                    .value = "",
                    .help = std::move(help),
                    .set = [&target](const std::vector<std::string>& values) -> Status {
                      SKEP_TRY_ASSIGN(target, parse_bool(values.back()));
                      return ok();
                    }});
  return *this;
}

Command& Command::toggle(std::string names, std::optional<bool>& target, std::string help) {
  flags_.push_back({.names = std::move(names),
                    .value = "",
                    .help = std::move(help),
                    .set = [&target](const std::vector<std::string>& values) -> Status {
                      SKEP_TRY_ASSIGN(target, parse_bool(values.back()));
                      return ok();
                    }});
  return *this;
}

Command& Command::text(std::string names, std::string& target, std::string value,
                       std::string help) {
  return parsed(std::move(names), std::move(value), std::move(help),
                [&target](const std::string& given) {
                  target = given;
                  return ok();
                });
}

Command& Command::text(std::string names, std::optional<std::string>& target, std::string value,
                       std::string help) {
  return parsed(std::move(names), std::move(value), std::move(help),
                [&target](const std::string& given) {
                  target = given;
                  return ok();
                });
}

Command& Command::list(std::string names, std::vector<std::string>& target, std::string help) {
  flags_.push_back({.names = std::move(names),
                    .value = "list",
                    .help = std::move(help),
                    .many = true,
                    .set = [&target](const std::vector<std::string>& values) {
                      target = values;
                      return ok();
                    }});
  return *this;
}

Command& Command::parsed(std::string names, std::string value, std::string help,
                         std::function<Status(const std::string&)> parse) {
  flags_.push_back({.names = std::move(names),
                    .value = std::move(value),
                    .help = std::move(help),
                    .set = [parse = std::move(parse)](const std::vector<std::string>& values) {
                      return parse(values.back());
                    }});
  return *this;
}

Command& Command::later(std::string names, std::string value, std::string reason) {
  flags_.push_back({.names = std::move(names),
                    .value = std::move(value),
                    .help = "Not there yet: " + reason,
                    .many = true,
                    .later = std::move(reason)});
  return *this;
}

Command& Command::not_yet(std::string reason) {
  not_yet_ = std::move(reason);
  return *this;
}

Command& Command::add_flag(Flag flag) {
  flags_.push_back(std::move(flag));
  return *this;
}

std::string_view Command::name() const {
  return first_name(names_);
}

bool Command::answers_to(std::string_view word) const {
  const std::vector<std::string> names = split(names_, ',');
  return std::find(names.begin(), names.end(), word) != names.end();
}

/// Walks to the verb, then lets CLI11 parse that verb's own words.
class CommandParser {
 public:
  CommandParser(const Command& root, Context& context, std::vector<std::string> words)
      : command_(&root), context_(context), words_(std::move(words)), path_(root.name()) {}

  Result<int> run() {
    while (!command_->commands_.empty()) {
      SKEP_TRY_ASSIGN(const bool finished, step());
      if (finished) {
        return 0;
      }
      if (at_ == words_.size() && !command_->commands_.empty() && !command_->run_) {
        context_.err << help_text(*command_, path_);
        return kExitUsage;
      }
      if (at_ == words_.size()) {
        break;
      }
    }
    return parse_and_run();
  }

 private:
  // One word nearer to the verb. True: help or the version was asked for and printed.
  Result<bool> step() {
    while (at_ < words_.size() && words_[at_].starts_with('-')) {
      const std::string word = words_[at_++];
      if (word == "--help" || word == "-h") {
        context_.out << help_text(*command_, path_);
        return true;
      }
      if (word == "--root") {
        SKEP_TRY(set_root(at_ < words_.size() ? words_[at_++] : ""));
      } else if (word.starts_with("--root=")) {
        SKEP_TRY(set_root(word.substr(7)));
      } else if (word == "--version" || word == "-v") {
        words_.insert(words_.begin() + static_cast<std::ptrdiff_t>(at_), "version");
      } else {
        return usage_error(fmt::format("unknown flag '{}' for '{}'{} (see '{} --help')", word,
                                       path_, did_you_mean(word, {"--root", "--help", "--version"}),
                                       path_));
      }
    }
    if (at_ == words_.size()) {
      return false;
    }
    if (words_[at_] == "help" && path_.find(' ') == std::string::npos) {  // "help service ls"
      words_.erase(words_.begin() + static_cast<std::ptrdiff_t>(at_));
      words_.emplace_back("--help");
      return step();
    }
    for (const auto& child : command_->commands_) {
      if (child->answers_to(words_[at_])) {
        path_ += fmt::format(" {}", child->name());
        command_ = child.get();
        ++at_;
        return false;
      }
    }
    std::vector<std::string_view> known;
    for (const auto& child : command_->commands_) {
      if (!child->is_not_yet()) {
        known.push_back(child->name());
      }
    }
    return usage_error(fmt::format("'{}' is not a command of '{}'{} (see '{} --help')", words_[at_],
                                   path_, did_you_mean(words_[at_], known), path_));
  }

  // Empty is what a script's variable that nobody set leaves: the agent of the whole machine is not what it meant.
  Status set_root(const std::string& directory) {
    if (directory.empty()) {
      return usage_error(fmt::format("'--root' needs a value: --root DIR, as agentd got it (see '{} --help')", path_));
    }
    context_.root = directory;
    return ok();
  }

  // Of a command that is not there nobody knows the flags: only help is looked for.
  Result<int> answer_not_yet() {
    if (std::find(words_.begin() + static_cast<std::ptrdiff_t>(at_), words_.end(), "--help") != words_.end() ||
        (at_ < words_.size() && words_[at_] == "-h")) {
      context_.out << help_text(*command_, path_);
      return 0;
    }
    return Error{Code::kUnimplemented, fmt::format("'{}' is not there yet: {}", path_, command_->not_yet_), "NOT_YET"};
  }

  Result<int> parse_and_run() {
    if (command_->is_not_yet()) {
      return answer_not_yet();
    }
    CLI::App app;
    app.set_help_flag();
    app.prefix_command(command_->stops_at_first_);
    bool help = false;
    std::string root;
    auto* help_option = app.add_flag("-h,--help", help);
    auto* root_option = app.add_option("--root", root)->allow_extra_args(false);
    std::vector<std::pair<const Flag*, CLI::Option*>> options;
    for (const Flag& flag : command_->flags_) {
      options.emplace_back(&flag, add(app, flag));
    }
    std::vector<std::string> arguments;
    if (!command_->stops_at_first_) {
      app.add_option("ARGUMENTS", arguments)->expected(-1);
    }
    SKEP_TRY(parse(app));
    if (help_option->count() > 0) {
      context_.out << help_text(*command_, path_);
      return 0;
    }
    if (command_->stops_at_first_) {
      arguments = app.remaining();
      if (!arguments.empty() && arguments.front() == "--") {
        arguments.erase(arguments.begin());
      } else if (!arguments.empty() && arguments.front().size() > 1 &&
                 arguments.front().starts_with('-')) {
        return unknown_flag(arguments.front());
      }
    }
    if (root_option->count() > 0) {
      SKEP_TRY(set_root(root));
    }
    for (const auto& [flag, option] : options) {
      SKEP_TRY(apply(*flag, *option));
    }
    SKEP_TRY(check_count(arguments.size()));
    return command_->run_(context_, arguments);
  }

  static CLI::Option* add(CLI::App& app, const Flag& flag) {
    if (flag.value.empty()) {
      return app.add_flag(flag.names)->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
    }
    return app.add_option(flag.names)
        ->type_size(1)
        ->expected(1)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
        ->allow_extra_args(false);
  }

  Status parse(CLI::App& app) {
    std::vector<std::string> rest(words_.begin() + static_cast<std::ptrdiff_t>(at_), words_.end());
    std::reverse(rest.begin(), rest.end());
    try {
      app.parse(rest);
    } catch (const CLI::ExtrasError&) {
      for (const std::string& word : app.remaining()) {
        if (word.starts_with('-')) {
          return unknown_flag(word);
        }
      }
      return usage_error(
          fmt::format("unexpected argument for '{}'; see '{} --help'", path_, path_));
    } catch (const CLI::ArgumentMismatch& error) {
      return std::string_view(error.what()).starts_with("--root")
                 ? set_root("")
                 : usage_error(fmt::format("{}; see '{} --help'", error.what(), path_));
    } catch (const CLI::Error& error) {
      return usage_error(fmt::format("{}; see '{} --help'", error.what(), path_));
    }
    return ok();
  }

  Error unknown_flag(const std::string& word) const {
    const std::string flag = word.substr(0, word.find('='));
    std::vector<std::string> names{"--help", "--root"};
    for (const Flag& known : command_->flags_) {
      for (std::string& name : split(known.names, ',')) {
        names.push_back(std::move(name));
      }
    }
    return usage_error(fmt::format("unknown flag '{}' for '{}'{} (see '{} --help')", flag, path_,
                                   did_you_mean(flag, {names.begin(), names.end()}), path_));
  }

  static Status apply(const Flag& flag, const CLI::Option& option) {
    if (option.count() == 0) {
      return ok();
    }
    const std::string_view name = first_name(flag.names);
    if (!flag.later.empty()) {
      return Error{Code::kUnimplemented, fmt::format("{} is not there yet: {}", name, flag.later),
                   "NOT_YET"};
    }
    if (auto status = flag.set(option.results()); !status) {
      Error error = std::move(status).error();
      error.reason = error.reason.empty() ? std::string(kUsageReason) : error.reason;
      return std::move(error).with_context(name);
    }
    return ok();
  }

  Status check_count(std::size_t count) const {
    const std::size_t min = command_->arguments_min_;
    const std::size_t max = command_->arguments_max_;
    if (count < min || count > max) {
      const std::size_t bound = count < min ? min : max;
      return usage_error(fmt::format("'{}' needs {}{} argument{}, got {}; usage: {} {}", path_,
                                     min == max    ? ""
                                     : count < min ? "at least "
                                                   : "at most ",
                                     bound, bound == 1 ? "" : "s", count, path_, command_->usage_));
    }
    return ok();
  }

  const Command* command_;
  Context& context_;
  std::vector<std::string> words_;
  std::string path_;
  std::size_t at_ = 0;
};

Result<int> run_command_line(const Command& root, Context& context,
                             std::vector<std::string> words) {
  return CommandParser(root, context, std::move(words)).run();
}

}  // namespace skep::ctl
