#include "skep/pages.h"

#include <gmock/gmock.h>

#include "rpc_pair.h"
#include "skep/control.methods.h"

namespace skep::rpc {
namespace {

using namespace std::chrono_literals;
namespace v1 = control::v1;
using Services = v1::methods::ListServices;
using Nodes = v1::methods::ListNodes;

/// Answers with the pages in turn, and remembers what it was asked.
struct Lists : Pair {
  Lists() {
    server_table.on<Services>([this](const auto& request, const CallContext& /*context*/, auto reply) {
      asked.push_back(request);
      if (asked.size() > pages.size()) {
        return reply(Error{Code::kUnavailable, "no more"});
      }
      reply(pages[asked.size() - 1]);
    });
  }
  void page(std::initializer_list<std::string> ids, const std::string& next) {
    auto& made = pages.emplace_back();
    for (const auto& id : ids) {
      made.add_services()->set_id(id);
      (*made.mutable_counts())[id].set_desired(id.size());
    }
    made.set_next(next);
  }
  Result<v1::ListServicesResponse> ask(const std::function<bool()>& go_on = {}) {
    v1::ListServicesRequest request;
    request.add_filters()->set_key("name");
    std::optional<Result<v1::ListServicesResponse>> answer;
    call_pages<Services>(
        client, "core", request, {.deadline = 5s},
        [&](Result<v1::ListServicesResponse> all) {
          EXPECT_FALSE(answer.has_value()) << "answered twice";
          answer = std::move(all);
        },
        go_on);
    EXPECT_FALSE(answer.has_value()) << "never from within the call";
    loop.run_until([&] { return answer.has_value(); }, 60s);
    return answer.has_value() ? std::move(*answer) : Error{Code::kInternal, "no answer"};
  }
  static std::vector<std::string> ids(const v1::ListServicesResponse& answer) {
    std::vector<std::string> found;
    for (const auto& service : answer.services()) {
      found.push_back(service.id());
    }
    return found;
  }

  std::vector<v1::ListServicesResponse> pages;
  std::vector<v1::ListServicesRequest> asked;
};

TEST(Pages, AreOneAnswer) {
  Lists lists;
  lists.page({"a", "bb"}, "bb");
  lists.page({"cc"}, "cc");
  lists.page({"d"}, "");
  const auto all = lists.ask();
  ASSERT_TRUE(all) << all.error().message;
  EXPECT_EQ(Lists::ids(*all), (std::vector<std::string>{"a", "bb", "cc", "d"}));
  EXPECT_EQ(all->counts().size(), 4U);
  EXPECT_EQ(all->counts().at("cc").desired(), 2U);
  EXPECT_EQ(all->next(), "");
  ASSERT_EQ(lists.asked.size(), 3U);
  EXPECT_EQ(lists.asked[0].after(), "");
  EXPECT_EQ(lists.asked[1].after(), "bb");
  EXPECT_EQ(lists.asked[2].after(), "cc");
  for (const auto& request : lists.asked) {
    EXPECT_EQ(request.filters_size(), 1) << "each page is filtered";
  }
}

TEST(Pages, AManagerWithoutPagesIsAskedOnce) {
  Lists lists;
  lists.page({"a"}, "");
  EXPECT_EQ(Lists::ids(*lists.ask()), (std::vector<std::string>{"a"}));
  EXPECT_EQ(lists.asked.size(), 1U);
}

TEST(Pages, HalfAListIsNoAnswer) {
  Lists lists;
  lists.page({"a"}, "a");
  const auto all = lists.ask();
  ASSERT_FALSE(all);
  EXPECT_EQ(all.error().code, Code::kUnavailable);
}

TEST(Pages, WhatGoesInCirclesEnds) {
  Lists lists;
  lists.page({"a", "b"}, "b");
  lists.page({"a", "b"}, "b");
  const auto all = lists.ask();
  ASSERT_FALSE(all);
  EXPECT_EQ(all.error().reason, "BAD_PAGE");
  EXPECT_EQ(lists.asked.size(), 2U);
}

TEST(Pages, WhoHasEnoughGetsWhatCame) {
  Lists lists;
  lists.page({"a"}, "a");
  lists.page({"b"}, "b");
  lists.page({"c"}, "");
  const auto some = lists.ask([&] { return lists.asked.size() < 2; });
  ASSERT_TRUE(some);
  EXPECT_EQ(Lists::ids(*some), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(some->next(), "b") << "it is told that this is not all";
}

TEST(Pages, EachPageHasTheDeadline) {
  Lists lists;
  lists.page({"a"}, "a");
  lists.page({"b"}, "");
  lists.lose = true;
  const TimePoint start = lists.loop.now();
  const auto all = lists.ask();
  ASSERT_FALSE(all);
  EXPECT_EQ(all.error().code, Code::kTimeout);
  EXPECT_EQ(lists.loop.now() - start, 5s);
}

TEST(Pages, SingleFieldsAreThoseOfTheLastPage) {
  Lists lists;
  int asked = 0;
  lists.server_table.on_sync<Nodes>([&](const auto& request) -> Result<v1::ListNodesResponse> {
    v1::ListNodesResponse page;
    page.add_nodes()->set_id(++asked == 1 ? "n1" : "n2");
    page.set_self("n" + std::to_string(asked));
    page.set_next(request.after().empty() ? "n1" : "");
    return page;
  });
  std::optional<Result<v1::ListNodesResponse>> answer;
  call_pages<Nodes>(lists.client, "core", {}, {}, [&](Result<v1::ListNodesResponse> all) { answer = std::move(all); });
  lists.loop.run_until([&] { return answer.has_value(); }, 60s);
  ASSERT_TRUE(answer.has_value() && *answer);
  EXPECT_EQ((*answer)->nodes_size(), 2);
  EXPECT_EQ((*answer)->self(), "n2");
}

}  // namespace
}  // namespace skep::rpc
