#include "rpc_pair.h"
#include "skep/volume.methods.h"

namespace skep::rpc {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
namespace methods = volume::v1::methods;

constexpr std::string_view kGet = methods::Get::kName;

volume::v1::GetRequest get_request(const std::string& name) {
  volume::v1::GetRequest request;
  request.set_name(name);
  return request;
}

struct Answer {
  std::optional<Result<volume::v1::GetResponse>> reply;
  auto callback() {
    return [this](Result<volume::v1::GetResponse> r) {
      EXPECT_FALSE(reply.has_value()) << "answered twice";
      reply = std::move(r);
    };
  }
  [[nodiscard]] const Error& error() const { return reply->error(); }
};

TEST(RpcCall, ReachesTheHandlerAndComesBack) {
  Pair pair;
  CallContext seen;
  pair.server_table.on<methods::Get>([&](const auto& request, const CallContext& context, auto reply) {
    seen = context;
    volume::v1::GetResponse response;
    response.mutable_volume()->set_name(request.name() + "!");
    reply(response);
  });
  Answer answer;
  call<methods::Get>(pair.client, "volume/local", get_request("db"),
                     {.deadline = 5s, .operation_id = "op1", .trace_id = "t1"}, answer.callback());
  EXPECT_FALSE(answer.reply.has_value()) << "never from within call()";
  pair.loop.run_ready();
  ASSERT_TRUE(answer.reply && *answer.reply);
  EXPECT_EQ((**answer.reply).volume().name(), "db!");
  EXPECT_EQ(seen.operation_id, "op1");
  EXPECT_EQ(seen.trace_id, "t1");
  EXPECT_EQ(seen.time_left, 5s);
  EXPECT_EQ(pair.client.stats().calls, 0U);
  EXPECT_EQ(pair.server.stats().served, 0U);
  EXPECT_EQ(pair.loop.pending(), 0U) << "the deadline's timer is gone";
}

TEST(RpcCall, CarriesTheErrorOfTheHandler) {
  Pair pair;
  pair.server_table.on_sync<methods::Get>([](const auto&) -> Result<volume::v1::GetResponse> {
    return Error{Code::kNotFound, "no volume 'db'", "NO_VOLUME"};
  });
  Answer answer;
  call<methods::Get>(pair.client, "volume/local", get_request("db"), {}, answer.callback());
  pair.loop.run_ready();
  EXPECT_EQ(answer.error().code, Code::kNotFound);
  EXPECT_EQ(answer.error().message, "no volume 'db'");
  EXPECT_EQ(answer.error().reason, "NO_VOLUME");
}

TEST(RpcCall, NamesTheNearestMethodWhenItIsUnknown) {
  Pair pair;
  pair.server_table.on_sync<methods::Get>([](const auto&) { return volume::v1::GetResponse(); });
  std::optional<Result<Body>> reply;
  pair.client.call("volume/local", "volume/1/gte", {}, {}, [&](Result<Body> r) { reply = r; });
  pair.loop.run_ready();
  EXPECT_EQ(reply->error().code, Code::kUnimplemented);
  EXPECT_EQ(reply->error().message,
            "'server' has no method 'volume/1/gte'; did you mean 'volume/1/get'?");
}

TEST(RpcCall, RefusesABodyThatIsNoSuchMessage) {
  Pair pair;
  pair.server_table.on_sync<methods::Get>([](const auto&) { return volume::v1::GetResponse(); });
  std::optional<Result<Body>> reply;
  pair.client.call("volume/local", kGet, "\xff\xff", {}, [&](Result<Body> r) { reply = r; });
  pair.loop.run_ready();
  EXPECT_EQ(reply->error().code, Code::kInvalidArgument);
  EXPECT_EQ(reply->error().reason, "MALFORMED_MESSAGE");
}

TEST(RpcCall, EndsAtItsDeadlineAndCountsTheLateAnswer) {
  Pair pair;
  std::vector<Reply<volume::v1::GetResponse>> held;
  pair.server_table.on<methods::Get>(
      [&](const auto&, const auto&, auto reply) { held.push_back(std::move(reply)); });
  Answer answer;
  call<methods::Get>(pair.client, "volume/local", get_request("db"), {.deadline = 1500ms},
                     answer.callback());
  pair.loop.advance(1499ms);
  EXPECT_FALSE(answer.reply.has_value());
  pair.loop.advance(1ms);
  EXPECT_EQ(answer.error().code, Code::kTimeout);
  EXPECT_EQ(answer.error().message, "no answer to 'volume/1/get' of 'volume/local' within 1500 ms");
  pair.loop.run_ready();
  EXPECT_EQ(pair.server.stats().served, 0U) << "CANCEL frees the serving side";
  EXPECT_EQ(pair.client.stats().late_responses, 1U) << "its answer to the CANCEL";
  held[0](volume::v1::GetResponse());
  pair.loop.run_ready();
  EXPECT_EQ(pair.server.stats().late_replies, 1U);
}

TEST(RpcCall, CancelledCallsAreNeverAnswered) {
  Pair pair;
  pair.server_table.on_sync<methods::Get>([](const auto&) { return volume::v1::GetResponse(); });
  Answer answer;
  const auto id =
      call<methods::Get>(pair.client, "volume/local", get_request("db"), {}, answer.callback());
  pair.client.cancel(id);
  pair.client.cancel(id);
  pair.loop.run_ready();
  EXPECT_FALSE(answer.reply.has_value());
  EXPECT_EQ(pair.loop.pending(), 0U);
}

TEST(RpcCall, AnswersWhenTheHandlerForgetsTo) {
  Pair pair;
  pair.server_table.on<methods::Get>([](const auto&, const auto&, auto) {});
  Answer answer;
  call<methods::Get>(pair.client, "volume/local", get_request("db"), {}, answer.callback());
  pair.loop.run_ready();
  EXPECT_EQ(answer.error().code, Code::kInternal);
  EXPECT_THAT(answer.error().message, HasSubstr("without an answer"));
}

TEST(RpcCall, BoundsWhatIsInFlightOnBothSides) {
  Pair pair({.calls_max = 3, .name = "client"}, {.served_max = 2, .name = "server"});
  std::vector<Reply<volume::v1::GetResponse>> held;
  pair.server_table.on<methods::Get>(
      [&](const auto&, const auto&, auto reply) { held.push_back(std::move(reply)); });
  std::vector<Answer> answers(4);
  for (auto& answer : answers) {
    call<methods::Get>(pair.client, "volume/local", get_request("db"), {.deadline = 0ms},
                       answer.callback());
  }
  pair.loop.run_ready();
  EXPECT_FALSE(answers[0].reply || answers[1].reply);
  EXPECT_THAT(answers[2].error().message, HasSubstr("'server' is answering 2 calls already"));
  EXPECT_THAT(answers[3].error().message, HasSubstr("3 calls of 'client' are unanswered"));
  EXPECT_EQ(answers[3].error().code, Code::kResourceExhausted);
  for (auto& reply : held) {
    reply(volume::v1::GetResponse());
  }
  pair.loop.run_ready();
  EXPECT_TRUE(answers[0].reply && answers[1].reply);
}

TEST(RpcCall, DisconnectFailsWhatIsInFlightAndForgetsWhatIsServed) {
  Pair pair;
  std::vector<Reply<volume::v1::GetResponse>> held;
  pair.server_table.on<methods::Get>(
      [&](const auto&, const auto&, auto reply) { held.push_back(std::move(reply)); });
  Answer first;
  call<methods::Get>(pair.client, "volume/local", get_request("db"), {}, first.callback());
  pair.loop.run_ready();
  pair.client.disconnect("the agent went away");
  pair.server.disconnect("the client went away");
  EXPECT_EQ(first.error().code, Code::kUnavailable);
  EXPECT_THAT(first.error().message, HasSubstr("the agent went away"));
  held[0](volume::v1::GetResponse());  // of the old connection: must not answer the next call
  Answer second;
  call<methods::Get>(pair.client, "volume/local", get_request("db"), {}, second.callback());
  pair.loop.run_ready();
  EXPECT_FALSE(second.reply.has_value());
  EXPECT_EQ(pair.server.stats().late_replies, 1U);
  held[1](volume::v1::GetResponse());
  pair.loop.run_ready();
  EXPECT_TRUE(second.reply && *second.reply);
}

TEST(RpcCall, FailsAtOnceWhenTheCarrierRefuses) {
  Pair pair;
  pair.cut = true;
  Answer answer;
  call<methods::Get>(pair.client, "volume/local", get_request("db"), {}, answer.callback());
  EXPECT_FALSE(answer.reply.has_value());
  pair.loop.run_ready();
  EXPECT_EQ(answer.error().code, Code::kUnavailable);
}

TEST(RpcCall, RefusesMessagesAboveTheLimit) {
  Pair pair;
  pair.server_table.on_sync<methods::Get>([](const auto&) {
    volume::v1::GetResponse response;
    response.mutable_volume()->set_name(std::string(kBodyMax, 'x'));
    return response;
  });
  Answer small;
  call<methods::Get>(pair.client, "volume/local", get_request("db"), {}, small.callback());
  Answer big;
  call<methods::Get>(pair.client, "volume/local", get_request(std::string(kBodyMax, 'x')), {},
                     big.callback());
  pair.loop.run_ready();
  EXPECT_EQ(small.error().code, Code::kResourceExhausted);
  EXPECT_EQ(big.error().code, Code::kInvalidArgument);
  EXPECT_EQ(big.error().reason, "MESSAGE_TOO_BIG");
}

TEST(RpcCall, RefusesNamesThatNoHeaderCanCarry) {
  Pair pair;
  std::vector<Error> errors;
  const auto note = [&](const Result<Body>& reply) { errors.push_back(reply.error()); };
  pair.client.call("volume/\xff", kGet, {}, {}, note);
  pair.client.call("", kGet, {}, {}, note);
  pair.client.call("core", "a b", {}, {}, note);
  pair.loop.run_ready();
  ASSERT_EQ(errors.size(), 3U);
  for (const auto& error : errors) {
    EXPECT_EQ(error.code, Code::kInvalidArgument);
  }
  EXPECT_EQ(pair.server.stats().malformed_frames, 0U);
}

TEST(RpcCall, HandlerMayDestroyTheEndpoint) {
  testing::ManualLoop loop;
  MethodTable table;
  auto endpoint = std::make_unique<RpcEndpoint>(
      loop, table, [](std::string, std::string) { return ok(); });
  table.on_sync<methods::Get>([&](const auto&) {
    endpoint.reset();
    return volume::v1::GetResponse();
  });
  bus::v1::Header header;
  header.set_protocol(kProtocol);
  header.set_type(bus::v1::REQUEST);
  header.set_correlation(1);
  header.set_target("volume/local");
  header.set_method(std::string(kGet));
  endpoint->on_frame(header.SerializeAsString(), "");
  EXPECT_EQ(endpoint, nullptr);
}

TEST(RpcCall, AnswersPingAndEvent) {
  testing::ManualLoop loop;
  MethodTable table;
  table.on_sync<methods::Get>([](const auto&) { return volume::v1::GetResponse(); });
  std::vector<bus::v1::Header> sent;
  RpcEndpoint endpoint(loop, table, [&](const std::string& header, const std::string&) {
    sent.emplace_back().ParseFromString(header);
    return ok();
  });
  bus::v1::Header header;
  header.set_protocol(kProtocol);
  header.set_type(bus::v1::PING);
  endpoint.on_frame(header.SerializeAsString(), "");
  header.set_type(bus::v1::EVENT);
  header.set_correlation(7);
  header.set_target("core");
  header.set_method(std::string(kGet));
  endpoint.on_frame(header.SerializeAsString(), "");
  ASSERT_EQ(sent.size(), 2U);
  EXPECT_EQ(sent[0].type(), bus::v1::PONG);
  EXPECT_EQ(sent[1].type(), bus::v1::ACK);
  EXPECT_EQ(sent[1].correlation(), 7U);
  endpoint.on_frame("\x08\x09", "");
  EXPECT_EQ(endpoint.stats().malformed_frames, 1U);
}

}  // namespace
}  // namespace skep::rpc
