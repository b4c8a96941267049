#pragma once

// A scratch directory into which tests unpack layers.

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <string>

#include "plugins/runtime/oci/images/fd.h"
#include "plugins/runtime/oci/images/layer_unpack.h"
#include "plugins/runtime/oci/images/testing_tar.h"

namespace skep::oci::testing {

class TempDirectory {
 public:
  TempDirectory() {
    std::string pattern = "/tmp/skep-images-XXXXXX";
    path_ = ::mkdtemp(pattern.data());
  }
  ~TempDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDirectory(const TempDirectory&) = delete;
  TempDirectory& operator=(const TempDirectory&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

inline std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

inline OwnedFd memory_file(const std::string& content) {
  OwnedFd fd(::memfd_create("layer", MFD_CLOEXEC));
  EXPECT_EQ(::write(fd.get(), content.data(), content.size()),
            static_cast<ssize_t>(content.size()));
  return fd;
}

/// Unpacks into <scratch>/layer; <scratch>/outside is what an attack would want to reach.
class LayerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directories(scratch_.path() + "/outside");
    std::ofstream(scratch_.path() + "/outside/victim") << "untouched";
    fresh();
  }
  void TearDown() override {
    EXPECT_EQ(read_file(scratch_.path() + "/outside/victim"), "untouched");
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(scratch_.path() + "/outside"), {}),
              1);
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(scratch_.path()), {}), 2)
        << "nothing appeared beside the layer";
  }
  void fresh() {
    std::filesystem::remove_all(root());
    std::filesystem::create_directories(root());
  }
  [[nodiscard]] std::string root() const { return scratch_.path() + "/layer"; }
  [[nodiscard]] std::string at(const std::string& name) const { return root() + "/" + name; }
  Result<UnpackedLayer> unpack(const std::string& bytes) {
    const OwnedFd fd = memory_file(bytes);
    return unpack_layer(fd.get(), root(), options_);
  }
  Result<UnpackedLayer> unpack(const Tar& tar) { return unpack(tar.finish()); }
  [[nodiscard]] struct stat look(const std::string& name) const {
    struct stat info {};
    EXPECT_EQ(::lstat(at(name).c_str(), &info), 0) << name;
    return info;
  }
  [[nodiscard]] std::string attribute(const std::string& name, const char* key) const {
    std::array<char, 1024> buffer{};
    const ssize_t size = ::lgetxattr(at(name).c_str(), key, buffer.data(), buffer.size());
    return size < 0 ? "none" : std::string(buffer.data(), static_cast<std::size_t>(size));
  }
  [[nodiscard]] bool exists(const std::string& name) const {
    struct stat info {};
    return ::lstat(at(name).c_str(), &info) == 0;
  }

  TempDirectory scratch_;
  UnpackOptions options_;
};

}  // namespace skep::oci::testing
