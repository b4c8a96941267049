// exec, attach and logs on real containers.

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "plugins/runtime/oci/container/log_files.h"
#include "plugins/runtime/oci/container/testing/lab.h"
#include "plugins/runtime/oci/container/testing/test_stream.h"

namespace skep::oci {
namespace {

using namespace std::chrono_literals;
using testing::TestStream;
namespace methods = runtime::v1::methods;

class ROOT_Streams : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string missing = testing::missing_for_containers(); !missing.empty()) {
      FAIL() << missing;
    }
    ASSERT_TRUE(lab.start());
  }
  void TearDown() override {
    if (!IsSkipped()) {
      const auto listed = lab.list();
      for (const auto& container : listed->containers()) {
        EXPECT_TRUE(lab.remove(container.container_id(), true));
      }
      EXPECT_EQ(lab.leftovers(), std::vector<std::string>());
    }
  }
  std::string start(const runtime::v1::CreateRequest& request) {
    EXPECT_TRUE(lab.create(request));
    const auto started = lab.start_container(request.container_id());
    EXPECT_TRUE(started) << started.error().message;
    return request.container_id();
  }
  std::string start(std::vector<std::string> command) {
    return start(lab.request(std::move(command)));
  }

  struct Answer {
    std::string out;
    std::string err;
    int code = -1;
    std::string error;
    std::string reason;
  };
  struct Running {
    std::shared_ptr<TestStream> stream;
    Answer answer;
  };
  runtime::v1::ExecInput input(const std::string& id, std::vector<std::string> command) {
    runtime::v1::ExecInput first;
    first.mutable_start()->set_container_id(id);
    first.mutable_start()->mutable_command()->Assign(command.begin(), command.end());
    return first;
  }
  std::shared_ptr<Running> begin(const runtime::v1::ExecInput& first) {
    auto running = std::make_shared<Running>();
    running->stream = std::make_shared<TestStream>();
    lab.driver().exec(first, rpc::TypedServerStream<methods::Exec>(running->stream));
    return running;
  }
  static void collect(Running& running) {
    running.stream->take<runtime::v1::ExecOutput>([&](const runtime::v1::ExecOutput& part) {
      (part.stream() == 2 ? running.answer.err : running.answer.out) += part.data();
      if (part.exited()) {
        running.answer.code = part.exit_code();
      }
    });
  }
  Answer finish(const std::shared_ptr<Running>& running) {
    EXPECT_TRUE(lab.until([&] {
      collect(*running);
      return running->stream->last.has_value();
    }));
    collect(*running);
    if (running->stream->last && !*running->stream->last) {
      running->answer.error = running->stream->last->error().message;
      running->answer.reason = running->stream->last->error().reason;
    }
    return running->answer;
  }
  Answer exec(const std::string& id, std::vector<std::string> command) {
    return finish(begin(input(id, std::move(command))));
  }

  struct Lines {
    std::vector<std::string> text;
    std::uint64_t count = 0;
    bool keep = true;
  };
  std::shared_ptr<TestStream> logs(const std::string& id, bool follow, std::int64_t tail,
                                   std::int64_t since = 0) {
    runtime::v1::LogsRequest request;
    request.set_container_id(id);
    request.set_follow(follow);
    request.set_tail(tail);
    request.set_since(since);
    auto stream = std::make_shared<TestStream>();
    stream->window = 20'000;  // the lab's loop turns slowly when nothing else happens
    lab.driver().logs(request, rpc::TypedServerStream<methods::Logs>(stream));
    return stream;
  }
  static void take(TestStream& stream, std::vector<std::string>& lines, std::string& half) {
    stream.take<runtime::v1::LogLine>([&](const runtime::v1::LogLine& line) {
      half += line.data();
      if (!line.partial()) {
        lines.push_back(std::exchange(half, {}));
      }
    });
  }
  std::vector<std::string> read_logs(const std::string& id, std::int64_t tail,
                                     std::int64_t since = 0) {
    const auto stream = logs(id, false, tail, since);
    std::vector<std::string> lines;
    std::string half;
    EXPECT_TRUE(lab.until([&] {
      take(*stream, lines, half);
      return stream->last.has_value();
    }));
    take(*stream, lines, half);
    return lines;
  }
  testing::Lab lab;
};

TEST_F(ROOT_Streams, ExecKeepsStreamsAndExitCodesApart) {
  const std::string id = start({"sleep", "600"});
  const Answer both = exec(id, {"sh", "-c", "echo out; echo err >&2; exit 5"});
  EXPECT_EQ(both.error, "");
  EXPECT_EQ(both.out, "out\n");
  EXPECT_EQ(both.err, "err\n");
  EXPECT_EQ(both.code, 5);
  const Answer missing = exec(id, {"nope"});
  EXPECT_EQ(missing.reason, "COMMAND_NOT_FOUND") << missing.error;
  EXPECT_EQ(exec(id, {"sh", "-c", "kill -9 $$"}).code, 137);
  EXPECT_EQ(exec("unknown", {"true"}).reason, "CONTAINER_NOT_FOUND");
}

TEST_F(ROOT_Streams, ExecObeysUserDirectoryAndEnvironment) {
  auto request = lab.request({"sleep", "600"});
  request.mutable_spec()->add_env("FROM=service");
  request.mutable_spec()->set_user("web");
  const std::string id = start(request);
  EXPECT_EQ(exec(id, {"sh", "-c", "id -u; id -g; id -G; echo $FROM $HOME; pwd"}).out,
            "1001\n1002\n1002 1003\nservice /data\n/\n");
  auto first = input(id, {"sh", "-c", "id -u; pwd; echo $MORE $HOME"});
  first.mutable_start()->set_user("0");
  first.mutable_start()->set_directory("/tmp");
  first.mutable_start()->add_env("MORE=yes");
  EXPECT_EQ(finish(begin(first)).out, "0\n/tmp\nyes /root\n");
  first.mutable_start()->set_user("nobody-here");
  EXPECT_EQ(finish(begin(first)).reason, "UNKNOWN_USER");
}

TEST_F(ROOT_Streams, ExecPassesStandardInput) {
  const std::string id = start({"sleep", "600"});
  auto first = input(id, {"wc", "-c"});
  first.mutable_start()->set_open_stdin(true);
  const auto running = begin(first);
  constexpr int kParts = 40;
  for (int i = 0; i < kParts; ++i) {
    runtime::v1::ExecInput part;
    part.set_stdin_data(std::string(32 * 1024, 'x'));
    running->stream->write(part);
  }
  runtime::v1::ExecInput end;
  end.set_stdin_end(true);
  running->stream->write(end);
  const Answer answer = finish(running);
  EXPECT_EQ(answer.out, std::to_string(kParts * 32 * 1024) + "\n") << answer.error;
  EXPECT_EQ(answer.code, 0);
}

TEST_F(ROOT_Streams, ExecOutputWaitsForASlowReader) {
  const std::string id = start({"sleep", "600"});
  const auto running = begin(input(id, {"sh", "-c", "head -c 5000000 /dev/zero"}));
  running->stream->window = 4;
  ASSERT_TRUE(lab.until([&] { return running->stream->chunks.size() == 4; }));
  EXPECT_FALSE(lab.until([&] { return running->stream->last.has_value(); }, 300ms));
  const Answer answer = finish(running);
  EXPECT_EQ(answer.out.size(), 5'000'000U);
  EXPECT_EQ(answer.code, 0);
}

TEST_F(ROOT_Streams, ExecOnATerminalResizes) {
  const std::string id = start({"sleep", "600"});
  auto first = input(id, {"sh"});
  first.mutable_start()->set_tty(true);
  first.set_rows(30);
  first.set_columns(100);
  const auto running = begin(first);
  const auto type = [&](const std::string& text) {
    runtime::v1::ExecInput part;
    part.set_stdin_data(text);
    running->stream->write(part);
  };
  const auto shows = [&](const std::string& text) {
    return lab.until([&] {
      collect(*running);
      return running->answer.out.find(text) != std::string::npos;
    });
  };
  // The runtime sets the first size a moment after the shell has started.
  EXPECT_TRUE(lab.until([&] {
    type("stty size\n");
    lab.until([&] { collect(*running); return false; }, 100ms);
    return running->answer.out.find("30 100") != std::string::npos;
  })) << running->answer.out;
  type("test -t 0 && echo te''rminal\n");
  EXPECT_TRUE(shows("terminal"));
  runtime::v1::ExecInput resize;
  resize.set_rows(40);
  resize.set_columns(120);
  running->stream->write(resize);
  running->answer.out.clear();
  EXPECT_TRUE(lab.until([&] {
    type("stty size\n");
    lab.until([&] { collect(*running); return false; }, 100ms);
    return running->answer.out.find("40 120") != std::string::npos;
  }));
  type("exit 7\n");
  EXPECT_EQ(finish(running).code, 7);
}

TEST_F(ROOT_Streams, ACallerThatLeavesEndsItsExec) {
  const std::string id = start({"sleep", "600"});
  const auto running = begin(input(id, {"sh", "-c", "echo up; sleep 333"}));
  ASSERT_TRUE(lab.until([&] {
    collect(*running);
    return running->answer.out == "up\n";
  }));
  running->stream->cancel();
  EXPECT_TRUE(lab.until([&] { return lab.stats(id)->pids() == 1; }, 5s));
  EXPECT_EQ(exec(id, {"true"}).code, 0) << "the container itself is untouched";
}

TEST_F(ROOT_Streams, AttachTalksToTheContainerItself) {
  auto request = lab.request({"sh", "-c", "read line; echo got $line; echo err >&2; sleep 0.2; exit 4"});
  request.mutable_spec()->set_open_stdin(true);
  const std::string id = start(request);
  runtime::v1::AttachInput first;
  first.set_container_id(id);
  auto running = std::make_shared<Running>();
  running->stream = std::make_shared<TestStream>();
  lab.driver().attach(first, rpc::TypedServerStream<methods::Attach>(running->stream));
  runtime::v1::AttachInput line;
  line.set_stdin_data("hello\n");
  running->stream->write(line);
  const Answer answer = finish(running);
  EXPECT_EQ(answer.out, "got hello\n");
  EXPECT_EQ(answer.err, "err\n");
  EXPECT_EQ(answer.code, 4);
}

TEST_F(ROOT_Streams, LogsTailSinceAndLongLines) {
  const std::string id =
      start({"sh", "-c", "seq 1 1000; head -c 20000 /dev/zero | tr '\\0' x; echo; printf end"});
  ASSERT_TRUE(lab.wait(id));
  const auto all = read_logs(id, -1);
  ASSERT_GE(all.size(), 1001U);
  EXPECT_EQ(all.front(), "1");
  EXPECT_EQ(all[1000].size(), 20000U) << "partial records are one line again";
  EXPECT_EQ(read_logs(id, 0), std::vector<std::string>());
  const auto tail = read_logs(id, 3);
  ASSERT_GE(tail.size(), 2U);
  EXPECT_NE(std::find(tail.begin(), tail.end(), std::string(20000, 'x')), tail.end());
  EXPECT_EQ(read_logs(id, 100000).size(), all.size());
  EXPECT_EQ(read_logs(id, -1, lab.env().clock.wall_now() + 3'600'000'000'000).size(), 0U);
  EXPECT_EQ(read_logs(id, -1, lab.env().clock.wall_now() - 3'600'000'000'000).size(), all.size());
}

TEST_F(ROOT_Streams, FollowGoesOnUntilTheEndOfTheContainer) {
  const std::string id = start({"sh", "-c", "for i in 1 2 3; do echo line $i; sleep 0.2; done"});
  const auto stream = logs(id, true, -1);
  std::vector<std::string> lines;
  std::string half;
  EXPECT_TRUE(lab.until([&] {
    take(*stream, lines, half);
    return stream->last.has_value();
  }));
  EXPECT_EQ(lines, (std::vector<std::string>{"line 1", "line 2", "line 3"}));
}

TEST_F(ROOT_Streams, RotationLosesNoLineOfAFollower) {
  constexpr int kBursts = 8;
  constexpr int kLines = 60'000;
  auto request = lab.request({"sh", "-c", "for i in 1 2 3 4 5 6 7 8; do seq 1 " +
                              std::to_string(kLines) + "; sleep 0.3; done"});
  request.set_log_size_max(1 << 20);
  request.set_log_files_max(1000);
  ASSERT_TRUE(lab.create(request));
  const std::string id = request.container_id();
  const auto stream = logs(id, true, -1);
  ASSERT_TRUE(lab.start_container(id));
  std::vector<std::string> lines;
  std::string half;
  ASSERT_TRUE(lab.until([&] {
    take(*stream, lines, half);
    return stream->last.has_value();
  }, 120s));
  take(*stream, lines, half);
  ASSERT_EQ(lines.size(), static_cast<std::size_t>(kBursts * kLines));
  for (int i = 0; i < kBursts * kLines; ++i) {
    ASSERT_EQ(lines[static_cast<std::size_t>(i)], std::to_string(i % kLines + 1));
  }
  EXPECT_GE(rotated_logs(lab.state_dir() + "/containers/" + id).size(), 2U);
  EXPECT_EQ(read_logs(id, -1).size(), lines.size()) << "whoever comes later reads the same";
  EXPECT_EQ(read_logs(id, kLines + 2).front(), std::to_string(kLines - 1)) << "tail crosses files";
}

/// Bytes this process keeps in memory.
std::uint64_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::uint64_t total = 0;
  std::uint64_t resident = 0;
  file >> total >> resident;
  return resident * 4096;
}

TEST_F(ROOT_Streams, AHugeLogStaysWithinItsLimitsAndTheReaderSmall) {
  constexpr std::uint64_t kMiB = 1 << 20;
  auto request = lab.request({"sh", "-c", "yes $(head -c 4000 /dev/zero | tr '\\0' x) | head -c 200000000"});
  request.set_log_size_max(16 * kMiB);
  request.set_log_files_max(3);
  const std::string id = start(request);
  const auto stream = logs(id, true, -1);
  const std::uint64_t before = resident_bytes();
  std::uint64_t most = 0;
  std::uint64_t on_disk = 0;
  std::uint64_t bytes = 0;
  ASSERT_TRUE(lab.until([&] {
    stream->take<runtime::v1::LogLine>([&](const runtime::v1::LogLine& line) {
      bytes += line.data().size() + (line.partial() ? 0 : 1);
    });
    most = std::max(most, resident_bytes());
    std::uint64_t sum = 0;
    std::error_code error;
    for (const auto& file : std::filesystem::directory_iterator(lab.state_dir() + "/containers/" + id, error)) {
      if (file.path().filename().string().starts_with(kLogName)) {
        const auto size = file.file_size(error);
        sum += error ? 0 : size;
      }
    }
    on_disk = std::max(on_disk, sum);
    return stream->last.has_value();
  }, 240s));
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // they keep what was freed
  EXPECT_LT(most - std::min(most, before), 48 * kMiB);
#endif
  EXPECT_LT(on_disk, 180 * kMiB) << "old files went while the log was written";
  EXPECT_GT(bytes, 100 * kMiB);
  RecordProperty("followed_mib", static_cast<int>(bytes / kMiB));
  RecordProperty("disk_mib_max", static_cast<int>(on_disk / kMiB));
  std::cerr << "followed " << bytes / kMiB << " of 190 MiB, at most " << on_disk / kMiB
            << " MiB on disk, " << (most - std::min(most, before)) / kMiB << " MiB more memory\n";
}

}  // namespace
}  // namespace skep::oci
