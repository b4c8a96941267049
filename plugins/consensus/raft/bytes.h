#pragma once

// Little-endian numbers and short strings in and out of byte strings. A reader that runs past its
// end turns bad and gives zeros; ask good() or finished() once, after the last field.

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace skep::raft {

class ByteWriter {
 public:
  void u8(std::uint8_t value) { bytes_.push_back(static_cast<char>(value)); }
  void u16(std::uint16_t value) { number(value, 2); }
  void u32(std::uint32_t value) { number(value, 4); }
  void u64(std::uint64_t value) { number(value, 8); }
  void raw(std::string_view data) { bytes_.append(data); }
  /// At most 65,535 bytes; what is longer is cut.
  void str16(std::string_view data) {
    const auto part = data.substr(0, 0xFFFF);
    u16(static_cast<std::uint16_t>(part.size()));
    raw(part);
  }
  [[nodiscard]] std::string_view view() const { return bytes_; }
  std::string take() { return std::move(bytes_); }

 private:
  void number(std::uint64_t value, int size) {
    for (int i = 0; i < size; ++i) {
      bytes_.push_back(static_cast<char>((value >> (8 * i)) & 0xFFU));
    }
  }
  std::string bytes_;
};

class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes) : left_(bytes) {}  // lives as long as one decode call
  std::uint8_t u8() { return static_cast<std::uint8_t>(number(1)); }
  std::uint16_t u16() { return static_cast<std::uint16_t>(number(2)); }
  std::uint32_t u32() { return static_cast<std::uint32_t>(number(4)); }
  std::uint64_t u64() { return number(8); }
  std::string str16() { return std::string(take(u16())); }
  std::string_view rest() { return take(left_.size()); }
  [[nodiscard]] bool good() const { return good_; }
  [[nodiscard]] bool finished() const { return good_ && left_.empty(); }

 private:
  std::uint64_t number(std::size_t size) {
    const std::string_view part = take(size);
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < part.size(); ++i) {
      value |= static_cast<std::uint64_t>(static_cast<unsigned char>(part[i])) << (8 * i);
    }
    return value;
  }
  std::string_view take(std::size_t size) {
    if (size > left_.size()) {
      good_ = false;
      left_ = {};
      return {};
    }
    const std::string_view part = left_.substr(0, size);
    left_.remove_prefix(size);
    return part;
  }
  std::string_view left_;
  bool good_ = true;
};

}  // namespace skep::raft
