#pragma once

// The real world in one piece, for whoever owns a process: Linux behind an Env, with a loop of its own.

#include "core/base/asio_loop.h"
#include "skep/posix_env.h"

namespace skep::base {

/// Not movable: `env` names the other members. What uses it must go before it does.
struct RealEnv {
  /// threads: how many run the work given to `workers`.
  explicit RealEnv(std::size_t threads) : workers(loop, threads) {}
  AsioLoop loop;
  PosixClock clock;
  PosixRandom random;
  PosixDisk disk;
  PosixSubprocess subprocess;
  WorkerPool workers;
  Env env{clock, random, loop, workers, disk, subprocess};
};

}  // namespace skep::base
