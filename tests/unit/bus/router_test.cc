#include "core/bus/router.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "skep/envelope.h"

namespace skep::bus {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr PeerId kPlugin = 1;
constexpr PeerId kClient = 2;

/// A router with the core, and helpers that speak for participants.
struct Bench {
  explicit Bench(RouterOptions options = {}) : router(with_admit(std::move(options))) {}

  static RouterOptions with_admit(RouterOptions options) {
    if (!options.admit) {
      options.admit = [](const PeerFacts&, const v1::Hello& hello) -> Result<v1::Welcome> {
        if (hello.token() == "bad") {
          return Error{Code::kPermissionDenied, "wrong token", "BAD_TOKEN"};
        }
        v1::Welcome welcome;
        welcome.set_node_id("n1");
        return welcome;
      };
    }
    return options;
  }
  void open(PeerId peer, CarrierKind carrier = CarrierKind::kIpc) {
    PeerFacts facts;
    facts.carrier = carrier;
    facts.principal.set_kind("local");
    facts.principal.set_uid(1000);
    router.on_opened(peer, facts, now, effects);
  }
  void hello(PeerId peer, const std::string& id, const std::vector<std::string>& drivers = {},
             const std::string& token = {}, std::uint64_t attempt = 0) {
    v1::Hello message;
    message.set_protocol(1);
    message.set_id(id);
    message.set_token(token);
    for (const auto& driver : drivers) {
      auto& name = *message.add_drivers();
      name.set_kind(driver.substr(0, driver.find('/')));
      name.set_name(driver.substr(driver.find('/') + 1));
    }
    v1::Header header;
    header.set_type(v1::HELLO);
    header.set_correlation(attempt);
    frame(peer, header, message.SerializeAsString());
  }
  void join(PeerId peer, const std::string& id, const std::vector<std::string>& drivers = {},
            CarrierKind carrier = CarrierKind::kIpc) {
    open(peer, carrier);
    hello(peer, id, drivers);
    effects.clear();
  }
  void frame(PeerId peer, v1::Header header, const std::string& body = {}) {
    router.on_frame(peer, std::move(header), body, now, effects);
  }
  void request(PeerId peer, std::uint64_t id, const std::string& target, const std::string& body = {},
               std::uint64_t deadline_ms = 0) {
    v1::Header header;
    header.set_type(v1::REQUEST);
    header.set_correlation(id);
    header.set_target(target);
    header.set_method("volume/1/get");
    header.set_deadline_ms(deadline_ms);
    header.mutable_principal()->set_kind("forged");
    header.set_source("forged");
    frame(peer, header, body);
  }
  void send(PeerId peer, v1::MessageType type, std::uint64_t id, bool to_caller = false,
            const std::string& body = {}) {
    v1::Header header;
    header.set_type(type);
    header.set_correlation(id);
    header.set_to_caller(to_caller);
    frame(peer, header, body);
  }
  /// The only thing sent to `peer` since the last look.
  Send only(PeerId peer) {
    auto all = sent(peer);
    EXPECT_EQ(all.size(), 1U);
    return all.empty() ? Send{} : all.front();
  }
  std::vector<Send> sent(PeerId peer) {
    std::vector<Send> result;
    Effects rest;
    for (auto& effect : effects) {
      auto* const send_effect = std::get_if<Send>(&effect);
      if (send_effect != nullptr && send_effect->to == peer) {
        result.push_back(std::move(*send_effect));
      } else {
        rest.push_back(std::move(effect));
      }
    }
    effects = std::move(rest);
    return result;
  }
  template <class E>
  std::vector<E> all() const {
    std::vector<E> result;
    for (const auto& effect : effects) {
      if (const auto* const e = std::get_if<E>(&effect)) {
        result.push_back(*e);
      }
    }
    return result;
  }

  TimePoint now{};
  Effects effects;
  Router router;
};

TEST(Router, WelcomesAParticipantAndRoutesByDriver) {
  Bench bench;
  bench.open(kPlugin);
  bench.hello(kPlugin, "local", {"volume/local"});
  const auto welcome = bench.only(kPlugin);
  EXPECT_EQ(welcome.header.type(), v1::WELCOME);
  v1::Welcome body;
  ASSERT_TRUE(body.ParseFromString(welcome.body));
  EXPECT_EQ(body.node_id(), "n1");
  EXPECT_EQ(body.heartbeat_ms(), 2000U);
  ASSERT_EQ(bench.all<Joined>().size(), 1U);
  EXPECT_THAT(bench.router.targets(), ElementsAre("core", "local", "volume/local"));

  bench.request(kCorePeer, 7, "volume/local", "hi");
  const auto request = bench.only(kPlugin);
  EXPECT_EQ(request.body, "hi");
  EXPECT_NE(request.header.correlation(), 7U);
  EXPECT_EQ(request.header.source(), "core");
  EXPECT_EQ(request.header.principal().kind(), "core");
  bench.send(kPlugin, v1::RESPONSE, request.header.correlation(), false, "ho");
  const auto answer = bench.only(kCorePeer);
  EXPECT_EQ(answer.header.correlation(), 7U);
  EXPECT_EQ(answer.header.source(), "local");
  EXPECT_EQ(answer.body, "ho");
  EXPECT_EQ(bench.router.open_calls(), 0U);
}

TEST(Router, NeverBelievesPrincipalAndSource) {
  Bench bench;
  bench.join(kClient, "", {}, CarrierKind::kControl);
  bench.request(kClient, 1, "core");
  const auto request = bench.only(kCorePeer);
  EXPECT_EQ(request.header.principal().kind(), "local");
  EXPECT_EQ(request.header.principal().uid(), 1000U);
  EXPECT_EQ(request.header.source(), "client-1");
}

TEST(Router, AnswersAtOnceForAnUnknownTarget) {
  Bench bench;
  bench.join(kPlugin, "local", {"volume/local"});
  bench.request(kCorePeer, 1, "volume/lcoal");
  const auto answer = bench.only(kCorePeer);
  EXPECT_EQ(answer.header.status().code(), static_cast<std::uint32_t>(Code::kNotFound));
  EXPECT_EQ(answer.header.status().message(),
            "nothing answers to 'volume/lcoal' on this node; did you mean 'volume/local'? "
            "(loaded: core local volume/local)");
}

TEST(Router, LetsTheOwnerExplainWhatIsMissing) {
  Bench bench({.explain_missing = [](const std::string& target) -> std::optional<Error> {
    return Error{Code::kUnavailable, target + " restarts"};
  }});
  bench.request(kCorePeer, 1, "volume/local");
  EXPECT_EQ(bench.only(kCorePeer).header.status().message(), "volume/local restarts");
}

TEST(Router, RefusesWhoMayNotJoin) {
  Bench bench;
  const auto refusal = [&](const std::string& id, const std::vector<std::string>& drivers,
                           const std::string& token = {}) {
    bench.effects.clear();
    bench.open(50);
    bench.hello(50, id, drivers, token);
    const auto reject = bench.sent(50);
    EXPECT_FALSE(bench.all<Close>().empty());
    return reject.empty() || reject[0].header.type() != v1::REJECT ? std::string("welcome")
                                                                   : reject[0].header.status().reason();
  };
  bench.join(kPlugin, "local", {"volume/local"});
  EXPECT_EQ(refusal("core", {}), "BAD_ID");
  EXPECT_EQ(refusal("client-9", {}), "BAD_ID");
  EXPECT_EQ(refusal("a b", {}), "BAD_ID");
  EXPECT_EQ(refusal("", {"volume/x"}), "BAD_ID");
  EXPECT_EQ(refusal("x", {"volume/a b"}), "BAD_DRIVER");
  EXPECT_EQ(refusal("other", {"volume/local"}), "DRIVER_TAKEN");
  EXPECT_EQ(refusal("x", {}, "bad"), "BAD_TOKEN");
  EXPECT_THAT(bench.router.targets(), ElementsAre("core", "local", "volume/local"));
}

TEST(Router, AsksForHelloFirst) {
  Bench bench;
  bench.open(kPlugin);
  bench.request(kPlugin, 1, "core");
  const auto reject = bench.only(kPlugin);
  EXPECT_EQ(reject.header.type(), v1::REJECT);
  EXPECT_EQ(reject.header.status().reason(), "HELLO_REQUIRED");
  EXPECT_TRUE(bench.sent(kCorePeer).empty());
}

TEST(Router, FailsOpenCallsWhenTheCalleeGoes) {
  Bench bench;
  bench.join(kPlugin, "local", {"volume/local"});
  bench.request(kCorePeer, 1, "volume/local");
  const auto request = bench.only(kPlugin);
  bench.router.on_closed(kPlugin, "killed", bench.effects);
  const auto answer = bench.only(kCorePeer);
  EXPECT_EQ(answer.header.status().code(), static_cast<std::uint32_t>(Code::kUnavailable));
  EXPECT_EQ(answer.header.status().message(), "'local' went away: killed");
  ASSERT_EQ(bench.all<Gone>().size(), 1U);
  bench.send(kPlugin, v1::RESPONSE, request.header.correlation());
  EXPECT_TRUE(bench.sent(kCorePeer).empty());
  EXPECT_THAT(bench.router.targets(), ElementsAre("core"));
}

TEST(Router, CancelsAtTheCalleeWhenTheCallerGoesAndFreesTheSlotWithItsAnswer) {
  Bench bench({.inflight_max = 1});
  bench.join(kPlugin, "local", {"volume/local"});
  bench.join(kClient, "", {}, CarrierKind::kControl);
  bench.request(kClient, 1, "volume/local");
  const auto key = bench.only(kPlugin).header.correlation();
  bench.router.on_closed(kClient, "gone", bench.effects);
  const auto cancel = bench.only(kPlugin);
  EXPECT_EQ(cancel.header.type(), v1::CANCEL);
  EXPECT_EQ(cancel.header.correlation(), key);
  bench.request(kCorePeer, 1, "volume/local");
  EXPECT_TRUE(bench.sent(kPlugin).empty()) << "the slot is still taken";
  bench.send(kPlugin, v1::RESPONSE, key);
  EXPECT_EQ(bench.only(kPlugin).header.type(), v1::REQUEST);
  EXPECT_TRUE(bench.sent(kClient).empty());
}

TEST(Router, QueuesThenRefusesWhenAParticipantIsBusy) {
  Bench bench({.inflight_max = 2, .waiting_max = 3});
  bench.join(kPlugin, "local", {"volume/local"});
  for (std::uint64_t i = 1; i <= 6; ++i) {
    bench.request(kCorePeer, i, "volume/local");
  }
  const auto started = bench.sent(kPlugin);
  ASSERT_EQ(started.size(), 2U);
  const auto refused = bench.only(kCorePeer);
  EXPECT_EQ(refused.header.correlation(), 6U);
  EXPECT_EQ(refused.header.status().message(), "'volume/local' is busy: 2 calls run and 3 wait");
  bench.send(kPlugin, v1::RESPONSE, started[0].header.correlation());
  EXPECT_EQ(bench.only(kPlugin).header.type(), v1::REQUEST) << "the first that waited";
  bench.send(kCorePeer, v1::CANCEL, 4);
  const auto answers = bench.sent(kCorePeer);
  ASSERT_EQ(answers.size(), 2U);
  EXPECT_EQ(answers[1].header.correlation(), 4U);
  EXPECT_EQ(answers[1].header.status().code(), static_cast<std::uint32_t>(Code::kCancelled));
}

TEST(Router, BoundsTheBytesOfRequests) {
  Bench bench({.bytes_max = 1000});
  bench.join(kPlugin, "local", {"volume/local"});
  bench.request(kCorePeer, 1, "volume/local", std::string(5000, 'x'));
  EXPECT_EQ(bench.sent(kPlugin).size(), 1U) << "one big message passes alone";
  bench.request(kCorePeer, 2, "volume/local", std::string(900, 'x'));
  bench.request(kCorePeer, 3, "volume/local", std::string(900, 'x'));
  EXPECT_TRUE(bench.sent(kPlugin).empty());
  EXPECT_EQ(bench.only(kCorePeer).header.correlation(), 3U);
}

TEST(Router, DropsACallWhoseDeadlinePassedWhileItWaited) {
  Bench bench({.inflight_max = 1});
  bench.join(kPlugin, "local", {"volume/local"});
  bench.request(kCorePeer, 1, "volume/local");
  bench.request(kCorePeer, 2, "volume/local", "", 1000);
  bench.request(kCorePeer, 3, "volume/local", "", 5000);
  const auto key = bench.only(kPlugin).header.correlation();
  bench.now += 2s;
  bench.send(kPlugin, v1::RESPONSE, key);
  const auto answers = bench.sent(kCorePeer);
  ASSERT_EQ(answers.size(), 2U);
  EXPECT_EQ(answers[1].header.status().code(), static_cast<std::uint32_t>(Code::kTimeout));
  EXPECT_EQ(bench.only(kPlugin).header.deadline_ms(), 3000U) << "what is left of it";
}

TEST(Router, CapsTheCallsOfOneCaller) {
  Bench bench({.calls_max = 2});
  bench.join(kClient, "", {}, CarrierKind::kControl);
  for (std::uint64_t i = 1; i <= 3; ++i) {
    bench.request(kClient, i, "core");
  }
  EXPECT_EQ(bench.sent(kCorePeer).size(), 2U);
  EXPECT_THAT(bench.only(kClient).header.status().message(), HasSubstr("2 calls of 'client-1'"));
}

TEST(Router, CarriesStreamFramesBothWaysAlsoOfACallThatWaits) {
  Bench bench({.inflight_max = 1});
  bench.join(kPlugin, "local", {"volume/local"});
  bench.request(kCorePeer, 1, "volume/local");
  const auto first = bench.only(kPlugin).header.correlation();
  bench.request(kCorePeer, 2, "volume/local");
  bench.send(kCorePeer, v1::STREAM, 2, false, "early");
  bench.send(kCorePeer, v1::END, 2);
  EXPECT_TRUE(bench.sent(kPlugin).empty());
  bench.send(kPlugin, v1::STREAM, first, true, "down");
  const auto down = bench.only(kCorePeer);
  EXPECT_EQ(down.header.correlation(), 1U);
  EXPECT_TRUE(down.header.to_caller());
  bench.send(kPlugin, v1::RESPONSE, first);
  const auto started = bench.sent(kPlugin);
  ASSERT_EQ(started.size(), 3U);
  EXPECT_EQ(started[1].header.type(), v1::STREAM);
  EXPECT_EQ(started[1].body, "early");
  EXPECT_EQ(started[1].header.correlation(), started[0].header.correlation());
  EXPECT_EQ(started[2].header.type(), v1::END);
}

TEST(Router, IgnoresFramesOfCallsThatBelongToOthers) {
  Bench bench;
  bench.join(kPlugin, "local", {"volume/local"});
  bench.join(3, "evil");
  bench.request(kCorePeer, 1, "volume/local");
  const auto key = bench.only(kPlugin).header.correlation();
  bench.send(3, v1::RESPONSE, key, false, "forged");
  bench.send(3, v1::STREAM, key, true, "forged");
  bench.send(3, v1::CANCEL, key);
  EXPECT_TRUE(bench.sent(kCorePeer).empty());
  EXPECT_TRUE(bench.sent(kPlugin).empty());
}

TEST(Router, SuspectsAndThenDropsTheSilent) {
  Bench bench;
  bench.join(kPlugin, "local", {"volume/local"});
  bench.join(kClient, "", {}, CarrierKind::kControl);
  const auto tick = [&] {
    bench.now += 2s;
    bench.effects.clear();
    bench.router.on_tick(bench.now, bench.effects);
  };
  tick();
  EXPECT_EQ(bench.only(kPlugin).header.type(), v1::PING);
  bench.send(kPlugin, v1::PONG, 0);
  tick();
  tick();
  EXPECT_TRUE(bench.all<Suspected>().empty());
  tick();
  EXPECT_EQ(bench.all<Suspected>().size(), 1U);
  tick();
  EXPECT_TRUE(bench.all<Suspected>().empty()) << "told once";
  EXPECT_TRUE(bench.all<Gone>().empty());
  tick();
  ASSERT_EQ(bench.all<Gone>().size(), 1U);
  EXPECT_EQ(bench.all<Gone>()[0].why, "no heartbeat for 10 s");
  EXPECT_EQ(bench.router.participants().size(), 2U) << "core and the control client, which stays";
}

TEST(Router, DoesNotBlameOthersWhenItsOwnLoopStoodStill) {
  Bench bench;
  bench.join(kPlugin, "local", {"volume/local"});
  bench.router.on_tick(bench.now, bench.effects);
  bench.now += 60s;
  bench.router.on_tick(bench.now, bench.effects);
  EXPECT_TRUE(bench.all<Gone>().empty());
  EXPECT_TRUE(bench.all<Suspected>().empty());
  for (int i = 0; i < 5; ++i) {
    bench.now += 2s;
    bench.router.on_tick(bench.now, bench.effects);
  }
  EXPECT_EQ(bench.all<Gone>().size(), 1U) << "but silence afterwards is silence";
}

TEST(Router, ClosesWhoNeverSaysHello) {
  Bench bench;
  bench.open(kClient, CarrierKind::kControl);
  for (int i = 0; i < 5; ++i) {
    bench.now += 2s;
    bench.router.on_tick(bench.now, bench.effects);
  }
  ASSERT_EQ(bench.all<Close>().size(), 1U);
  EXPECT_TRUE(bench.all<Gone>().empty());
}

TEST(Router, ReplacesAParticipantThatComesAgain) {
  Bench bench;
  bench.join(kPlugin, "local", {"volume/local"});
  bench.request(kCorePeer, 1, "volume/local");
  bench.effects.clear();
  bench.open(9);
  bench.hello(9, "local", {"volume/local"});
  EXPECT_EQ(bench.only(kCorePeer).header.status().code(), static_cast<std::uint32_t>(Code::kUnavailable));
  bench.hello(9, "local", {"volume/local"});
  EXPECT_EQ(bench.all<Gone>().size(), 2U) << "the same connection may start over";
  EXPECT_EQ(bench.all<Joined>().size(), 2U);
  bench.effects.clear();
  bench.request(kCorePeer, 2, "volume/local");
  EXPECT_EQ(bench.sent(9).size(), 1U);
}

TEST(Router, RepeatsTheWelcomeForARepeatedHello) {
  Bench bench;
  bench.open(kPlugin);
  bench.hello(kPlugin, "local", {"volume/local"}, "", 5);
  bench.request(kCorePeer, 1, "volume/local");
  bench.hello(kPlugin, "local", {"volume/local"}, "", 5);
  const auto sent = bench.sent(kPlugin);
  ASSERT_EQ(sent.size(), 3U);
  EXPECT_EQ(sent[2].header.type(), v1::WELCOME);
  EXPECT_EQ(sent[2].header.correlation(), 5U);
  EXPECT_EQ(sent[2].body, sent[0].body);
  EXPECT_TRUE(bench.all<Gone>().empty()) << "its WELCOME was late, its calls live on";
  EXPECT_EQ(bench.router.open_calls(), 1U);
  bench.hello(kPlugin, "local", {"volume/local"}, "", 6);
  EXPECT_EQ(bench.all<Gone>().size(), 1U);
  EXPECT_EQ(bench.router.open_calls(), 0U);
}

TEST(Router, CallsOfTheCoreToItself) {
  Bench bench;
  bench.request(kCorePeer, 1, "core");
  const auto request = bench.only(kCorePeer);
  bench.send(kCorePeer, v1::RESPONSE, request.header.correlation(), false, "done");
  const auto answer = bench.only(kCorePeer);
  EXPECT_EQ(answer.header.correlation(), 1U);
  EXPECT_EQ(answer.body, "done");
}

TEST(Router, ShowsEveryFrameOfACallToTheTap) {
  Bench bench;
  bench.join(kPlugin, "local", {"volume/local"});
  std::vector<std::string> seen;
  bench.router.set_tap([&](const TraceFrame& frame) {
    seen.push_back((frame.incoming ? "in " : "out ") + frame.participant + " " + frame.header.method());
  });
  bench.request(kCorePeer, 1, "volume/local");
  bench.send(kPlugin, v1::RESPONSE, bench.only(kPlugin).header.correlation());
  EXPECT_THAT(seen, ElementsAre("in core volume/1/get", "out local volume/1/get",
                                "in local volume/1/get", "out core volume/1/get"));
}

TEST(Router, BoundsTheNumberOfConnections) {
  Bench bench({.peers_max = 3});
  for (PeerId peer = 1; peer <= 4; ++peer) {
    bench.open(peer);
  }
  EXPECT_EQ(bench.only(4).header.status().reason(), "TOO_MANY_PEERS");
}

}  // namespace
}  // namespace skep::bus
