// Any bytes as certificates, keys and requests that another node shows. Nothing may crash, and nothing
// that the fuzzer makes is accepted by a root it has no key of.

#include <cstdint>

#include "core/link/root.h"
#include "core/link/tls.h"

namespace {

constexpr skep::WallTime kNow = 1'800'000'000'000'000'000;

const skep::link::CertifiedKey& root() {
  static const skep::link::CertifiedKey made = *skep::link::make_root(kNow);
  return made;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace link = skep::link;
  const std::string input(reinterpret_cast<const char*>(data), size);
  SKEP_ASSERT(!link::verify_certificate(input, root().certificate, "c1", kNow), "our root did not sign it");
  SKEP_ASSERT(!link::verify_whatever_date(input, root().certificate, ""), "our root did not sign it");
  (void)link::read_certificate(input);
  (void)link::certificate_digest(input);
  (void)link::issuer_of(input, input);
  (void)link::as_issuer(input);
  (void)link::verify_certificate(root().certificate, input, "c1", kNow);
  (void)link::check_root_pair({input, root().key}, kNow);
  (void)link::check_root_pair({root().certificate, input}, kNow);
  (void)link::check_same_key(input, root().certificate);
  (void)link::cross_sign(root(), input);
  (void)link::request_for(input);
  (void)link::sign_request(root(), input, {"n1", link::Role::kWorker, "c1"}, kNow, link::kCertificateLife);
  (void)link::TlsContext::make({{input, root().key}, input, "c1", "n1"});
  return 0;
}
