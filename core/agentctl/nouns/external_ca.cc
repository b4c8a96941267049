#include "core/agentctl/nouns/external_ca.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <utility>

#include "core/agentctl/nouns/nouns.h"
#include "core/agentctl/text.h"
#include "core/model/https_url.h"

namespace skep::ctl {
namespace {

Error bad(std::string message) { return {Code::kInvalidArgument, std::move(message), std::string(kUsageReason)}; }

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

}  // namespace

Result<std::string> read_pem(Context& context, const char* flag, const std::string& path) {
  const auto refused = [&](const std::string& why) {
    return bad(fmt::format("{}: {}: give a PEM file", flag, why));
  };
  if (path.empty()) {
    return refused("no file is named");
  }
  SKEP_TRY_ASSIGN(std::string text, context.disk.read_file(absolute_path(path)));
  if (text.find_first_not_of(" \t\r\n") == std::string::npos) {
    return refused(fmt::format("'{}' is empty", path));
  }
  return text;
}

Result<ExternalCaFlag::Given> ExternalCaFlag::parse(const std::string& text) {
  SKEP_TRY_ASSIGN(const auto fields, split_csv(text));
  Given out;
  bool named = false;
  bool addressed = false;
  for (const std::string& field : fields) {
    const std::size_t equals = field.find('=');
    if (equals == std::string::npos) {
      return bad(fmt::format("'{}' is no KEY=VALUE: write protocol=cfssl,url=https://HOST[:PORT]/PATH[,cacert=FILE]", field));
    }
    const std::string key = field.substr(0, equals);
    const std::string value = field.substr(equals + 1);
    const std::string known = lower(key);
    if (known == "protocol") {
      named = true;
      if (lower(value) != model::kCfssl) {
        return bad(fmt::format("'{}' is not a protocol of external certificate authorities: use cfssl", value));
      }
      out.authority.set_protocol(std::string(model::kCfssl));
    } else if (known == "url") {
      addressed = true;
      SKEP_TRY(model::parse_https_url(value));
      out.authority.set_url(value);
    } else if (known == "cacert") {
      if (value.empty()) {
        return bad("cacert names no file: give the root certificate of the authority (PEM)");
      }
      out.file = value;
    } else {
      (*out.authority.mutable_options())[key] = value;
    }
  }
  if (!named || !addressed) {
    return bad(fmt::format("{} is missing: write protocol=cfssl,url=https://HOST[:PORT]/PATH[,cacert=FILE]",
                           named ? "url=" : "protocol="));
  }
  return out;
}

void ExternalCaFlag::add_to(Command& command, const std::string& help, Empty empty) {
  command.add_flag({.names = "--external-ca",
                    .value = "external-ca",
                    .help = help,
                    .many = true,
                    .set = [this, empty](const std::vector<std::string>& values) -> Status {
                      given_ = true;
                      if (empty == Empty::kClears && values == std::vector<std::string>{""}) {
                        return ok();
                      }
                      for (const std::string& value : values) {
                        SKEP_TRY_ASSIGN(Given parsed, parse(value));
                        authorities_.push_back(std::move(parsed));
                      }
                      return ok();
                    }});
}

Result<ExternalCaFlag::List> ExternalCaFlag::read(Context& context) const {
  List out;
  for (const Given& given : authorities_) {
    auto& authority = *out.Add();
    authority = given.authority;
    if (!given.file.empty()) {
      SKEP_TRY_ASSIGN(std::string root, read_pem(context, "--external-ca: cacert", given.file));
      if (root.find("-----BEGIN CERTIFICATE-----") == std::string::npos) {
        return bad(fmt::format("--external-ca: cacert: '{}' holds no certificate in PEM", given.file));
      }
      authority.set_certificate(std::move(root));
    }
  }
  return out;
}

}  // namespace skep::ctl
