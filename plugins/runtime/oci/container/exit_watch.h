#pragma once

// Learns of ended containers the moment conmon has renamed an exit file into place (inotify on the
// directory). Loop thread only.

#include <functional>
#include <string>

#include "plugins/runtime/oci/container/fd.h"
#include "skep/env.h"

namespace skep::oci {

class ExitWatch {
 public:
  using OnExit = std::function<void(const std::string& container_id)>;
  /// `on_overflow` means that events were lost: look at everything.
  ExitWatch(Loop& loop, OnExit on_exit, std::function<void()> on_overflow);
  ~ExitWatch();
  ExitWatch(const ExitWatch&) = delete;
  ExitWatch& operator=(const ExitWatch&) = delete;
  Status start(const std::string& directory);

 private:
  void read_events();

  Loop& loop_;
  OnExit on_exit_;
  std::function<void()> on_overflow_;
  UniqueFd inotify_;
  WatchId watch_ = 0;
};

}  // namespace skep::oci
