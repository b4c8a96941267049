#include "core/pluginhost/plugin_log.h"

#include "skep/testing/manual_env.h"
#include "tests/unit/sdk/rpc_pair.h"

namespace skep::host {
namespace {

using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace)
using plugin::v1::PluginLogsRequest;
using plugin::v1::methods::PluginLogs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr const char* kFile = "/run/plugins/mine.log";

/// A plugin's log behind a table, and readers at the other end of a wire.
class PluginLogTest : public ::testing::Test {
 protected:
  struct Reader {
    std::vector<std::string> lines;
    std::optional<Status> done;
    std::shared_ptr<rpc::ClientStream> stream;
  };

  PluginLogTest() {
    EXPECT_TRUE(disk_.make_directories("/run/plugins", 0700).has_value());
    pair_.server_table.on_stream<PluginLogs>(
        [this](const auto& request, auto stream) { log_->serve(request, std::move(stream)); });
  }

  std::shared_ptr<Reader> read(const PluginLogsRequest& request) {
    auto reader = std::make_shared<Reader>();
    // Not the pointer itself: the stream holds what it calls, and the reader holds the stream.
    reader->stream = rpc::open<PluginLogs>(
        pair_.client, "core", request, {.deadline = 0ms},
        [weak = std::weak_ptr(reader)](const auto& line) {
          if (const auto one = weak.lock()) {
            one->lines.push_back(line.text());
          }
        },
        [weak = std::weak_ptr(reader)](Status status) {
          if (const auto one = weak.lock()) {
            one->done = std::move(status);
          }
        });
    pair_.loop.run_ready();
    return reader;
  }
  static PluginLogsRequest follow(bool only_new = false) {
    PluginLogsRequest request;
    request.set_id("mine");
    request.set_follow(true);
    request.set_only_new(only_new);
    return request;
  }
  void add(const std::string& text) {
    log_->add(LogLevel::kInfo, text);
    pair_.loop.run_ready();
  }
  void write(const std::string& content) {
    EXPECT_TRUE(disk_.write_file_atomic(kFile, content, 0600).has_value());
    pair_.loop.advance(1s);
  }

  rpc::Pair pair_;
  testing::SeededRandom random_{1};
  testing::MemoryDisk disk_;
  testing::FakeSubprocess subprocess_;
  testing::InlineWorkers workers_{pair_.loop};
  Env env_{pair_.loop, random_, pair_.loop, workers_, disk_, subprocess_};
  std::unique_ptr<PluginLog> log_ = std::make_unique<PluginLog>(env_, kFile);
};

TEST_F(PluginLogTest, GivesWhatIsThereAndEnds) {
  write("from the host\nits last words");
  const auto all = read({});
  EXPECT_THAT(all->lines, ElementsAre("from the host", "its last words"));
  EXPECT_TRUE(all->done && *all->done);
  PluginLogsRequest last;
  last.set_tail(1);
  EXPECT_THAT(read(last)->lines, ElementsAre("its last words"));
}

TEST_F(PluginLogTest, FollowsTheLinesOfAnInProcessPlugin) {
  add("one");
  add("two");
  const auto all = read(follow());
  const auto fresh = read(follow(true));
  EXPECT_THAT(all->lines, ElementsAre("one", "two"));
  EXPECT_THAT(fresh->lines, IsEmpty());
  add("three");
  EXPECT_THAT(all->lines, ElementsAre("one", "two", "three"));
  EXPECT_THAT(fresh->lines, ElementsAre("three"));
  EXPECT_FALSE(all->done);
}

TEST_F(PluginLogTest, FollowsAHostsFileAlsoWhenItStartsAnew) {
  const auto reader = read(follow());
  write("one\ntw");
  EXPECT_THAT(reader->lines, ElementsAre("one"));
  write("one\ntwo\n");
  EXPECT_THAT(reader->lines, ElementsAre("one", "two"));
  write("new\n");
  EXPECT_THAT(reader->lines, ElementsAre("one", "two", "new"));
  EXPECT_TRUE(disk_.remove(kFile).has_value());
  pair_.loop.advance(1s);
  write("newer\n");
  EXPECT_THAT(reader->lines, ElementsAre("one", "two", "new", "newer"));
}

TEST_F(PluginLogTest, AReaderThatLeavesIsForgotten) {
  const auto reader = read(follow());
  reader->stream->cancel();
  pair_.loop.advance(1s);
  EXPECT_EQ(pair_.loop.pending(), 0U);
  add("nobody hears this");
}

TEST_F(PluginLogTest, ALongFileArrivesWhole) {
  std::string content;
  for (int i = 0; i < 10'000; ++i) {
    content += "line " + std::to_string(i) + " " + std::string(80, 'x') + "\n";
  }
  write(content);
  const auto reader = read({});
  EXPECT_THAT(reader->lines, SizeIs(10'000));
  EXPECT_TRUE(reader->done && *reader->done);
}

TEST_F(PluginLogTest, ASlowReaderIsToldWhatItMissed) {
  const auto reader = read(follow());
  reader->stream->hold_credit(true);
  const std::string line(100, 'x');
  for (int i = 0; i < 60'000; ++i) {
    log_->add(LogLevel::kInfo, line);
  }
  pair_.loop.run_ready();
  reader->stream->hold_credit(false);
  pair_.loop.run_ready();
  add("after");
  ASSERT_GT(reader->lines.size(), 20'000U);
  EXPECT_EQ(reader->lines.back(), "after");
  EXPECT_THAT(reader->lines[reader->lines.size() - 2], HasSubstr("lines are not shown"));
}

TEST_F(PluginLogTest, OnlySoManyFollow) {
  for (int i = 0; i < 16; ++i) {
    EXPECT_FALSE(read(follow())->done);
  }
  const auto refused = read(follow());
  ASSERT_TRUE(refused->done);
  EXPECT_EQ(refused->done->error().reason, "TOO_MANY_READERS");
  EXPECT_TRUE(*read({})->done);
}

TEST_F(PluginLogTest, TheEndOfTheAgentEndsItsReaders) {
  const auto reader = read(follow());
  log_.reset();
  pair_.loop.run_ready();
  ASSERT_TRUE(reader->done);
  EXPECT_EQ(reader->done->error().code, Code::kUnavailable);
}

}  // namespace
}  // namespace skep::host
