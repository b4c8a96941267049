#include <algorithm>

#include "expect.h"
#include "sandbox.h"
#include "skep/network.methods.h"
#include "skep/testing/conformance.h"

namespace skep::testing {
namespace {

using namespace network::v1;           // NOLINT(google-build-using-namespace)
using namespace network::v1::methods;  // NOLINT(google-build-using-namespace)

constexpr const char* kNetwork = "skep-conformance";
constexpr const char* kInterface = "eth0";

template <class M>
auto of_network(Probe& probe, const std::string& network = kNetwork) {
  typename M::Request request;
  request.set_network_id(network);
  return probe.call<M>(request);
}
template <class M>
auto of_endpoint(Probe& probe, const std::string& endpoint, const std::string& network = kNetwork) {
  typename M::Request request;
  request.set_network_id(network);
  request.set_endpoint_id(endpoint);
  return probe.call<M>(request);
}
auto join(Probe& probe, const std::string& endpoint, const std::string& sandbox) {
  JoinRequest request;
  request.set_network_id(kNetwork);
  request.set_endpoint_id(endpoint);
  request.set_sandbox(sandbox);
  request.set_interface_name(kInterface);
  return probe.call<Join>(request);
}
std::string without_bits(const std::string& cidr) { return cidr.substr(0, cidr.find('/')); }

/// Takes away whatever a case made, whatever came.
Status cleanly(Probe& probe, const std::function<Status()>& body) {
  Status status = body();
  Status removed = ok();
  const auto note = [&](const auto& result, const char* what) {
    if (removed && !result) {
      removed = expect_ok(result, what);
    }
  };
  for (const char* endpoint : {"one", "two"}) {
    note(of_endpoint<Unpublish>(probe, endpoint), "unpublish at the end");
    note(of_endpoint<Leave>(probe, endpoint), "leave at the end");
    note(of_endpoint<DeleteEndpoint>(probe, endpoint), "delete_endpoint at the end");
  }
  note(of_network<DeleteNetwork>(probe), "delete_network at the end");
  SKEP_TRY(std::move(status));
  return removed;
}

/// Runs `body` with the network made; skipped for drivers that give no addresses (host, none): they
/// make nothing that could be judged.
std::function<Status(Probe&)> with_network(std::function<Status(Probe&)> body) {
  return [body = std::move(body)](Probe& probe) -> Status {
    return cleanly(probe, [&]() -> Status {
      SKEP_TRY(expect_ok(of_network<CreateNetwork>(probe), "create_network"));
      const auto endpoint = of_endpoint<CreateEndpoint>(probe, "one");
      SKEP_TRY(expect_ok(endpoint, "create_endpoint"));
      if (endpoint->addresses().empty()) {
        return skip("the driver gives no addresses");
      }
      return body(probe);
    });
  };
}

/// Whether list shows the network, and the endpoint when one is named.
Status listed(Probe& probe, const std::string& endpoint, bool wanted) {
  const auto list = probe.call<List>({});
  SKEP_TRY(expect_ok(list, "list"));
  const auto& networks = list->networks();
  const bool found =
      endpoint.empty() ? std::find(networks.begin(), networks.end(), kNetwork) != networks.end()
                       : std::any_of(list->endpoints().begin(), list->endpoints().end(), [&](const auto& one) {
                           return one.network_id() == kNetwork && one.endpoint_id() == endpoint;
                         });
  const std::string what = endpoint.empty() ? std::string("the network") : "endpoint '" + endpoint + "'";
  return expect(found == wanted, "list should " + std::string(wanted ? "" : "not ") + "show " + what);
}

Status repeats_change_nothing(Probe& probe) {
  const auto first = of_network<CreateNetwork>(probe);
  const auto again = of_network<CreateNetwork>(probe);
  SKEP_TRY(expect_ok(first, "create_network again"));
  SKEP_TRY(expect_ok(again, "create_network again"));
  SKEP_TRY(expect(std::equal(first->subnets().begin(), first->subnets().end(), again->subnets().begin(),
                             again->subnets().end()),
                  "a network keeps its subnets when it is created again"));
  SKEP_TRY(listed(probe, "", true));
  const auto one = of_endpoint<CreateEndpoint>(probe, "one");
  SKEP_TRY(expect_ok(one, "create_endpoint again"));
  const auto same = of_endpoint<CreateEndpoint>(probe, "one");
  SKEP_TRY(expect_ok(same, "create_endpoint again"));
  SKEP_TRY(expect(one->addresses(0) == same->addresses(0) && one->mac() == same->mac(),
                  "an endpoint keeps its address and MAC when it is created again"));
  const auto two = of_endpoint<CreateEndpoint>(probe, "two");
  SKEP_TRY(expect_ok(two, "create_endpoint of another"));
  SKEP_TRY(expect(one->addresses(0) != two->addresses(0), "two endpoints have two addresses"));
  return listed(probe, "two", true);
}

Status networks_in_use_stay(Probe& probe) {
  SKEP_TRY(expect_error(of_network<DeleteNetwork>(probe), Code::kFailedPrecondition,
                        "delete_network while it has an endpoint"));
  SKEP_TRY(expect_ok(of_endpoint<DeleteEndpoint>(probe, "one"), "delete_endpoint"));
  SKEP_TRY(listed(probe, "one", false));
  SKEP_TRY(expect_ok(of_network<DeleteNetwork>(probe), "delete_network without endpoints"));
  SKEP_TRY(listed(probe, "", false));
  SKEP_TRY(expect_error(of_endpoint<CreateEndpoint>(probe, "one"), Code::kNotFound,
                        "create_endpoint on a network that is gone"));
  return expect_ok(of_network<DeleteNetwork>(probe), "delete_network again");
}

/// That endpoint `id` is in `sandbox` with its address; what address that is.
Result<std::string> joined(Probe& probe, const std::string& id, const Sandbox& sandbox) {
  const auto endpoint = of_endpoint<CreateEndpoint>(probe, id);
  SKEP_TRY(expect_ok(endpoint, "create_endpoint"));
  const std::string address = without_bits(endpoint->addresses(0));
  for (const char* what : {"join", "join again"}) {
    const auto answer = join(probe, id, sandbox.path());
    SKEP_TRY(expect_ok(answer, what));
    SKEP_TRY(expect(answer->interface_name() == kInterface, "join answers the interface name that was asked for"));
  }
  SKEP_TRY_ASSIGN(const auto addresses, sandbox.addresses(kInterface));
  SKEP_TRY(expect(std::find(addresses.begin(), addresses.end(), address) != addresses.end(),
                  "after join, " + std::string(kInterface) + " in the sandbox has the address " + address));
  return address;
}

Status endpoints_reach_each_other(Probe& probe) {
  SKEP_TRY_ASSIGN(auto first, Sandbox::make());
  SKEP_TRY_ASSIGN(const auto second, Sandbox::make());
  SKEP_TRY_ASSIGN(const std::string one, joined(probe, "one", *first));
  SKEP_TRY_ASSIGN(const std::string two, joined(probe, "two", *second));
  SKEP_TRY(first->reaches(one, *second, two));
  SKEP_TRY(second->reaches(two, *first, one));
  SKEP_TRY(expect_ok(of_endpoint<Leave>(probe, "two"), "leave"));
  SKEP_TRY_ASSIGN(const auto left, second->addresses(kInterface));
  SKEP_TRY(expect(left.empty(), "after leave, the interface is gone from the sandbox"));
  SKEP_TRY(expect_ok(of_endpoint<Leave>(probe, "two"), "leave again"));
  first.reset();  // a task's namespace can go before anybody says leave
  SKEP_TRY(expect_ok(of_endpoint<Leave>(probe, "one"), "leave when the sandbox is gone"));
  return expect_ok(of_endpoint<DeleteEndpoint>(probe, "one"), "delete_endpoint when the sandbox is gone");
}

Status publishes(Probe& probe) {
  const auto capabilities = probe.call<Capabilities>({});
  SKEP_TRY(expect_ok(capabilities, "capabilities"));
  PublishRequest request;
  request.set_network_id(kNetwork);
  request.set_endpoint_id("one");
  request.add_ports()->set_target_port(80);
  const auto first = probe.call<Publish>(request);
  if (!capabilities->publishes_ports()) {
    return expect(!first, "publish of a driver that publishes no ports should say so");
  }
  SKEP_TRY(expect_ok(first, "publish without a number"));
  SKEP_TRY(expect(first->ports_size() == 1 && first->ports(0).published_port() != 0,
                  "publish answers the port that was chosen"));
  const auto again = probe.call<Publish>(request);
  SKEP_TRY(expect_ok(again, "publish again"));
  SKEP_TRY(expect(again->ports(0).published_port() == first->ports(0).published_port(),
                  "the same publish again keeps the port"));
  SKEP_TRY(expect_ok(of_endpoint<CreateEndpoint>(probe, "two"), "create_endpoint"));
  request.set_endpoint_id("two");
  request.mutable_ports(0)->set_published_port(first->ports(0).published_port());
  SKEP_TRY(expect_error(probe.call<Publish>(request), Code::kFailedPrecondition,
                        "publish of a port that another endpoint has"));
  SKEP_TRY(expect_ok(of_endpoint<Unpublish>(probe, "one"), "unpublish"));
  SKEP_TRY(expect_ok(of_endpoint<Unpublish>(probe, "one"), "unpublish again"));
  return expect_ok(probe.call<Publish>(request), "publish of the port once it is free");
}

Status recovers(Probe& probe) {
  SKEP_TRY_ASSIGN(const auto first, Sandbox::make());
  SKEP_TRY_ASSIGN(const auto second, Sandbox::make());
  SKEP_TRY_ASSIGN(const std::string one, joined(probe, "one", *first));
  SKEP_TRY_ASSIGN(const std::string two, joined(probe, "two", *second));
  if (auto crashed = probe.crash(); !crashed && crashed.error().code != Code::kUnimplemented) {
    return crashed;
  }
  SKEP_TRY(first->reaches(one, *second, two));  // the kernel goes on without the driver
  RecoverRequest request;
  request.add_network_ids(kNetwork);
  request.add_endpoint_ids("one");
  request.add_endpoint_ids("two");
  SKEP_TRY(expect_ok(probe.call<Recover>(request), "recover"));
  SKEP_TRY_ASSIGN(const std::string kept, joined(probe, "one", *first));
  SKEP_TRY(expect(kept == one, "an endpoint keeps its address over a crash"));
  SKEP_TRY(first->reaches(one, *second, two));
  request.mutable_endpoint_ids()->RemoveLast();
  SKEP_TRY(expect_ok(probe.call<Recover>(request), "recover without endpoint 'two'"));
  SKEP_TRY(listed(probe, "one", true));
  SKEP_TRY(listed(probe, "two", false));
  SKEP_TRY_ASSIGN(const auto left, second->addresses(kInterface));
  SKEP_TRY(expect(left.empty(), "recover takes an endpoint that is not named out of its sandbox"));
  SKEP_TRY(expect_ok(probe.call<Recover>({}), "recover with nothing in use"));
  return listed(probe, "", false);
}

}  // namespace

std::vector<Case> network_suite() {
  return {
      {"capabilities: the scope is local or global",
       [](Probe& probe) -> Status { return expect_scope(probe.call<Capabilities>({})); }},
      {"unknown networks and endpoints: leave, unpublish and delete succeed",
       [](Probe& probe) -> Status { return cleanly(probe, [] { return ok(); }); }},
      {"life of a task: every call of it succeeds, and again",
       [](Probe& probe) -> Status {
         SKEP_TRY_ASSIGN(const auto sandbox, Sandbox::make());
         return cleanly(probe, [&]() -> Status {
           for (int repeat = 0; repeat < 2; ++repeat) {
             SKEP_TRY(expect_ok(of_network<CreateNetwork>(probe), "create_network"));
             SKEP_TRY(expect_ok(of_endpoint<CreateEndpoint>(probe, "one"), "create_endpoint"));
             SKEP_TRY(expect_ok(join(probe, "one", sandbox->path()), "join"));
             SKEP_TRY(expect_ok(of_endpoint<Publish>(probe, "one"), "publish of no port"));
           }
           return ok();
         });
       }},
      {"create: a repeat is the same network and endpoint; list agrees", with_network(repeats_change_nothing)},
      {"delete: a network in use stays; what is gone is not listed", with_network(networks_in_use_stay)},
      {"join and leave: endpoints reach each other, also when a sandbox goes first",
       with_network(endpoints_reach_each_other)},
      {"publish: ports are chosen once and belong to one endpoint", with_network(publishes)},
      {"recover: named endpoints live on over a crash, others go", with_network(recovers)},
  };
}

}  // namespace skep::testing
