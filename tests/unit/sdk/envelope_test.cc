#include "skep/envelope.h"

#include <gtest/gtest.h>

namespace skep::rpc {
namespace {

bus::v1::Header request() {
  bus::v1::Header header;
  header.set_protocol(kProtocol);
  header.set_type(bus::v1::REQUEST);
  header.set_correlation(1);
  header.set_target("core");
  header.set_method("volume/1/get");
  return header;
}

std::string refusal(const bus::v1::Header& header) {
  auto parsed = parse_header(header.SerializeAsString());
  return parsed ? "" : parsed.error().message;
}

TEST(Envelope, AcceptsARequest) {
  EXPECT_EQ(refusal(request()), "");
}

TEST(Envelope, SaysWhatIsWrong) {
  auto header = request();
  header.set_protocol(2);
  EXPECT_EQ(refusal(header), "malformed header: protocol 2, this build speaks 1");
  header = request();
  header.clear_correlation();
  EXPECT_EQ(refusal(header), "malformed header: correlation is missing");
  header = request();
  header.clear_method();
  EXPECT_EQ(refusal(header), "malformed header: a request needs a target and a method");
  header = request();
  header.set_target("vol\nume");
  EXPECT_EQ(refusal(header), "malformed header: target and method are printable ASCII without spaces");
  header = request();
  header.set_type(static_cast<bus::v1::MessageType>(99));
  EXPECT_EQ(refusal(header), "malformed header: unknown message type 99");
  header = request();
  header.set_trace_id(std::string(kHeaderMax, 'x'));
  EXPECT_NE(refusal(header), "");
  header = request();
  header.set_type(bus::v1::CREDIT);
  header.set_credit_bytes(1ULL << 40U);
  EXPECT_EQ(refusal(header), "malformed header: credit of more than one window");
}

TEST(Envelope, CarriesErrorsAndSurvivesUnknownCodes) {
  bus::v1::Header header;
  set_status(header, Error{Code::kConflict, "changed", "VERSION"});
  const auto error = status_error(header.status());
  EXPECT_EQ(error.code, Code::kConflict);
  EXPECT_EQ(error.message, "changed");
  EXPECT_EQ(error.reason, "VERSION");
  header.mutable_status()->set_code(200);
  EXPECT_EQ(status_error(header.status()).code, Code::kInternal);
}

TEST(Envelope, ErrorTextOfAnyBytesStaysReadable) {
  auto header = request();
  set_status(header, Error{Code::kInternal, "file '\xff\xfe' \xc3\xa4 \xe2\x82\xac \xed\xa0\x80"});
  const auto parsed = parse_header(header.SerializeAsString());
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->status().message(), "file '\?\?' \xc3\xa4 \xe2\x82\xac \?\?\?");
  set_status(header, Error{Code::kInternal, std::string(8191, 'x') + "\xc3\xa4"});
  EXPECT_TRUE(parse_header(header.SerializeAsString())) << "a cut character is no character";
}

TEST(NearestName, FindsTypingMistakesOnly) {
  const std::vector<std::string> names = {"volume/local", "volume/nfs", "runtime/oci"};
  EXPECT_EQ(nearest_name("volume/lcoal", names), "volume/local");
  EXPECT_EQ(nearest_name("volume/nsf", names), "volume/nfs");
  EXPECT_EQ(nearest_name("gateway/docker", names), "");
  EXPECT_EQ(nearest_name("x", {}), "");
}

}  // namespace
}  // namespace skep::rpc
