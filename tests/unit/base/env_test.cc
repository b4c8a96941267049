#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "core/base/asio_loop.h"
#include "skep/posix_env.h"
#include "skep/testing/manual_env.h"

namespace skep {
namespace {

using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace)

struct TempDir {
  TempDir() {
    char name[] = "/tmp/skep-env-XXXXXX";
    path = ::mkdtemp(name);
  }
  ~TempDir() { std::filesystem::remove_all(path); }
  std::string path;
};

TEST(AsioLoop, ATurnEndsThoughWorkMakesMoreWork) {
  base::AsioLoop loop;
  int turns = 0;
  std::function<void()> again = [&] {
    ++turns;
    loop.post(again);
  };
  loop.post(again);
  loop.run_once(1ms);
  EXPECT_GT(turns, 1);
  loop.run_once(1ms);
}

TEST(AsioLoop, RunsPostsTimersAndWatchesAndForgetsCancelledOnes) {
  base::AsioLoop loop;
  int pipe_ends[2];
  ASSERT_EQ(::pipe(pipe_ends), 0);
  std::string events;
  WatchId watch = 0;
  watch = loop.watch_readable(pipe_ends[0], [&] {
    char c = 0;
    ASSERT_EQ(::read(pipe_ends[0], &c, 1), 1);
    events += c;
    if (c == 'b') {
      loop.unwatch(watch);
      loop.stop();
    }
  });
  const TimerId cancelled = loop.run_after(1ms, [&] { events += 'X'; });
  loop.cancel_timer(cancelled);
  loop.post([&] { ASSERT_EQ(::write(pipe_ends[1], "a", 1), 1); });
  loop.run_after(5ms, [&] { ASSERT_EQ(::write(pipe_ends[1], "b", 1), 1); });
  loop.run();
  EXPECT_EQ(events, "ab");
  ::close(pipe_ends[0]);
  ::close(pipe_ends[1]);
}

TEST(WorkerPool, RunsWorkElsewhereAndDoneOnTheLoop) {
  base::AsioLoop loop;
  WorkerPool pool(loop, 2);
  const auto here = std::this_thread::get_id();
  int done = 0;
  for (int i = 0; i < 20; ++i) {
    auto elsewhere = std::make_shared<bool>(false);
    ASSERT_TRUE(pool.run([=] { *elsewhere = std::this_thread::get_id() != here; },
                         [&, elsewhere] {
                           EXPECT_TRUE(*elsewhere);
                           EXPECT_EQ(std::this_thread::get_id(), here);
                           if (++done == 20) {
                             loop.stop();
                           }
                         }));
  }
  loop.run();
  EXPECT_EQ(done, 20);
}

TEST(PosixSubprocess, FeedsStdinCollectsOutputAndTellsTheExitCode) {
  PosixSubprocess processes;
  auto result = processes.run({.argv = {"sh", "-c", "cat; echo no >&2; exit 3"}, .stdin_data = "hello"}, 10s);
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(result->out, "hello");
  EXPECT_EQ(result->err, "no\n");
  EXPECT_EQ(result->exit_code, 3);
  result = processes.run({.argv = {"sh", "-c", "kill -9 $$"}}, 10s);
  ASSERT_TRUE(result);
  EXPECT_EQ(result->exit_code, 137);
}

TEST(PosixSubprocess, SaysWhichProgramIsMissingAndKillsAtTheDeadline) {
  PosixSubprocess processes;
  auto missing = processes.run({.argv = {"skep-no-such-program"}}, 10s);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, Code::kNotFound);
  EXPECT_NE(missing.error().message.find("skep-no-such-program"), std::string::npos);
  auto late = processes.run({.argv = {"sleep", "100"}}, 50ms);
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, Code::kTimeout);
}

TEST(PosixSubprocess, KeepsOutputBounded) {
  PosixSubprocess processes;
  auto result = processes.run(
      {.argv = {"head", "-c", "3000000", "/dev/zero"}, .output_max = 1000}, 10s);
  ASSERT_TRUE(result);
  EXPECT_EQ(result->out.size(), 1000u);
}

TEST(PosixDisk, WritesWholeFilesAndNamesPathsInErrors) {
  TempDir temp;
  PosixDisk disk;
  const std::string file = temp.path + "/a/b/file";
  EXPECT_EQ(disk.write_file_atomic(file, "x", 0600).error().code, Code::kNotFound);
  ASSERT_TRUE(disk.make_directories(temp.path + "/a/b", 0700));
  ASSERT_TRUE(disk.make_directories(temp.path + "/a/b", 0700));
  ASSERT_TRUE(disk.write_file_atomic(file, "one", 0600));
  ASSERT_TRUE(disk.write_file_atomic(file, "two", 0600));
  EXPECT_EQ(*disk.read_file(file), "two");
  EXPECT_EQ(disk.list_directory(temp.path + "/a/b")->size(), 1u);
  EXPECT_EQ(disk.make_directories(file, 0700).error().code, Code::kInvalidArgument);
  ASSERT_TRUE(disk.remove_tree(temp.path + "/a"));
  EXPECT_FALSE(disk.exists(file));
}

TEST(MemoryDisk, CrashKeepsWhatWasSyncedAndMayLoseTheRest) {
  bool lost = false;
  bool kept = false;
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    testing::MemoryDisk disk;
    testing::SeededRandom random(seed);
    auto file = *disk.open("/log", OpenMode::kCreate);
    ASSERT_TRUE(disk.sync_directory("/"));
    ASSERT_TRUE(file->write(0, "safe"));
    ASSERT_TRUE(file->sync());
    ASSERT_TRUE(file->write(4, "maybe"));
    disk.crash(random);
    EXPECT_FALSE(file->write(0, "dead"));
    const std::string content = disk.content("/log");
    EXPECT_EQ(content.substr(0, 4), "safe");
    lost = lost || content == "safe";
    kept = kept || content == "safemaybe";
  }
  EXPECT_TRUE(lost);
  EXPECT_TRUE(kept);
}

TEST(MemoryDisk, FailsTheCallItIsToldToAndFillsUp) {
  testing::MemoryDisk disk;
  auto file = *disk.open("/f", OpenMode::kCreate);
  disk.fail_call(2, Error{Code::kDataLoss, "sync: Input/output error"});
  EXPECT_TRUE(file->write(0, "a"));
  EXPECT_FALSE(file->sync());
  EXPECT_TRUE(file->sync());
  disk.set_capacity(3);
  EXPECT_TRUE(file->write(1, "bc"));
  EXPECT_EQ(file->write(3, "d").error().code, Code::kResourceExhausted);
}

TEST(ManualLoop, RunsEventsInOrderOfTimeThenPosting) {
  testing::ManualLoop loop;
  std::string order;
  loop.run_after(2ms, [&] { order += 'c'; });
  loop.run_after(1ms, [&] {
    order += 'a';
    loop.post([&] { order += 'b'; });
  });
  loop.advance(5ms);
  EXPECT_EQ(order, "abc");
}

}  // namespace
}  // namespace skep
