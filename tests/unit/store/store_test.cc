#include "core/store/store.h"

#include <gtest/gtest.h>

#include "core/store/transaction.h"

namespace skep::store {
namespace {

using model::v1::Node;
using model::v1::Service;
using model::v1::Task;

Service make_service(const std::string& id, const std::string& name) {
  Service service;
  service.set_id(id);
  service.mutable_spec()->set_name(name);
  return service;
}

Task make_task(const std::string& id, const std::string& service, std::uint64_t slot,
               const std::string& node) {
  Task task;
  task.set_id(id);
  task.set_service_id(service);
  task.set_slot(slot);
  task.set_node_id(node);
  return task;
}

std::string encode(const Transaction& transaction, std::int64_t at = 1'000) {
  return *transaction.encode("n1:1", at);
}

template <class... Objects>
std::string puts(const Objects&... objects) {
  Transaction transaction;
  (transaction.put(objects), ...);
  return encode(transaction);
}

ApplyResult commit_to(Store& store, std::string_view bytes) {
  return *store.apply(store.applied_index() + 1, 1, bytes);
}

TEST(Store, FillsMetaFromTheLog) {
  Store store;
  EXPECT_EQ(commit_to(store, {}).outcome, Outcome::kEmpty);
  EXPECT_EQ(commit_to(store, puts(make_service("s1", "web"))).outcome, Outcome::kApplied);
  auto service = store.view().get<Service>("s1");
  ASSERT_NE(service, nullptr);
  EXPECT_EQ(service->meta().version(), 2U);
  EXPECT_EQ(service->meta().created_at(), 1'000);

  Service changed = *service;
  (*changed.mutable_spec()->mutable_labels())["a"] = "b";
  Transaction transaction;
  transaction.put(changed);
  EXPECT_EQ(commit_to(store, encode(transaction, 2'000)).outcome, Outcome::kApplied);
  service = store.view().get<Service>("s1");
  EXPECT_EQ(service->meta().version(), 3U);
  EXPECT_EQ(service->meta().created_at(), 1'000);
  EXPECT_EQ(service->meta().updated_at(), 2'000);
}

TEST(Store, RejectsAWholeSetWhenOneVersionDiffers) {
  Store store;
  commit_to(store, puts(make_service("s1", "web")));
  const auto before = store.state_hash();
  // s1 exists: a create of it is a conflict, and s2 must not appear either.
  const auto result = commit_to(store, puts(make_service("s1", "web"), make_service("s2", "db")));
  EXPECT_EQ(result.outcome, Outcome::kConflict);
  EXPECT_EQ(result.proposer, "n1:1");
  EXPECT_NE(result.message.find("service 's1' is at version 1, not 0"), std::string::npos)
      << result.message;
  EXPECT_EQ(store.view().get<Service>("s2"), nullptr);
  EXPECT_EQ(store.state_hash(), before);
  EXPECT_EQ(store.applied_index(), 2U);
}

TEST(Store, RemovingNeedsTheVersionRead) {
  Store store;
  commit_to(store, puts(make_service("s1", "web")));
  Transaction stale;
  Service other = *store.view().get<Service>("s1");
  other.mutable_meta()->set_version(7);
  stale.remove(other);
  EXPECT_EQ(commit_to(store, encode(stale)).outcome, Outcome::kConflict);
  Transaction fresh;
  fresh.remove(*store.view().get<Service>("s1"));
  EXPECT_EQ(commit_to(store, encode(fresh)).outcome, Outcome::kApplied);
  EXPECT_EQ(store.view().get<Service>("s1"), nullptr);
  EXPECT_EQ(store.view().service_by_name("web"), nullptr);
  EXPECT_EQ(store.state_hash(), StateHash{});
}

TEST(Store, RefusesSetsThatBreakTheRules) {
  Store store;
  EXPECT_EQ(commit_to(store, "no change set \xff\xff").outcome, Outcome::kMalformed);
  v1::ChangeSet set;
  set.add_changes();
  EXPECT_EQ(commit_to(store, set.SerializeAsString()).outcome, Outcome::kMalformed);
  set.mutable_changes(0)->set_table(3);
  set.mutable_changes(0)->set_id("x");
  *set.add_changes() = set.changes(0);
  EXPECT_EQ(commit_to(store, set.SerializeAsString()).outcome, Outcome::kMalformed)
      << "one id twice";
  set.mutable_changes()->RemoveLast();
  set.mutable_changes(0)->set_remove(true);
  EXPECT_EQ(commit_to(store, set.SerializeAsString()).outcome, Outcome::kMalformed)
      << "blind removal";
}

TEST(Store, RefusesAGapInTheLog) {
  Store store;
  const auto result = store.apply(2, 1, {});
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().reason, "LOG_GAP");
  EXPECT_EQ(store.applied_index(), 0U);
}

TEST(Store, KeepsObjectsOfTablesItDoesNotKnow) {
  Store store;
  v1::ChangeSet set;
  auto& change = *set.add_changes();
  change.set_table(77);
  change.set_id("future");
  change.set_object("bytes of a newer manager");
  std::vector<StoredRow> disk;
  store.set_on_rows([&](const AppliedRows& applied) {
    for (const auto& row : applied.rows) {
      disk.push_back({row.table, *row.id, *row.object});
    }
  });
  EXPECT_EQ(commit_to(store, set.SerializeAsString()).outcome, Outcome::kApplied);
  EXPECT_EQ(commit_to(store, set.SerializeAsString()).outcome, Outcome::kConflict);
  EXPECT_NE(store.state_hash(), StateHash{});
  ASSERT_EQ(disk.size(), 1U);
  EXPECT_EQ(disk[0].object.object(), "bytes of a newer manager");
}

TEST(Store, KeepsBytesItCannotDecodeOutOfTheView) {
  Store store;
  v1::ChangeSet set;
  auto& change = *set.add_changes();
  change.set_table(3);
  change.set_id("s1");
  change.set_object("\xff\xff\xff");
  EXPECT_EQ(commit_to(store, set.SerializeAsString()).outcome, Outcome::kApplied);
  EXPECT_EQ(store.view().get<Service>("s1"), nullptr);
  EXPECT_NE(store.state_hash(), StateHash{});
}

TEST(Store, IndexesFollowEveryChange) {
  Store store;
  Node node;
  node.set_id("n1");
  node.mutable_description()->set_hostname("alpha");
  commit_to(store, puts(node, make_task("t1", "s1", 1, ""), make_task("t2", "s1", 2, "n1"),
                        make_task("t3", "s2", 0, "n1")));
  const View& view = store.view();
  EXPECT_EQ(view.tasks_of_service("s1").size(), 2U);
  EXPECT_EQ(view.unassigned_tasks().size(), 1U);
  EXPECT_EQ(view.tasks_of_node("n1").size(), 2U);
  EXPECT_EQ(view.tasks_of_slot("s1.1").size(), 1U);
  EXPECT_EQ(view.tasks_of_slot("s2.n1").size(), 1U);
  EXPECT_EQ(view.nodes_by_hostname("alpha").size(), 1U);

  Task moved = *view.get<Task>("t1");
  moved.set_node_id("n1");
  Node renamed = *view.get<Node>("n1");
  renamed.mutable_description()->set_hostname("beta");
  commit_to(store, puts(moved, renamed));
  EXPECT_TRUE(view.unassigned_tasks().empty());
  EXPECT_EQ(view.tasks_of_node("n1").size(), 3U);
  EXPECT_TRUE(view.nodes_by_hostname("alpha").empty());
  EXPECT_EQ(view.tasks_of_node("n1").at("t1"), view.get<Task>("t1"));
  EXPECT_EQ(view.tasks_of_service("s1").at("t1"), view.get<Task>("t1"));
}

TEST(Store, WatchersSeeCommitsInOrderAndCanResume) {
  Store store;
  std::vector<std::uint64_t> seen;
  const auto id = store.subscribe([&](const Commit& commit) {
    seen.push_back(commit.index);
    EXPECT_EQ(store.view().applied_index(), commit.index);
  });
  commit_to(store, puts(make_service("s1", "a")));
  commit_to(store, {});
  commit_to(store, puts(make_service("s2", "b")));
  EXPECT_EQ(seen, (std::vector<std::uint64_t>{1, 3}));
  store.unsubscribe(id);

  std::vector<std::string> resumed;
  ASSERT_TRUE(store.subscribe_after(1, [&](const Commit& commit) {
    for (const auto& event : commit.events) {
      resumed.push_back(event.after_as<Service>()->spec().name());
    }
  }));
  commit_to(store, puts(make_service("s3", "c")));
  EXPECT_EQ(resumed, (std::vector<std::string>{"b", "c"}));
  EXPECT_FALSE(store.subscribe_after(99, [](const Commit&) {}));
}

TEST(Store, ResumingBehindTheHistoryAsksForASnapshot) {
  Store store;
  for (std::size_t i = 0; i < Store::kHistoryEventsMax + 10; ++i) {
    const std::string id = "s" + std::to_string(i);
    commit_to(store, puts(make_service(id, id)));
  }
  const auto result = store.subscribe_after(3, [](const Commit&) {});
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().reason, "SNAPSHOT_AGAIN");
  std::size_t events = 0;
  ASSERT_TRUE(store.subscribe_after(store.applied_index() - 5,
                                    [&](const Commit& commit) { events += commit.events.size(); }));
  EXPECT_EQ(events, 5U);
}

TEST(Store, AWatcherMayEndItself) {
  Store store;
  SubscriptionId id = 0;
  int calls = 0;
  id = store.subscribe([&](const Commit&) {
    ++calls;
    store.unsubscribe(id);
  });
  commit_to(store, puts(make_service("s1", "a")));
  commit_to(store, puts(make_service("s2", "b")));
  EXPECT_EQ(calls, 1);
}

TEST(Transaction, KeepsTheFirstVersionOfAnObjectPutTwice) {
  Store store;
  commit_to(store, puts(make_service("s1", "a")));
  Service service = *store.view().get<Service>("s1");
  Transaction transaction;
  service.mutable_spec()->set_name("b");
  transaction.put(service);
  service.mutable_spec()->set_name("c");
  transaction.put(service);
  EXPECT_EQ(transaction.size(), 1U);
  EXPECT_EQ(commit_to(store, encode(transaction)).outcome, Outcome::kApplied);
  EXPECT_NE(store.view().service_by_name("c"), nullptr);
}

TEST(Transaction, ForgetsWhatItMadeAndRemoved) {
  Transaction transaction;
  transaction.put(make_service("s1", "a"));
  transaction.remove(make_service("s1", "a"));
  EXPECT_TRUE(transaction.empty());
  EXPECT_EQ(transaction.bytes(), 0U);
  EXPECT_FALSE(transaction.encode("p", 0));
}

TEST(Batch, SplitsAtTheLimitsOfAChangeSet) {
  Batch batch;
  for (int i = 0; i < 450; ++i) {
    batch.put(make_service("s" + std::to_string(i), "x"));
  }
  auto sets = batch.take();
  ASSERT_EQ(sets.size(), 3U);
  EXPECT_EQ(sets[0].size(), kChangesMax);
  EXPECT_EQ(sets[2].size(), 50U);
  EXPECT_TRUE(batch.empty());

  for (int i = 0; i < 4; ++i) {
    auto service = make_service("s" + std::to_string(i), "x");
    (*service.mutable_spec()->mutable_labels())["big"] = std::string(600'000, 'x');
    batch.put(service);
  }
  sets = batch.take();
  ASSERT_EQ(sets.size(), 2U);
  for (const auto& set : sets) {
    const auto encoded = set.encode("proposer", 1);
    ASSERT_TRUE(encoded);
    EXPECT_LE(encoded->size(), kChangeSetBytesMax);
  }
}

TEST(Transaction, RefusesToEncodeAnObjectThatIsTooLarge) {
  Transaction transaction;
  auto service = make_service("s", "x");
  (*service.mutable_spec()->mutable_labels())["big"] = std::string(2'000'000, 'x');
  transaction.put(service);
  const auto encoded = transaction.encode("p", 1);
  ASSERT_FALSE(encoded);
  EXPECT_EQ(encoded.error().reason, "CHANGE_SET_TOO_LARGE");
}

}  // namespace
}  // namespace skep::store
