// Lists that are larger than a page.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "api_rig.h"
#include "core/control/api/page.h"
#include "skep/envelope.h"
#include "skep/pages.h"

namespace skep::control {
namespace {

using ::testing::ElementsAre;
using model::v1::Node;

template <class T>
store::Ptr<T> object(const std::string& id, std::size_t bytes) {
  T made;
  made.set_id(id);
  (*made.mutable_spec()->mutable_labels())["filler"] = std::string(bytes, 'x');
  return std::make_shared<const T>(std::move(made));
}

struct Page {
  std::vector<std::string> ids;
  std::string next;
  void set_next(const std::string& id) { next = id; }
};

template <class T>
Page page_of(const store::ObjectMap<T>& objects, const std::string& after, const std::string& but = "") {
  Page page;
  fill_page(
      objects, after, page, [&](const T& one) { return but.empty() || !one.id().starts_with(but); },
      [&](const T& one) { page.ids.push_back(one.id()); });
  return page;
}

TEST(FillPage, EndsBeforeTheRowThatIsTooMuch) {
  store::ObjectMap<Service> services;
  for (const std::string id : {"a", "b", "c", "d", "e"}) {
    services[id] = object<Service>(id, kPageBytes * 2 / 5);
  }
  Page page = page_of(services, "");
  EXPECT_THAT(page.ids, ElementsAre("a", "b"));
  EXPECT_EQ(page.next, "b");
  page = page_of(services, page.next);
  EXPECT_THAT(page.ids, ElementsAre("c", "d"));
  page = page_of(services, page.next);
  EXPECT_THAT(page.ids, ElementsAre("e"));
  EXPECT_EQ(page.next, "");
}

TEST(FillPage, IsNotCutForWhatTheFilterLeavesOut) {
  store::ObjectMap<Service> services;
  for (const std::string id : {"a1", "b1", "b2", "b3", "c1"}) {
    services[id] = object<Service>(id, kPageBytes * 2 / 5);
  }
  const Page page = page_of(services, "", "b");
  EXPECT_THAT(page.ids, ElementsAre("a1", "c1"));
  EXPECT_EQ(page.next, "") << "nothing more matches";
}

TEST(FillPage, ARowAboveTheLimitGoesAlone) {
  store::ObjectMap<Service> services;
  services["a"] = object<Service>("a", 10);
  services["b"] = object<Service>("b", kPageBytes + 1);
  services["c"] = object<Service>("c", 10);
  Page page = page_of(services, "");
  EXPECT_THAT(page.ids, ElementsAre("a"));
  page = page_of(services, page.next);
  EXPECT_THAT(page.ids, ElementsAre("b"));
  page = page_of(services, page.next);
  EXPECT_THAT(page.ids, ElementsAre("c"));
  EXPECT_EQ(page.next, "");
}

TEST(FillPage, GoesOnBehindAnIdThatNoObjectHas) {
  store::ObjectMap<Service> services;
  for (const std::string id : {"a", "c"}) {
    services[id] = object<Service>(id, 10);
  }
  EXPECT_THAT(page_of(services, "b").ids, ElementsAre("c"));
  EXPECT_THAT(page_of(services, "z").ids, ElementsAre());
}

/// The answer as clients see it.
template <class M>
typename M::Response all(Api& api, const typename M::Request& request) {
  Result<typename M::Response> answer = Error{Code::kInternal, "no answer"};
  bool done = false;
  rpc::call_pages<M>(*api.user, "core", request, {}, [&](Result<typename M::Response> reply) {
    answer = std::move(reply);
    done = true;
  });
  EXPECT_TRUE(api.world.loop.run_until([&] { return done; }, 60s));
  EXPECT_TRUE(answer) << answer.error().message;
  return answer ? *std::move(answer) : typename M::Response();
}

/// More than 16 MiB of services.
struct Many : Api {
  static constexpr int kObjects = 160;
  Many() {
    const std::string filler(120'000, 'x');
    for (int i = 0; i < kObjects; ++i) {
      auto request = web("s" + std::to_string(i));
      request.mutable_spec()->mutable_replicated()->set_replicas(0);
      (*request.mutable_spec()->mutable_labels())["filler"] = filler;
      (*request.mutable_spec()->mutable_labels())["odd"] = i % 2 == 1 ? "yes" : "no";
      services.insert(create(request).id());
    }
  }
  std::set<std::string> services;  ///< ids
};

TEST(ListPages, ServicesComeWholeInPages) {
  Many swarm;
  std::set<std::string> seen;
  std::size_t bytes = 0;
  int pages = 0;
  v1::ListServicesRequest request;
  do {
    const auto page = swarm.ask<methods::ListServices>(request);
    ASSERT_TRUE(page) << page.error().message;
    ASSERT_GT(page->services_size(), 0);
    EXPECT_LE(page->ByteSizeLong(), kPageBytes);
    EXPECT_EQ(page->counts().size(), static_cast<std::size_t>(page->services_size())) << "those of the page";
    for (const auto& service : page->services()) {
      EXPECT_GT(service.id(), request.after());
      EXPECT_TRUE(seen.insert(service.id()).second) << "given twice";
      EXPECT_TRUE(page->counts().contains(service.id()));
    }
    bytes += page->ByteSizeLong();
    ++pages;
    request.set_after(page->next());
  } while (!request.after().empty());
  EXPECT_EQ(seen, swarm.services);
  EXPECT_GT(bytes, rpc::kBodyMax) << "else this shows nothing";
  EXPECT_GT(pages, 4);
}

TEST(ListPages, WhatWasThereAllTheTimeIsGivenOnceWhateverComesAndGoes) {
  Many swarm;
  std::set<std::string> stable = swarm.services;
  std::multiset<std::string> seen;
  v1::ListServicesRequest request;
  int made = 0;
  do {
    const auto page = swarm.ask<methods::ListServices>(request);
    ASSERT_TRUE(page) << page.error().message;
    for (const auto& service : page->services()) {
      seen.insert(service.id());
    }
    request.set_after(page->next());
    if (!page->next().empty()) {  // the very one behind which it goes on, and one that is still to come
      for (const std::string& id : std::set<std::string>{page->next(), *stable.rbegin()}) {
        v1::RemoveServiceRequest remove;
        remove.set_ref(id);
        ASSERT_TRUE(swarm.ask<methods::RemoveService>(remove));
        stable.erase(id);
      }
      swarm.create(web("late" + std::to_string(++made)));
    }
  } while (!request.after().empty());
  EXPECT_GT(made, 3);
  for (const auto& id : stable) {
    EXPECT_EQ(seen.count(id), 1U) << id;
  }
}

TEST(ListPages, FiltersApplyBeforeThePageIsCut) {
  Many swarm;
  v1::ListServicesRequest request;
  auto& filter = *request.add_filters();
  filter.set_key("label");
  filter.set_value("odd=yes");
  EXPECT_EQ(all<methods::ListServices>(swarm, request).services_size(), Many::kObjects / 2);
  filter.set_key("name");
  filter.set_value("s7");  // s7, s70 ... s79
  const auto page = swarm.ask<methods::ListServices>(request);
  ASSERT_TRUE(page);
  EXPECT_EQ(page->services_size(), 11);
  EXPECT_EQ(page->next(), "") << "they fit";
}

TEST(ListPages, TasksAndNodesComeWholeToo) {
  Api api;
  const Service first = api.create(web("first"));
  const Service second = api.create(web("second"));
  const std::string filler(200'000, 'x');
  constexpr int kEach = 50;
  for (int i = 0; i < kEach; ++i) {
    for (const Service* service : {&first, &second}) {
      auto task = api.task("t" + std::to_string(i) + service->spec().name(), *service, static_cast<std::uint64_t>(i) + 10,
                           model::v1::TASK_STATE_COMPLETE);
      (*task.mutable_service_labels())["filler"] = filler;
      task.set_desired_state(model::v1::TASK_STATE_SHUTDOWN);
      api.put(std::move(task));
    }
    Node node;
    node.set_id("m" + std::to_string(i));
    (*node.mutable_spec()->mutable_labels())["filler"] = filler;
    api.put(std::move(node));
  }
  const auto list = [&](std::initializer_list<std::string> services) {
    v1::ListTasksRequest request;
    for (const auto& name : services) {
      auto& filter = *request.add_filters();
      filter.set_key("service");
      filter.set_value(name);
    }
    const auto page = api.ask<methods::ListTasks>(request);
    EXPECT_TRUE(page && !page->next().empty());
    std::set<std::string> found;
    std::string last;
    const auto answer = all<methods::ListTasks>(api, request);
    for (const auto& task : answer.tasks()) {
      EXPECT_LT(last, task.id()) << "in order of id";
      last = task.id();
      found.insert(task.id());
    }
    return found.size();
  };
  EXPECT_EQ(list({"first"}), kEach);
  EXPECT_EQ(list({"first", "second"}), 2 * kEach);
  EXPECT_EQ(list({}), 2 * kEach);
  const auto nodes = all<methods::ListNodes>(api, {});
  EXPECT_EQ(nodes.nodes_size(), kEach + 1);
  EXPECT_EQ(nodes.self(), "n1");
}

}  // namespace
}  // namespace skep::control
