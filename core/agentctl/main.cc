// agentctl: the command line of Skep. Everything else is the library skep_agentctl.

#include <sys/ioctl.h>
#include <unistd.h>

#include <csignal>
#include <exception>
#include <iostream>
#include <string>
#include <vector>

#include "core/agentctl/command.h"
#include "core/agentctl/connection.h"
#include "core/agentctl/context.h"
#include "core/agentctl/errors.h"
#include "core/agentctl/nouns/nouns.h"
#include "skep/posix_env.h"

extern char** environ;

namespace {

void read_environment(skep::ctl::Context& context) {
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string text = *entry;
    if (const std::size_t equals = text.find('='); equals != std::string::npos) {
      context.environment[text.substr(0, equals)] = text.substr(equals + 1);
    }
  }
  if (const std::string root = context.variable("SKEP_ROOT"); !root.empty()) {
    context.root = root;
  }
}

void read_terminal(skep::ctl::Context& context) {
  auto& terminal = context.terminal;
  terminal.input = isatty(STDIN_FILENO) == 1;
  terminal.output = isatty(STDOUT_FILENO) == 1;
  terminal.errors = isatty(STDERR_FILENO) == 1;
  terminal.colour = terminal.output && context.variable("NO_COLOR").empty();
  winsize size{};
  if (terminal.output && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
    terminal.rows = size.ws_row;
    terminal.columns = size.ws_col;
  }
}

int run(int argc, char** argv) {
  std::ios::sync_with_stdio(false);
  (void)std::signal(SIGPIPE, SIG_DFL);  // `agentctl ... | head` ends quietly
  skep::PosixClock clock;
  skep::PosixRandom random;
  skep::PosixDisk disk;
  skep::PosixSubprocess subprocess;
  skep::ctl::Context context(std::cout, std::cerr, std::cin, {clock, random, disk, subprocess});
  context.program = argv[0];
  read_environment(context);
  read_terminal(context);
  context.connect = skep::ctl::connect_to_agent;

  skep::ctl::Command root("agentctl",
                          "Talks to the Skep agent of this node and, through it, to the swarm.");
  skep::ctl::add_all_commands(root);
  auto result =
      skep::ctl::run_command_line(root, context, std::vector<std::string>(argv + 1, argv + argc));
  if (!result) {
    skep::ctl::print_error(context, result.error());
    return skep::ctl::exit_code_of(result.error());
  }
  std::cout.flush();
  if (!std::cout) {
    std::cerr << "Error: the output could not be written\n";
    return 1;
  }
  return *result;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << "Error: " << error.what()
              << "\n  this is a defect of agentctl: please report it with the command you ran\n";
  } catch (...) {
    std::cerr << "Error: an unknown exception ended agentctl: please report it with the command "
                 "you ran\n";
  }
  return 12;
}
