#pragma once

// Lets a test stop a plugin at a named point: while the file DIR/POINT exists, whoever reaches the
// point writes DIR/POINT.reached and waits there. Costs one access(2) per point, and only in a
// plugin whose configuration names the directory.

#include <poll.h>
#include <unistd.h>

#include <fstream>
#include <functional>
#include <string>

namespace skep::lib {

inline std::function<void(const char*)> pause_points(std::string directory) {
  return [directory = std::move(directory)](const char* point) {
    const std::string path = directory + "/" + point;
    if (::access(path.c_str(), F_OK) != 0) {
      return;
    }
    std::ofstream(path + ".reached") << ::getpid() << "\n";
    while (::access(path.c_str(), F_OK) == 0) {
      ::poll(nullptr, 0, 5);
    }
  };
}

}  // namespace skep::lib
