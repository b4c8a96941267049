#include "plugins/runtime/oci/container/seccomp.h"

#include <algorithm>
#include <boost/json.hpp>
#include <cerrno>
#include <sstream>

namespace skep::oci {
namespace {

namespace json = boost::json;

/// CLONE_NEWNS | NEWCGROUP | NEWUTS | NEWIPC | NEWUSER | NEWPID | NEWNET: a clone() without any of
/// them makes no namespace.
constexpr std::uint64_t kNamespaceFlags = 0x7e020000;
constexpr std::uint64_t kVsock = 40;  // AF_VSOCK reaches the hypervisor and other guests

json::array architectures(std::string_view machine) {
  if (machine == "x86_64") {
    return {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"};
  }
  if (machine == "aarch64") {
    return {"SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"};
  }
  if (machine == "riscv64") {
    return {"SCMP_ARCH_RISCV64"};
  }
  if (machine == "ppc64le") {
    return {"SCMP_ARCH_PPC64LE"};
  }
  if (machine == "s390x") {
    return {"SCMP_ARCH_S390X", "SCMP_ARCH_S390"};
  }
  return {};
}

json::object allow(json::array names) {
  return {{"names", std::move(names)}, {"action", "SCMP_ACT_ALLOW"}};
}

json::object allow_if(std::string_view name, int index, std::uint64_t value, std::string_view op) {
  json::object rule = allow({name});
  json::object condition{{"index", index}, {"value", value}, {"op", op}};
  if (op == "SCMP_CMP_MASKED_EQ") {
    condition["valueTwo"] = 0;  // (argument & value) == valueTwo
  }
  rule["args"] = json::array{std::move(condition)};
  return rule;
}

/// Calls that depend on their arguments.
void add_conditional(json::array& rules, bool may_make_namespaces, std::string_view machine) {
  rules.push_back(allow_if("socket", 0, kVsock, "SCMP_CMP_NE"));
  // Linux, Linux32, UNAME26 with and without, and the query.
  for (const std::uint64_t persona : {0x0ULL, 0x8ULL, 0x20000ULL, 0x20008ULL, 0xffffffffULL}) {
    rules.push_back(allow_if("personality", 0, persona, "SCMP_CMP_EQ"));
  }
  if (!may_make_namespaces) {
    const int flags_index = machine == "s390x" ? 1 : 0;
    rules.push_back(allow_if("clone", flags_index, kNamespaceFlags, "SCMP_CMP_MASKED_EQ"));
    // Its flags are behind a pointer that a filter cannot read; ENOSYS makes libc use clone().
    rules.push_back(json::object{{"names", json::array{"clone3"}},
                                 {"action", "SCMP_ACT_ERRNO"},
                                 {"errnoRet", ENOSYS}});
  }
}

}  // namespace

Result<json::object> seccomp_filter(std::string_view rules,
                                    const std::vector<std::string>& capabilities,
                                    std::string_view machine) {
  const auto has = [&capabilities](const std::string& capability) {
    return std::find(capabilities.begin(), capabilities.end(), capability) != capabilities.end();
  };
  json::array allowed;
  bool wanted = false;
  std::istringstream lines{std::string(rules)};
  for (std::string line; std::getline(lines, line);) {
    if (line.empty() || line.front() == '#') {
      continue;
    }
    if (line.front() == '[') {
      std::istringstream header(line.substr(1, line.find(']') - 1));
      std::string section;
      std::string argument;
      header >> section >> argument;
      if (section != "always" && section != "arch" && section != "cap") {
        return Error{Code::kInternal, "seccomp rules: unknown section '" + line + "'"};
      }
      wanted = section == "always" || (section == "arch" && argument == machine) ||
               (section == "cap" && has("CAP_" + argument));
      continue;
    }
    std::istringstream words(line);
    for (std::string word; wanted && words >> word;) {
      allowed.emplace_back(word);
    }
  }
  json::array list{allow(std::move(allowed))};
  add_conditional(list, has("CAP_SYS_ADMIN"), machine);
  return json::object{{"defaultAction", "SCMP_ACT_ERRNO"},
                      {"defaultErrnoRet", EPERM},
                      {"architectures", architectures(machine)},
                      {"syscalls", std::move(list)}};
}

}  // namespace skep::oci
