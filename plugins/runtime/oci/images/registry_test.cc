// Everything about registries that needs none: credentials, endpoints, skopeo's last words.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "plugins/runtime/oci/images/endpoints.h"
#include "plugins/runtime/oci/images/registry_auth.h"
#include "plugins/runtime/oci/images/skopeo_errors.h"

namespace skep::oci {
namespace {

using ::testing::HasSubstr;

TEST(Base64, RoundTripsAndTakesBothAlphabets) {
  for (const std::string& data : {std::string(), std::string("a"), std::string("ab"),
                                  std::string("abc"), std::string("\xff\xfe\0\x01", 4)}) {
    const auto back = base64_decode(base64_encode(data));
    ASSERT_TRUE(back);
    EXPECT_EQ(*back, data);
  }
  EXPECT_EQ(*base64_decode("_-8"), *base64_decode("/+8="));
  EXPECT_FALSE(base64_decode("a"));
  EXPECT_FALSE(base64_decode("ab c"));
}

TEST(RegistryAuth, ReadsWhatClientsSend) {
  const auto plain = parse_registry_auth(
      base64_encode(R"({"username":"me","password":"p:w","serveraddress":"reg.example.com"})"));
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->username, "me");
  EXPECT_EQ(plain->password, "p:w");
  const auto pair =
      parse_registry_auth(base64_encode("{\"auth\":\"" + base64_encode("me:pw") + "\"}"));
  ASSERT_TRUE(pair);
  EXPECT_EQ(pair->username, "me");
  EXPECT_EQ(pair->password, "pw");
  for (const char* const nobody : {"", "e30=", "e30"}) {
    const auto auth = parse_registry_auth(nobody);
    ASSERT_TRUE(auth) << nobody;
    EXPECT_TRUE(auth->anonymous());
  }
}

TEST(RegistryAuth, NeverRepeatsWhatItCannotRead) {
  const std::string secret = "hunter2";
  for (const std::string& text :
       {secret, base64_encode(secret), base64_encode("[\"" + secret + "\"]"),
        base64_encode("{\"username\":[\"" + secret + "\"]}"),
        base64_encode("{\"auth\":\"" + secret + "\"}"),
        base64_encode("{\"username\":\"a:" + secret + "\"}"), std::string(70'000, 'x')}) {
    const auto auth = parse_registry_auth(text);
    ASSERT_FALSE(auth);
    EXPECT_EQ(auth.error().code, Code::kInvalidArgument);
    EXPECT_THAT(auth.error().message, ::testing::Not(HasSubstr(secret)));
    EXPECT_THAT(auth.error().message, HasSubstr("agentctl login"));
  }
}

TEST(RegistryAuth, AuthFileNamesOneRegistry) {
  EXPECT_EQ(auth_file("h:1", {"me", "pw", ""}),
            "{\"auths\":{\"h:1\":{\"auth\":\"" + base64_encode("me:pw") + "\"}}}");
  EXPECT_EQ(auth_file("h:1", {}), R"({"auths":{}})");
}

TEST(Endpoints, LoopbackNeedsNoTlsUnlessItHasCertificates) {
  const auto nothing = [](const std::string&) { return false; };
  const auto everything = [](const std::string&) { return true; };
  EndpointRules rules;
  rules.certs_directory = "/certs";
  for (const char* const host :
       {"127.0.0.1:5000", "127.8.9.1", "localhost", "localhost:1", "[::1]:5000"}) {
    EXPECT_TRUE(is_loopback(host)) << host;
    const auto reference = parse_reference(std::string(host) + "/web");
    ASSERT_TRUE(reference) << host;
    EXPECT_EQ(endpoints_for(*reference, rules, nothing)[0].tls, Tls::kOptional) << host;
    const Endpoint trusted = endpoints_for(*reference, rules, everything)[0];
    EXPECT_EQ(trusted.tls, Tls::kVerify) << host;
    EXPECT_EQ(trusted.certs_directory, "/certs/" + std::string(host));
  }
  for (const char* const host :
       {"10.0.0.1:5000", "reg.example.com", "127.example.com", "localhost.evil.com", "128.0.0.1"}) {
    EXPECT_FALSE(is_loopback(host)) << host;
  }
}

TEST(Endpoints, InsecureRulesAreHostPortOrNetwork) {
  const auto nothing = [](const std::string&) { return false; };
  EndpointRules rules;
  rules.insecure_registries = {"plain.example.com", "port.example.com:5000", "10.1.0.0/16",
                               "bad/99"};
  const auto tls = [&](const std::string& host) {
    return endpoints_for(*parse_reference(host + "/web"), rules, nothing)[0].tls;
  };
  EXPECT_EQ(tls("plain.example.com"), Tls::kOptional);
  EXPECT_EQ(tls("plain.example.com:5000"), Tls::kOptional);
  EXPECT_EQ(tls("port.example.com:5000"), Tls::kOptional);
  EXPECT_EQ(tls("port.example.com"), Tls::kVerify);
  EXPECT_EQ(tls("10.1.2.3:5000"), Tls::kOptional);
  EXPECT_EQ(tls("10.2.2.3:5000"), Tls::kVerify);
  EXPECT_EQ(tls("other.example.com"), Tls::kVerify);
}

TEST(Endpoints, MirrorsComeFirstAndNeverSeeCredentials) {
  EndpointRules rules;
  rules.mirrors["docker.io"] = {"127.0.0.1:5001", "m.example.com/cache/"};
  const auto out =
      endpoints_for(*parse_reference("web:1"), rules, [](const std::string&) { return false; });
  ASSERT_EQ(out.size(), 3U);
  EXPECT_EQ(out[0].repository, "127.0.0.1:5001/library/web");
  EXPECT_EQ(out[1].repository, "m.example.com/cache/library/web");
  EXPECT_EQ(out[1].host, "m.example.com");
  EXPECT_EQ(out[2].repository, "docker.io/library/web");
  EXPECT_FALSE(out[0].may_see_credentials);
  EXPECT_FALSE(out[1].may_see_credentials);
  EXPECT_TRUE(out[2].may_see_credentials);
}

TEST(SkopeoErrors, SayWhatAPersonCanDo) {
  struct Row {
    const char* text;
    Code code;
    const char* says;
  };
  // As skopeo 1.9 printed them.
  const std::vector<Row> table{
      {"Error parsing image name \\\"docker://127.0.0.1:1/web:9\\\": reading manifest 9 in "
       "127.0.0.1:1/web: manifest unknown: manifest unknown",
       Code::kNotFound, "web:9"},
      {"pinging container registry h: Get \\\"https://h/v2/\\\": http: server gave HTTP response "
       "to HTTPS client",
       Code::kFailedPrecondition, "insecure_registries"},
      {"pinging container registry h: Get \\\"https://h/v2/\\\": x509: certificate signed by "
       "unknown authority",
       Code::kFailedPrecondition, "/certs/h/ca.crt"},
      {"dial tcp: lookup h on 10.0.0.1:53: no such host", Code::kUnavailable, "does not answer"},
      {"dial tcp 127.0.0.1:9: connect: connection refused", Code::kUnavailable, "does not answer"},
      {"unable to retrieve auth token: invalid username/password: unauthorized",
       Code::kUnauthenticated, "agentctl login h"},
      {"reading manifest 1 in h/web: unauthorized: authentication required", Code::kUnauthenticated,
       "--with-registry-auth"},
      {"write /x/blob: no space left on device", Code::kResourceExhausted, "no space"},
      {"Digest did not match, expected sha256:1, got sha256:2", Code::kDataLoss, "damaged"},
      {"opening file \\\"/x\\\": open /x: no such file or directory", Code::kNotFound, "web:9"},
      {"something nobody has seen", Code::kInternal, "something nobody has seen"},
  };
  for (const Row& row : table) {
    const std::string line =
        std::string("time=\"2026-11-21T05:10:28Z\" level=warning msg=\"x\"\n") +
        "time=\"2026-11-21T05:10:28Z\" level=fatal msg=\"" + row.text + "\"\n";
    const Error error = explain_skopeo(line, {"web:9", "h", "/certs", true});
    EXPECT_EQ(error.code, row.code) << row.text << " -> " << error.message;
    EXPECT_THAT(error.message, HasSubstr(row.says));
  }
  EXPECT_THAT(explain_skopeo("", {"web", "h", "/c", true}).message, HasSubstr("nothing"));
  EXPECT_THAT(explain_skopeo("unauthorized", {"web", "h", "/c", true}).message,
              HasSubstr("without credentials"));
  EXPECT_THAT(explain_skopeo("unauthorized", {"web", "h", "/c", false}).message,
              HasSubstr("wrong user"));
}

}  // namespace
}  // namespace skep::oci
