#include "plugins/network/bridge/linux_kernel.h"

namespace skep::bridge {
namespace {

// The table, in nft's words:
//   chain prerouting  { type nat hook prerouting priority dstnat;  fib daddr type local tcp dport P dnat to A:T }
//   chain output      { type nat hook output priority dstnat;      the same, for clients on this node }
//   chain postrouting { type nat hook postrouting priority srcnat;
//       ip saddr SUBNET oifname != BRIDGE masquerade        the way out
//       ip saddr 127.0.0.0/8 oifname BRIDGE masquerade      a client on 127.0.0.1
//       ip saddr SUBNET oifname BRIDGE ct status dnat masquerade   a task that calls its own port }

class Json {
 public:
  explicit Json(const std::string& table) : table_(table) {}

  void table() {
    const std::string name = R"({"table":{"family":"ip","name":")" + table_ + R"("}})";
    command("add", name);
    command("delete", name);
    command("add", name);
  }
  void chain(const std::string& name, const std::string& hook, int priority) {
    command("add", R"({"chain":{"family":"ip","table":")" + table_ + R"(","name":")" + name +
                       R"(","type":"nat","hook":")" + hook + R"(","prio":)" +
                       std::to_string(priority) + R"(,"policy":"accept"}})");
  }
  void rule(const std::string& chain, const std::string& expressions) {
    command("add", R"({"rule":{"family":"ip","table":")" + table_ + R"(","chain":")" + chain +
                       R"(","expr":[)" + expressions + "]}}");
  }
  [[nodiscard]] std::string take() { return R"({"nftables":[)" + std::move(commands_) + "]}"; }

 private:
  void command(const std::string& verb, const std::string& object) {
    commands_ += (commands_.empty() ? "{\"" : ",{\"") + verb + "\":" + object + "}";
  }
  std::string table_;
  std::string commands_;
};

std::string match(const std::string& left, const std::string& right, const std::string& op = "==") {
  return R"({"match":{"op":")" + op + R"(","left":)" + left + R"(,"right":)" + right + "}}";
}

std::string prefix(const std::string& subnet) {
  const auto slash = subnet.find('/');
  return R"({"prefix":{"addr":")" + subnet.substr(0, slash) + R"(","len":)" + subnet.substr(slash + 1) +
         "}}";
}

std::string source_in(const std::string& subnet) {
  return match(R"({"payload":{"protocol":"ip","field":"saddr"}})", prefix(subnet));
}

std::string protocol_name(model::v1::PublishedPort::Protocol protocol) {
  if (protocol == model::v1::PublishedPort::UDP) {
    return "\"udp\"";
  }
  return protocol == model::v1::PublishedPort::SCTP ? "\"sctp\"" : "\"tcp\"";
}

std::string port_rule(const PortRule& port) {
  return match(R"({"fib":{"result":"type","flags":["daddr"]}})", "\"local\"") + "," +
         match(R"({"meta":{"key":"l4proto"}})", protocol_name(port.protocol)) + "," +
         match(R"({"payload":{"protocol":"th","field":"dport"}})", std::to_string(port.published)) +
         R"(,{"dnat":{"addr":")" + port.address + R"(","port":)" + std::to_string(port.target) + "}}";
}

}  // namespace

std::string rules_to_json(const RuleSet& rules) {
  constexpr int kDstnat = -100;
  constexpr int kSrcnat = 100;
  Json json(rules.table);
  json.table();
  json.chain("prerouting", "prerouting", kDstnat);
  json.chain("output", "output", kDstnat);
  json.chain("postrouting", "postrouting", kSrcnat);
  for (const PortRule& port : rules.ports) {
    json.rule("prerouting", port_rule(port));
    json.rule("output", port_rule(port));
  }
  const std::string out_interface = R"({"meta":{"key":"oifname"}})";
  const std::string masquerade = R"({"masquerade":null})";
  for (const auto& [bridge, subnet] : rules.bridges) {
    const std::string name = "\"" + bridge + "\"";
    json.rule("postrouting", source_in(subnet) + "," + match(out_interface, name, "!=") + "," + masquerade);
    json.rule("postrouting", source_in("127.0.0.0/8") + "," + match(out_interface, name) + "," + masquerade);
    json.rule("postrouting", source_in(subnet) + "," + match(out_interface, name) + "," +
                                 match(R"({"ct":{"key":"status"}})", "\"dnat\"", "in") + "," + masquerade);
  }
  return json.take();
}

}  // namespace skep::bridge
