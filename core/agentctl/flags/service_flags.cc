#include "core/agentctl/flags/service_flags.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "core/agentctl/command.h"
#include "core/agentctl/text.h"
#include "core/model/validate.h"

namespace skep::ctl {
namespace {

// Flags whose part of the house is not built yet. Scripts written for docker get a clear answer.
struct LaterFlag {
  const char* names;
  const char* value;
  FlagUse use;
  const char* reason;
};
constexpr const char* kSecrets = "secrets and configs come with a later version";
constexpr LaterFlag kLater[] = {
    {"--config", "config", FlagUse::kCreate, kSecrets},
    {"--config-add", "config", FlagUse::kUpdate, kSecrets},
    {"--config-rm", "list", FlagUse::kUpdate, kSecrets},
    {"--secret", "secret", FlagUse::kCreate, kSecrets},
    {"--secret-add", "secret", FlagUse::kUpdate, kSecrets},
    {"--secret-rm", "list", FlagUse::kUpdate, kSecrets},
    {"--credential-spec", "spec", FlagUse::kBoth, "credential specs belong to Windows containers"},
    {"--isolation", "string", FlagUse::kBoth, "isolation belongs to Windows containers"},
    {"--memory-swappiness", "int", FlagUse::kBoth,
     "swappiness per task comes with a later version"},
};

// "/data/" and "/data" are one place.
std::string without_trailing_slashes(std::string path) {
  while (path.size() > 1 && path.back() == '/') {
    path.pop_back();
  }
  return path;
}

}  // namespace

Status check_image(const std::string& image) {
  const std::string name = image.substr(0, image.find('@'));
  const std::size_t slash = name.rfind('/');
  const std::string last = slash == std::string::npos ? name : name.substr(slash + 1);
  if (std::count(last.begin(), last.end(), ':') > 1) {
    return Error{Code::kInvalidArgument,
                 fmt::format("image reference '{}' has two tags: write NAME[:TAG], for example {}", image,
                             last.substr(0, last.find(':', last.find(':') + 1))),
                 "INVALID_IMAGE"};
  }
  return ok();
}

void ServiceEdits::add_flags(Command& command, FlagUse use) {
  for (const auto group : {container_flags(), container_list_flags(), health_flags(),
                           deploy_flags(), update_policy_flags(), network_flags()}) {
    for (const ServiceFlag& flag : group) {
      if (flag.use != use && flag.use != FlagUse::kBoth) {
        continue;
      }
      const auto note = [this, &flag](const std::string& value) {
        edits_.push_back({&flag, value});
        return ok();
      };
      command.add_flag(
          {.names = flag.names,
           .value = flag.value,
           .help = flag.help,
           .many = flag.many,
           .set = [note, many = flag.many](const std::vector<std::string>& values) -> Status {
             for (const std::string& value : values) {
               if (many || &value == &values.back()) {
                 SKEP_TRY(note(value));
               }
             }
             return ok();
           }});
    }
  }
  for (const LaterFlag& flag : kLater) {
    if (flag.use == use || flag.use == FlagUse::kBoth) {
      command.later(flag.names, flag.value, flag.reason);
    }
  }
}

// Of two mounts at one target the last would win in silence.
Status ServiceEdits::check_mounts() const {
  std::set<std::string> targets;
  for (const Edit& edit : edits_) {
    const std::string flag = split(edit.flag->names, ',').front();
    if (flag != "--mount" && flag != "--mount-add") {
      continue;
    }
    const auto mount = parse_mount(edit.value);  // what is wrong with it, apply() says
    if (mount && !targets.insert(without_trailing_slashes(mount->target())).second) {
      return Error{Code::kInvalidArgument,
                   fmt::format("{}: duplicate mount point '{}': give each mount a target of its own", flag,
                               mount->target()),
                   std::string(kUsageReason)};
    }
  }
  return ok();
}

Status ServiceEdits::apply(model::v1::ServiceSpec& spec, const FlagWorld& world) const {
  SKEP_TRY(check_mounts());
  for (const EditPhase phase :
       {EditPhase::kMode, EditPhase::kRemove, EditPhase::kSet, EditPhase::kAdd}) {
    for (const Edit& edit : edits_) {
      if (edit.flag->phase != phase) {
        continue;
      }
      if (auto status = edit.flag->apply(spec, edit.value, world); !status) {
        Error error = std::move(status).error();
        if (error.code == Code::kInvalidArgument && error.reason.empty()) {
          error.reason = kUsageReason;
        }
        return std::move(error).with_context(split(edit.flag->names, ',').front());
      }
    }
  }
  return ok();
}

Result<model::v1::ServiceSpec> ServiceEdits::create(const std::string& image,
                                                    std::vector<std::string> arguments,
                                                    const FlagWorld& world) const {
  SKEP_TRY(check_image(image));
  model::v1::ServiceSpec spec;
  spec.mutable_replicated()->set_replicas(1);
  auto& container = *spec.mutable_task()->mutable_container();
  container.set_image(image);
  container.mutable_args()->Assign(arguments.begin(), arguments.end());
  SKEP_TRY(apply(spec, world));
  return spec;
}

Result<model::v1::ServiceSpec> ServiceEdits::update(model::v1::ServiceSpec spec,
                                                    const FlagWorld& world) const {
  SKEP_TRY(apply(spec, world));
  return spec;
}

}  // namespace skep::ctl
