// Script tests of the state machine: several members over real logs on memory disks, messages that a
// script delivers, drops and reorders. Scripts lie in tests/data/raft: blocks of commands, `----`,
// what they print. SKEP_REWRITE=1 writes what is printed now (then read the difference).
//
//   members 3 [pre-vote=off] [check-quorum=off] [inflight=2] [message-bytes=N]
//   join 4                            an empty member that knows nobody
//   campaign 1 | tick 1 12 | propose 1 hello [count] | transfer 1 2 | read 1 ctx | forget 1
//   change 1 add 4 | learner 4 | remove 2 ...   several steps make a joint change
//   ready 1 [unwritten]               one round of member 1, printed; or one that dies in its write
//   deliver [1->2] [type] [count]     one by one, in order; drop loses them, repeat keeps them too
//   stabilize [1 2 ...]               rounds and deliveries among them until nothing happens
//   heir 1 | hand-over 1              who it would name; the request goes beside its rounds
//   aside 1 | reluctant 1 [no]        what a member with a bad disk does
//   compact 1 5 | restart 1 [unapplied] | installed 1 | unreachable 1 2
//   state | progress 1 | log 1 | quiet | loud

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <list>
#include <sstream>

#include "plugins/consensus/raft/raft.h"
#include "plugins/consensus/raft/testing/show.h"
#include "plugins/consensus/raft/wal.h"
#include "skep/log.h"
#include "skep/testing/manual_env.h"

namespace skep::raft {
namespace {

using Words = std::vector<std::string>;

struct Node {
  testing::MemoryDisk disk;
  testing::SeededRandom random{1};
  std::unique_ptr<Wal> wal;
  std::unique_ptr<Raft> raft;
  Index applied = 0;
};

class Cluster {
 public:
  std::string run(const std::string& line) {
    std::istringstream in(line);
    Words words;
    for (std::string word; in >> word;) {
      words.push_back(word);
    }
    out_.str("");
    try {
      command(words);
    } catch (const BrokenInvariant& broken) {
      out_ << "BROKEN: " << broken.what() << "\n";
    }
    return out_.str();
  }

 private:
  void command(const Words& w) {
    const std::string& verb = w.at(0);
    if (verb == "members") {
      make_members(w);
    } else if (verb == "join") {
      make_node(number(w, 1), {});
    } else if (verb == "quiet" || verb == "loud") {
      quiet_ = verb == "quiet";
    } else if (verb == "deliver" || verb == "drop" || verb == "repeat") {
      deliver(w);
    } else if (verb == "stabilize") {
      stabilize(w);
    } else if (verb == "state") {
      print_state();
    } else {
      member_command(verb, number(w, 1), w);
    }
  }

  void member_command(const std::string& verb, MemberId id, const Words& w) {
    Raft& raft = *nodes_.at(id).raft;
    if (verb == "campaign") {
      raft.campaign();
    } else if (verb == "tick") {
      for (MemberId i = 0; i < (w.size() > 2 ? number(w, 2) : 1); ++i) {
        raft.tick();
      }
    } else if (verb == "propose") {
      for (MemberId i = 0; i < (w.size() > 3 ? number(w, 3) : 1); ++i) {
        report(raft.propose(w.at(2)));
      }
    } else if (verb == "change") {
      report(raft.propose_change(parse_change(w)));
    } else if (verb == "transfer") {
      report(raft.transfer_leadership(number(w, 2)));
    } else if (verb == "read") {
      report(raft.read_index(w.at(2)));
    } else if (verb == "forget") {
      raft.report_leader_gone();
    } else if (verb == "heir") {
      out_ << raft.best_heir() << "\n";
    } else if (verb == "hand-over") {
      const std::vector<Message> request{raft.ask_to_lead(raft.best_heir())};
      note(id, "send " + show(request[0]));
      dispatch(id, request);
    } else if (verb == "aside") {
      raft.step_aside();
    } else if (verb == "reluctant") {
      raft.set_reluctant(w.size() == 2);
    } else if (verb == "installed") {
      nodes_.at(id).applied = nodes_.at(id).wal->mark().index;
      raft.state_installed();
    } else if (verb == "unreachable") {
      raft.report_unreachable(number(w, 2));
    } else if (verb == "ready") {
      w.size() > 2 ? dying_round(id) : round(id);
    } else if (verb == "compact") {
      compact(id, number(w, 2));
    } else if (verb == "restart") {
      if (w.size() > 2) {  // "restart 1 unapplied": what the core applied is forgotten too
        nodes_[id].applied = 0;
      }
      start(id);
    } else if (verb == "progress") {
      print_progress(raft);
    } else if (verb == "log") {
      print_log(raft);
    } else {
      out_ << "unknown command\n";
    }
  }

  static MemberId number(const Words& w, std::size_t at) { return std::stoull(w.at(at)); }
  template <class T>
  void report(const Result<T>& result) {
    if (!result) {
      out_ << code_name(result.error().code) << ": " << result.error().message << "\n";
    }
  }
  static ConfigChange parse_change(const Words& w) {
    ConfigChange change;
    for (std::size_t i = 2; i + 1 < w.size(); i += 2) {
      change.steps.push_back({w[i] == "remove" ? MemberStep::Kind::kRemove : MemberStep::Kind::kAdd,
                              {number(w, i + 1), "", "", w[i] == "learner"}});
    }
    return change;
  }

  void make_members(const Words& w) {
    for (std::size_t i = 2; i < w.size(); ++i) {
      const auto equals = w[i].find('=');
      const std::string key = w[i].substr(0, equals);
      const std::string value = w[i].substr(equals + 1);
      if (key == "pre-vote") {
        options_.pre_vote = value != "off";
      } else if (key == "check-quorum") {
        options_.check_quorum = value != "off";
      } else if (key == "inflight") {
        options_.flow.inflight_messages_max = std::stoul(value);
      } else if (key == "message-bytes") {
        options_.flow.message_bytes_max = std::stoul(value);
      }
    }
    ConfigChange first;
    for (MemberId id = 1; id <= number(w, 1); ++id) {
      first.steps.push_back({MemberStep::Kind::kAdd, {id, "", "", false}});
    }
    for (MemberId id = 1; id <= number(w, 1); ++id) {
      make_node(id, first);
    }
  }
  void make_node(MemberId id, const ConfigChange& first) {
    nodes_.try_emplace(id);
    open_wal(id);
    if (!first.steps.empty()) {
      const Entry entry{1, 1, EntryKind::kConfig, encode_config_change(first)};
      EXPECT_TRUE(nodes_[id].wal->append(std::vector{entry}, HardState{1, 0, 1}));
      EXPECT_TRUE(nodes_[id].wal->sync());
    }
    start(id);
  }
  void open_wal(MemberId id) {
    WalOptions options;
    options.directory = "/raft";
    options.cluster = "c";
    options.member = id;
    options.segment_bytes = 64 * 1024;
    auto wal = Wal::open(nodes_[id].disk, options);
    ASSERT_TRUE(wal) << wal.error().message;
    nodes_[id].wal = *std::move(wal);
  }
  void start(MemberId id) {
    Node& node = nodes_[id];
    node.raft.reset();
    open_wal(id);
    const Index applied = std::max(node.wal->hard_state().commit, node.applied);
    Membership members = node.wal->mark().membership;
    for (const Index index : node.wal->config_indexes()) {
      if (index <= applied) {
        const auto entry = node.wal->entries(index, index, 1 << 20);
        const auto change = decode_config_change(entry->front().data);
        if (!change) {
          nodes_.erase(id);  // the driver would not open this log
          throw BrokenInvariant("the log takes an entry for a change of the members that is none");
        }
        members = *apply_change(members, *change);
      }
    }
    RaftOptions options = options_;
    options.id = id;
    options.random = [&node](std::uint64_t bound) { return node.random.below(bound); };
    node.raft = std::make_unique<Raft>(options, *node.wal, node.wal->hard_state(),
                                       std::move(members), applied);
  }
  void compact(MemberId id, Index index) {
    Node& node = nodes_.at(id);
    EXPECT_TRUE(node.wal->set_mark({index, *node.wal->term(index), node.raft->members(), false}));
  }

  void note(MemberId id, const std::string& text) {
    if (!quiet_) {
      out_ << id << ": " << text << "\n";
    }
  }
  void round(MemberId id) {
    Node& node = nodes_.at(id);
    if (!node.raft->has_ready()) {
      return;
    }
    const Ready ready = node.raft->ready();
    print_ready(id, ready);
    dispatch(id, ready.messages);
    dispatch(id, ready.messages_after_sync);
    if (ready.snapshot) {
      ASSERT_TRUE(node.wal->set_mark(*ready.snapshot));
    }
    if (ready.must_sync) {
      ASSERT_TRUE(node.wal->append(ready.entries, ready.hard_state));
      ASSERT_TRUE(node.wal->sync());
    }
    node.raft->advance(ready);
    for (const Entry& entry : ready.committed) {
      node.applied = entry.index;
      if (entry.kind == EntryKind::kConfig) {
        note(id, "members " + show(node.raft->members()));
      }
    }
  }
  /// What needs no sync is sent; the rest is lost, and the member starts again.
  void dying_round(MemberId id) {
    Ready ready = nodes_.at(id).raft->ready();
    ready.messages_after_sync.clear();
    print_ready(id, ready);
    dispatch(id, ready.messages);
    start(id);
  }
  void dispatch(MemberId from, const std::vector<Message>& messages) {
    for (const Message& message : messages) {
      if (message.to != from) {
        auto decoded = decode_message(encode_message(message, "c"), "c");
        ASSERT_TRUE(decoded) << decoded.error().message;
        network_.push_back(*std::move(decoded));
      }
    }
  }
  void print_ready(MemberId id, const Ready& ready) {
    if (ready.soft_state) {
      note(id, std::string(role_name(ready.soft_state->role)) + " leader " +
                   std::to_string(ready.soft_state->leader));
    }
    if (ready.hard_state) {
      const HardState& hard = *ready.hard_state;
      note(id, "term " + std::to_string(hard.term) + " vote " + std::to_string(hard.vote) +
                   " commit " + std::to_string(hard.commit));
    }
    if (ready.snapshot) {
      note(id, "snapshot " + std::to_string(ready.snapshot->index) + " " +
                   show(ready.snapshot->membership));
    }
    for (const Entry& entry : ready.entries) {
      note(id, "write " + show(entry));
    }
    for (const Entry& entry : ready.committed) {
      note(id, "committed " + show(entry));
    }
    for (const ReadState& read : ready.reads) {
      note(id, "read " + read.context + " at " + std::to_string(read.index));
    }
    for (const auto* messages : {&ready.messages, &ready.messages_after_sync}) {
      for (const Message& message : *messages) {
        if (message.to != id) {
          note(id, "send " + show(message));
        }
      }
    }
  }

  void deliver(const Words& w) {
    std::size_t limit = ~std::size_t{0};
    std::string link;
    std::string type;
    for (std::size_t i = 1; i < w.size(); ++i) {
      if (w[i].find("->") != std::string::npos) {
        link = w[i];
      } else if (std::isdigit(static_cast<unsigned char>(w[i][0])) != 0) {
        limit = std::stoul(w[i]);
      } else {
        type = w[i];
      }
    }
    const std::list<Message> now(network_.begin(), network_.end());
    network_.clear();
    for (const Message& message : now) {
      const std::string of = std::to_string(message.from) + "->" + std::to_string(message.to);
      const bool matches = limit > 0 && (link.empty() || link == of) &&
                           (type.empty() || type == message_name(message.type));
      if (!matches) {
        network_.push_back(message);
        continue;
      }
      --limit;
      note(message.to, (w[0] == "drop" ? "lost " : "got ") + show(message));
      if (w[0] == "repeat") {
        network_.push_back(message);
      }
      if (w[0] != "drop" && nodes_.contains(message.to)) {
        report(nodes_.at(message.to).raft->step(message));
      }
    }
  }
  void stabilize(const Words& w) {
    std::set<MemberId> among;
    for (std::size_t i = 1; i < w.size(); ++i) {
      among.insert(number(w, i));
    }
    const auto takes_part = [&](MemberId id) { return among.empty() || among.contains(id); };
    for (int guard = 0; guard < 1000; ++guard) {
      bool idle = true;
      for (auto& [id, node] : nodes_) {
        if (takes_part(id) && node.raft->has_ready()) {
          idle = false;
          round(id);
        }
      }
      std::list<Message> now;
      now.swap(network_);
      for (Message& message : now) {
        if (!takes_part(message.to) || !nodes_.contains(message.to)) {
          network_.push_back(std::move(message));
          continue;
        }
        idle = false;
        note(message.to, "got " + show(message));
        report(nodes_.at(message.to).raft->step(std::move(message)));
      }
      if (idle) {
        return;
      }
    }
    out_ << "never stable\n";
  }

  void print_state() {
    for (const auto& [id, node] : nodes_) {
      out_ << id << ": " << role_name(node.raft->role()) << " term " << node.raft->term()
           << " leader " << node.raft->leader() << " last " << node.raft->log().last_term() << "/"
           << node.raft->log().last_index() << " commit " << node.raft->log().committed()
           << (node.raft->awaits_state() ? " awaits state" : "") << " " << show(node.raft->members())
           << "\n";
    }
  }
  void print_progress(const Raft& raft) {
    constexpr std::array kNames{"probe", "replicate", "snapshot"};
    for (const auto& [id, progress] : raft.progress()) {
      out_ << id << ": " << kNames.at(static_cast<std::size_t>(progress.state)) << " match "
           << progress.match << " next " << progress.next << (progress.is_paused() ? " paused" : "")
           << (progress.recent_active ? "" : " inactive");
      if (progress.inflights.count() > 0) {
        out_ << " inflight " << progress.inflights.count();
      }
      out_ << "\n";
    }
  }
  void print_log(const Raft& raft) {
    for (const Entry& entry :
         raft.log().entries(raft.log().first_index(), raft.log().last_index(), 1 << 20)) {
      out_ << show(entry) << "\n";
    }
  }

  RaftOptions options_;
  std::map<MemberId, Node> nodes_;
  std::list<Message> network_;
  std::ostringstream out_;
  bool quiet_ = false;
};

class Interaction : public ::testing::TestWithParam<std::string> {};

TEST_P(Interaction, PrintsWhatItShould) {
  log::set_level(LogLevel::kError);
  std::ifstream file(GetParam());
  ASSERT_TRUE(file);
  Cluster cluster;
  std::string actual;
  std::string expected;
  bool in_result = false;
  std::string commands;
  for (std::string line; std::getline(file, line);) {
    expected += line + "\n";
    if (line == "----") {
      in_result = true;
      actual += "----\n";
      std::istringstream block(commands);
      for (std::string command; std::getline(block, command);) {
        actual += cluster.run(command);
      }
      commands.clear();
    } else if (line.empty()) {
      in_result = false;
      actual += "\n";
    } else if (!in_result) {
      actual += line + "\n";
      commands += line[0] == '#' ? "" : line + "\n";
    }
  }
  log::set_level(LogLevel::kInfo);
  if (std::getenv("SKEP_REWRITE") != nullptr) {
    std::ofstream(GetParam()) << actual;
    return;
  }
  EXPECT_EQ(actual, expected) << GetParam();
}

std::vector<std::string> scripts() {
  std::vector<std::string> paths;
  for (const auto& entry : std::filesystem::directory_iterator(SKEP_SOURCE_DIR "/tests/data/raft")) {
    paths.push_back(entry.path().string());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

INSTANTIATE_TEST_SUITE_P(Raft, Interaction, ::testing::ValuesIn(scripts()), [](const auto& instance) {
  return std::filesystem::path(instance.param).stem().string();
});

}  // namespace
}  // namespace skep::raft
