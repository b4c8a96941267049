#include "plugins/runtime/oci/container/name_files.h"

#include <sstream>

#include "skep/result.h"

namespace skep::oci {

Result<std::string> hosts_text(const model::v1::ContainerSpec& spec, const std::string& hostname) {
  std::string text =
      "127.0.0.1\tlocalhost\n"
      "::1\tlocalhost ip6-localhost ip6-loopback\n"
      "fe00::0\tip6-localnet\n"
      "ff00::0\tip6-mcastprefix\n"
      "ff02::1\tip6-allnodes\n"
      "ff02::2\tip6-allrouters\n";
  for (const std::string& entry : spec.hosts()) {
    std::istringstream words(entry);
    std::string address;
    std::string name;
    if (!(words >> address >> name) || entry.find('\n') != std::string::npos) {
      return Error{Code::kInvalidArgument,
                   "host entry '" + entry + "' is not an address followed by names", "BAD_HOSTS"};
    }
    text += address + "\t" + name;
    while (words >> name) {
      text += " " + name;
    }
    text += "\n";
  }
  return text + "127.0.1.1\t" + hostname + "\n";
}

std::string resolv_text(const model::v1::ContainerSpec& spec, const std::string& node_resolv) {
  const bool own_servers = spec.dns_servers_size() > 0;
  const bool own_search = spec.dns_search_size() > 0;
  const bool own_options = spec.dns_options_size() > 0;
  std::string text;
  std::istringstream lines(node_resolv);
  for (std::string line; std::getline(lines, line);) {
    const bool replaced = (own_servers && line.starts_with("nameserver")) ||
                          (own_search && (line.starts_with("search") || line.starts_with("domain"))) ||
                          (own_options && line.starts_with("options"));
    if (!replaced && !line.empty() && line.front() != '#' && line.front() != ';') {
      text += line + "\n";
    }
  }
  const auto join = [](const auto& words) {
    std::string out;
    for (const std::string& word : words) {
      out += " " + word;
    }
    return out;
  };
  for (const std::string& server : spec.dns_servers()) {
    text += "nameserver " + server + "\n";
  }
  // A single "." means: no search list at all (resolv.conf(5), as in Docker).
  if (own_search && !(spec.dns_search_size() == 1 && spec.dns_search(0) == ".")) {
    text += "search" + join(spec.dns_search()) + "\n";
  }
  if (own_options) {
    text += "options" + join(spec.dns_options()) + "\n";
  }
  return text;
}

}  // namespace skep::oci
