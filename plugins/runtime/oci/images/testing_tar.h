#pragma once

// Tar files as tests need them, hostile ones included: nothing is checked.

#include <cstdint>
#include <cstdio>
#include <map>
#include <string>
#include <string_view>

namespace skep::oci::testing {

struct TarEntry {
  std::string name;
  char type = '0';  ///< 0 file, 1 hard link, 2 symlink, 3 char, 4 block, 5 directory, 6 fifo
  std::string data = {};
  std::string link = {};
  unsigned mode = 0644;
  unsigned owner = 0;
  unsigned group = 0;
  unsigned major = 0;
  unsigned minor = 0;
  std::uint64_t mtime = 1'700'000'000;
  std::map<std::string, std::string> pax = {};  ///< "SCHILY.xattr.user.k" -> value
};

class Tar {
 public:
  Tar& add(const TarEntry& entry) {
    if (!entry.pax.empty()) {
      std::string records;
      for (const auto& [key, value] : entry.pax) {
        records += record(key + "=" + value + "\n");
      }
      add_raw({"pax", 'x', records}, records.size());
    }
    add_raw(entry, entry.data.size());
    return *this;
  }
  Tar& directory(const std::string& name, unsigned mode = 0755) {
    return add({name, '5', "", "", mode});
  }
  Tar& file(const std::string& name, const std::string& data) { return add({name, '0', data}); }
  Tar& symlink(const std::string& name, const std::string& target) {
    return add({name, '2', "", target});
  }
  Tar& hard_link(const std::string& name, const std::string& target) {
    return add({name, '1', "", target});
  }
  /// A header that claims another size than its data has.
  Tar& add_raw(const TarEntry& entry, std::uint64_t claimed) {
    std::string header(512, '\0');
    const auto put = [&](std::size_t at, std::size_t size, std::string_view text) {
      header.replace(at, std::min(size, text.size()), text.substr(0, size));
    };
    const auto octal = [&](std::size_t at, std::size_t size, std::uint64_t value) {
      char text[32];
      std::snprintf(text, sizeof(text), "%0*llo", static_cast<int>(size - 1),
                    static_cast<unsigned long long>(value));
      put(at, size, text);
    };
    put(0, 100, entry.name);
    octal(100, 8, entry.mode);
    octal(108, 8, entry.owner);
    octal(116, 8, entry.group);
    octal(124, 12, claimed);
    octal(136, 12, entry.mtime);
    header[156] = entry.type;
    put(157, 100, entry.link);
    put(257, 8, std::string_view("ustar\00000", 8));
    octal(329, 8, entry.major);
    octal(337, 8, entry.minor);
    put(148, 8, "        ");
    unsigned sum = 0;
    for (const char c : header) {
      sum += static_cast<unsigned char>(c);
    }
    octal(148, 7, sum);
    bytes_ += header + entry.data;
    bytes_.resize((bytes_.size() + 511) / 512 * 512);
    return *this;
  }
  [[nodiscard]] std::string finish() const { return bytes_ + std::string(1024, '\0'); }

 private:
  /// "LENGTH key=value\n", whose length counts its own digits.
  static std::string record(const std::string& text) {
    std::size_t size = text.size() + 2;
    while (std::to_string(size).size() + 1 + text.size() != size) {
      ++size;
    }
    return std::to_string(size) + " " + text;
  }
  std::string bytes_;
};

}  // namespace skep::oci::testing
