#include "plugins/runtime/oci/container/log_line.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "plugins/runtime/oci/container/log_files.h"

namespace skep::oci {
namespace {

TEST(LogLine, Times) {
  EXPECT_EQ(parse_log_time("1970-01-01T00:00:00Z"), 0);
  EXPECT_EQ(parse_log_time("2000-02-29T12:00:01.5Z"), 951'825'601'500'000'000);
  EXPECT_EQ(parse_log_time("2026-11-21T05:07:58.615470919+00:00"), 1'795'237'678'615'470'919);
  EXPECT_EQ(parse_log_time("1970-01-01T02:00:00+02:00"), 0);
  EXPECT_EQ(parse_log_time("1969-12-31T18:30:00-05:30"), 0);
  for (const char* bad : {"", "1970-01-01", "1970-01-01T00:00:00", "x970-01-01T00:00:00Z",
                          "1970-01-01 00:00:00Z", "9999-01-01T00:00:00Z", "1970-01-01T00:00:00+0200"}) {
    EXPECT_EQ(parse_log_time(bad), std::nullopt) << bad;
  }
}

TEST(LogLine, Records) {
  const auto full = parse_log_line("1970-01-01T00:00:01Z stderr F two words ");
  ASSERT_TRUE(full);
  EXPECT_EQ(full->timestamp, 1'000'000'000);
  EXPECT_EQ(full->stream, 2U);
  EXPECT_FALSE(full->partial);
  EXPECT_EQ(full->content, "two words ");
  EXPECT_TRUE(parse_log_line("1970-01-01T00:00:01Z stdout P part")->partial);
  EXPECT_EQ(parse_log_line("1970-01-01T00:00:01Z stdout F ")->content, "");
  EXPECT_EQ(parse_log_line("1970-01-01T00:00:01Z stdout F")->content, "");
  for (const char* bad : {"", "x", "1970-01-01T00:00:01Z", "1970-01-01T00:00:01Z stdout",
                          "1970-01-01T00:00:01Z stdin F x", "1970-01-01T00:00:01Z stdout Q x",
                          "yesterday stdout F x"}) {
    EXPECT_FALSE(parse_log_line(bad)) << bad;
  }
}

class LogFiles : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = "/tmp/skep-logs-XXXXXX";
    directory = ::mkdtemp(pattern.data());
  }
  void TearDown() override { std::filesystem::remove_all(directory); }
  void append(const std::string& name, const std::string& tag, const std::string& content) {
    std::ofstream file(directory + "/" + name, std::ios::app);
    file << "2026-11-21T05:07:58.615470919+00:00 stdout " << tag << " " << content << "\n";
  }
  std::string contents(LogReader& reader, std::size_t block = 4096) {
    std::string out;
    for (;;) {
      const auto text = reader.read(block);
      EXPECT_TRUE(text);
      if (!text || text->empty()) {
        return out;
      }
      std::string_view rest = *text;
      while (!rest.empty()) {
        const auto end = rest.find('\n');
        const auto record = parse_log_line(rest.substr(0, end));
        out += std::string(record->content) + (record->partial ? "" : ";");
        rest.remove_prefix(end + 1);
      }
    }
  }
  std::string tail(std::uint64_t lines) {
    LogReader reader(directory);
    EXPECT_TRUE(reader.seek_tail(lines));
    return contents(reader);
  }
  std::string directory;
};

TEST_F(LogFiles, TailCountsWholeLinesAcrossFiles) {
  append("container.log.000001", "F", "1");
  append("container.log.000001", "F", "2");
  append("container.log.000002", "P", "3");
  append("container.log.000002", "F", "three");
  append("container.log", "F", "4");
  append("container.log", "P", "5");
  append("container.log", "F", "five");
  EXPECT_EQ(tail(0), "");
  EXPECT_EQ(tail(1), "5five;");
  EXPECT_EQ(tail(2), "4;5five;");
  EXPECT_EQ(tail(3), "3three;4;5five;");
  EXPECT_EQ(tail(4), "2;3three;4;5five;");
  EXPECT_EQ(tail(99), "1;2;3three;4;5five;");
}

TEST_F(LogFiles, TailOfManyBlocks) {
  constexpr int kLines = 20'000;
  for (int i = 0; i < kLines; ++i) {
    append("container.log", "F", std::to_string(i));
  }
  for (const int lines : {1, 2, 999, 1000, 1500, 19'999}) {
    const std::string text = tail(static_cast<std::uint64_t>(lines));
    EXPECT_EQ(std::count(text.begin(), text.end(), ';'), lines);
    EXPECT_TRUE(text.starts_with(std::to_string(kLines - lines) + ";"));
  }
}

TEST_F(LogFiles, AReaderGoesThroughRotations) {
  append("container.log", "F", "a");
  LogReader reader(directory);
  ASSERT_TRUE(reader.seek_start());
  EXPECT_EQ(contents(reader), "a;");
  std::filesystem::rename(directory + "/container.log", directory + "/container.log.000001");
  append("container.log.000001", "F", "b");  // conmon has not reopened yet
  EXPECT_EQ(contents(reader), "b;");
  append("container.log.000001", "F", "c");
  append("container.log", "F", "d");
  EXPECT_EQ(contents(reader), "c;d;");
  std::filesystem::rename(directory + "/container.log", directory + "/container.log.000002");
  append("container.log.000002", "F", "e");
  append("container.log", "F", "f");
  std::filesystem::rename(directory + "/container.log", directory + "/container.log.000003");
  append("container.log", "F", "g");
  EXPECT_EQ(contents(reader), "e;f;g;");
}

TEST_F(LogFiles, AReaderThatIsTooSlowGoesOnWithWhatIsLeft) {
  append("container.log", "F", "a");
  LogReader reader(directory);
  ASSERT_TRUE(reader.seek_start());
  EXPECT_EQ(contents(reader), "a;");
  std::filesystem::remove(directory + "/container.log");
  append("container.log.000007", "F", "x");
  append("container.log", "F", "y");
  EXPECT_EQ(contents(reader), "x;y;");
}

TEST_F(LogFiles, HalfARecordIsNotHandedOut) {
  append("container.log", "F", "a");
  std::ofstream(directory + "/container.log", std::ios::app) << "2026-11-21T05:07:58Z stdout F hal";
  LogReader reader(directory);
  ASSERT_TRUE(reader.seek_start());
  EXPECT_EQ(contents(reader, 16), "a;");
  std::ofstream(directory + "/container.log", std::ios::app) << "f\n";
  EXPECT_EQ(contents(reader, 16), "half;");
}

TEST_F(LogFiles, RotationNeedsALivingConmon) {
  append("container.log", "F", std::string(100, 'x'));
  EXPECT_EQ(*rotate_log(directory, directory + "/ctl", {.size_max = 10, .files_max = 2}), 146U);
  EXPECT_TRUE(rotated_logs(directory).empty()) << "no conmon, no reopening, so no rename";
}

}  // namespace
}  // namespace skep::oci
