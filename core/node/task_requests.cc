#include "core/node/task_requests.h"

#include <chrono>
#include <sstream>

#include "core/node/record.h"
#include "core/node/task_plan.h"

namespace skep::node {
namespace {

constexpr std::chrono::seconds kDefaultGrace{10};

runtime::v1::BindMount bind_of(const v1::VolumeUse& use) {
  runtime::v1::BindMount bind;
  const auto& mount = use.mount();
  if (use.driver().empty()) {
    bind.set_source(use.name());
  } else if (mount.volume_subpath().empty()) {
    bind.set_source(use.mountpoint());
  } else {
    bind.set_source(use.mountpoint() + "/" + mount.volume_subpath());
  }
  bind.set_target(use.target());
  bind.set_read_only(mount.read_only());
  bind.set_propagation(mount.propagation());
  bind.set_nonrecursive(mount.bind_nonrecursive());
  bind.set_copy_up(!use.driver().empty() && !mount.volume_no_copy());
  return bind;
}

bool loopback_server(std::string_view address) {
  return address.starts_with("127.") || address == "::1";
}

std::string address_of(std::string_view cidr) { return std::string(cidr.substr(0, cidr.find('/'))); }

struct ResolvLines {
  std::vector<std::string> servers;
  std::string search;
  std::string options;
};

ResolvLines parse_resolv(std::string_view text) {
  ResolvLines lines;
  std::istringstream input{std::string(text)};
  for (std::string line; std::getline(input, line);) {
    std::istringstream words(line);
    std::string key;
    std::string value;
    words >> key >> std::ws;
    std::getline(words, value);
    while (!value.empty() && (value.back() == ' ' || value.back() == '\t' || value.back() == '\r')) {
      value.pop_back();
    }
    if (key == "nameserver") {
      lines.servers.push_back(value);
    } else if (key == "search" || key == "domain") {
      lines.search = value;
    } else if (key == "options") {
      lines.options = value;
    }
  }
  return lines;
}

std::string joined(const google::protobuf::RepeatedPtrField<std::string>& words) {
  std::string text;
  for (const auto& word : words) {
    text += (text.empty() ? "" : " ") + word;
  }
  return text;
}

}  // namespace

std::string task_directory(const NodeConfig& config, const std::string& task_id) {
  return config.run_dir + "/tasks/" + task_id;
}

std::chrono::nanoseconds stop_grace(const v1::TaskRecord& record) {
  const auto grace = record.task().spec().container().stop_grace();
  return grace > 0 ? std::chrono::nanoseconds(grace) : std::chrono::nanoseconds(kDefaultGrace);
}

runtime::v1::CreateRequest create_request(const v1::TaskRecord& record, const NodeConfig& config) {
  runtime::v1::CreateRequest request;
  request.set_container_id(record.container_id());
  request.set_name(record.name());
  for (const auto& [key, value] : container_labels(record, config)) {
    (*request.mutable_labels())[key] = value;
  }
  const auto& spec = record.task().spec();
  *request.mutable_spec() = spec.container();
  request.mutable_spec()->clear_registry_auth();
  request.mutable_spec()->clear_mounts();  // resolved into binds and tmpfs
  *request.mutable_resources() = spec.resources();
  request.set_sandbox(record.needs_sandbox() ? record.sandbox_path() : std::string());
  request.set_hostname(record.hostname());
  for (const auto& use : record.volumes()) {
    *request.add_binds() = bind_of(use);
  }
  for (const auto& mount : spec.container().mounts()) {
    if (mount.type() == model::v1::Mount::TMPFS) {
      *request.add_tmpfs() = mount;
    }
  }
  const std::string directory = task_directory(config, record.task().id());
  request.set_hosts_path(directory + "/hosts");
  request.set_resolv_path(directory + "/resolv.conf");
  request.set_log_size_max(config.log_size_max);
  request.set_log_files_max(config.log_files_max);
  return request;
}

runtime::v1::StopRequest stop_request(const v1::TaskRecord& record) {
  runtime::v1::StopRequest request;
  request.set_container_id(record.container_id());
  request.set_signal(record.stop_signal());
  request.set_grace(stop_grace(record).count());
  return request;
}

volume::v1::CreateRequest volume_request(const v1::VolumeUse& use, const NodeConfig& config) {
  volume::v1::CreateRequest request;
  request.set_name(use.name());
  *request.mutable_options() = use.mount().volume_options();
  *request.mutable_labels() = use.mount().volume_labels();
  (*request.mutable_labels())[kInstallationLabel] = config.installation_id;
  if (use.anonymous()) {
    (*request.mutable_labels())["com.docker.volume.anonymous"] = "";
  }
  return request;
}

network::v1::CreateEndpointRequest endpoint_request(const v1::TaskRecord& record,
                                                    const v1::EndpointUse& use) {
  network::v1::CreateEndpointRequest request;
  request.set_network_id(use.network_id());
  request.set_endpoint_id(record.task().id());
  *request.mutable_addresses() = use.addresses_wanted();
  return request;
}

network::v1::JoinRequest join_request(const v1::TaskRecord& record, const v1::EndpointUse& use) {
  network::v1::JoinRequest request;
  request.set_network_id(use.network_id());
  request.set_endpoint_id(record.task().id());
  request.set_sandbox(record.sandbox_path());
  request.set_interface_name(use.interface_name());
  request.set_default_gateway(use.gateway());
  return request;
}

network::v1::PublishRequest publish_request(const v1::TaskRecord& record,
                                            const v1::EndpointUse& use) {
  network::v1::PublishRequest request;
  request.set_network_id(use.network_id());
  request.set_endpoint_id(record.task().id());
  for (const auto& port : host_ports(record)) {
    *request.add_ports() = port;
  }
  return request;
}

std::string hosts_file(const v1::TaskRecord& record, std::string_view of_node) {
  std::string text;
  if (record.needs_sandbox()) {
    text =
        "127.0.0.1\tlocalhost\n"
        "::1\tlocalhost ip6-localhost ip6-loopback\n"
        "fe00::0\tip6-localnet\nff00::0\tip6-mcastprefix\n"
        "ff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n";
  } else {
    text = of_node;
    if (!text.empty() && text.back() != '\n') {
      text += '\n';
    }
  }
  for (const auto& line : record.task().spec().container().hosts()) {
    text += line + "\n";
  }
  for (const auto& use : record.endpoints()) {
    for (const auto& address : use.addresses()) {
      text += address_of(address) + "\t" + record.hostname() + "\n";
    }
  }
  return text;
}

bool only_loopback_servers(std::string_view resolv) {
  for (const auto& server : parse_resolv(resolv).servers) {
    if (!loopback_server(server)) {
      return false;
    }
  }
  return true;
}

std::string resolv_file(const v1::TaskRecord& record, std::string_view of_node) {
  const auto& spec = record.task().spec().container();
  const ResolvLines lines = parse_resolv(of_node);
  std::string text;
  if (spec.dns_servers_size() > 0) {
    for (const auto& server : spec.dns_servers()) {
      text += "nameserver " + server + "\n";
    }
  } else {
    for (const auto& server : lines.servers) {
      if (!record.needs_sandbox() || !loopback_server(server)) {
        text += "nameserver " + server + "\n";
      }
    }
  }
  // `--dns-search .` asks for no search list at all.
  const bool no_search = spec.dns_search_size() == 1 && spec.dns_search(0) == ".";
  const std::string search = spec.dns_search_size() > 0 ? joined(spec.dns_search()) : lines.search;
  if (!search.empty() && !no_search) {
    text += "search " + search + "\n";
  }
  const std::string options =
      spec.dns_options_size() > 0 ? joined(spec.dns_options()) : lines.options;
  if (!options.empty()) {
    text += "options " + options + "\n";
  }
  return text;
}

}  // namespace skep::node
