#include "core/agentd/rejection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace skep::agentd {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

const Error kRemoved{Code::kPermissionDenied,
                     "node 'n1' was removed from the swarm: 'agentctl swarm leave' there, then join again",
                     "NODE_REMOVED"};

TEST(Rejection, AWorkerIsToldWhatToDo) {
  EXPECT_EQ(rejection_text("n2", kRemoved, {}), kRemoved.message);
}

TEST(Rejection, OneManagersWordIsNoConclusionForAnother) {
  EXPECT_THAT(rejection_text("n2", kRemoved, {.manager = true}),
              AllOf(HasSubstr("'n2'"), HasSubstr("majority"), Not(HasSubstr("leave"))));
  const Error other{Code::kUnauthenticated, "node 'n3' answers there, not 'n2'", "ANOTHER_NODE"};
  EXPECT_EQ(rejection_text("n2", other, {.manager = true}), other.message);
}

TEST(Rejection, AnExpiredCertificateHasAWayOut) {
  const Error expired{Code::kUnauthenticated, "the certificate expired", "CERTIFICATE_EXPIRED"};
  EXPECT_THAT(rejection_text("n2", expired, {.certificate_expired = true}),
              AllOf(HasSubstr("the certificate expired; "), HasSubstr("swarm join --token")));
}

}  // namespace
}  // namespace skep::agentd
