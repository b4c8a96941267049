#pragma once

// This process's terminal during an interactive exec: raw mode, window size, stdin as chunks. Main
// thread only. Everything is put back by destructors.

#include <termios.h>

#include <cstdint>
#include <functional>
#include <string>

#include "skep/env.h"

namespace skep::ctl {

/// Keys reach the program in the container one by one, Ctrl-C included. Does nothing when stdin is
/// no terminal.
class RawTerminal {
 public:
  explicit RawTerminal(bool wanted);
  ~RawTerminal();
  RawTerminal(const RawTerminal&) = delete;
  RawTerminal& operator=(const RawTerminal&) = delete;

 private:
  termios before_{};
  bool active_ = false;
};

/// What is typed is not echoed while it lives. Does nothing when stdin is no terminal.
class NoEcho {
 public:
  NoEcho();
  ~NoEcho();
  NoEcho(const NoEcho&) = delete;
  NoEcho& operator=(const NoEcho&) = delete;

 private:
  termios before_{};
  bool active_ = false;
};

struct WindowSize {
  std::uint32_t rows = 0;
  std::uint32_t columns = 0;
};
/// Zeroes when stdout is no terminal.
WindowSize window_size();

/// Reads stdin on the loop, also when it is a plain file (which epoll refuses). pause() holds back
/// input the receiver has no room for.
class InputPump {
 public:
  /// `on_data("")` once at the end of input.
  InputPump(Loop& loop, int fd, std::function<void(std::string)> on_data);
  ~InputPump();
  InputPump(const InputPump&) = delete;
  InputPump& operator=(const InputPump&) = delete;
  void pause();
  void resume();

 private:
  void read_some();
  void schedule();

  Loop& loop_;
  int fd_;
  bool plain_file_;
  bool paused_ = true;
  bool ended_ = false;
  std::function<void(std::string)> on_data_;
  WatchId watch_ = 0;
  TimerId timer_ = 0;
};

}  // namespace skep::ctl
