#include "plugins/runtime/oci/container/user.h"

#include <algorithm>
#include <charconv>
#include <optional>

namespace skep::oci {
namespace {

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (;;) {
    const auto end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) {
      return parts;
    }
    text.remove_prefix(end + 1);
  }
}

/// Ids above 2^31-1 are refused, as Docker does: they do not survive every interface.
std::optional<std::uint32_t> parse_id(std::string_view text) {
  std::uint32_t value = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || parsed.ec != std::errc{} || parsed.ptr != text.data() + text.size() ||
      value > 0x7fffffff) {
    return std::nullopt;
  }
  return value;
}

struct PasswdEntry {
  std::string_view name;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::string_view home;
};
struct GroupEntry {
  std::string_view name;
  std::uint32_t gid = 0;
  std::vector<std::string_view> members;
};

/// Malformed lines are skipped: they are the image's, and one bad line must not lock it out.
std::vector<PasswdEntry> parse_passwd(std::string_view text) {
  std::vector<PasswdEntry> entries;
  for (const std::string_view line : split(text, '\n')) {
    const auto fields = split(line, ':');
    if (fields.size() < 4 || fields[0].empty() || fields[0].front() == '#') {
      continue;
    }
    const auto uid = parse_id(fields[2]);
    const auto gid = parse_id(fields[3]);
    if (uid && gid) {
      entries.push_back({fields[0], *uid, *gid, fields.size() > 5 ? fields[5] : ""});
    }
  }
  return entries;
}

std::vector<GroupEntry> parse_group(std::string_view text) {
  std::vector<GroupEntry> entries;
  for (const std::string_view line : split(text, '\n')) {
    const auto fields = split(line, ':');
    if (fields.size() < 3 || fields[0].empty() || fields[0].front() == '#') {
      continue;
    }
    if (const auto gid = parse_id(fields[2])) {
      entries.push_back({fields[0], *gid,
                         fields.size() > 3 ? split(fields[3], ',') : std::vector<std::string_view>{}});
    }
  }
  return entries;
}

Result<std::uint32_t> resolve_group(std::string_view group, const std::vector<GroupEntry>& groups) {
  for (const GroupEntry& entry : groups) {
    if (entry.name == group) {
      return entry.gid;
    }
  }
  if (const auto gid = parse_id(group)) {
    return *gid;
  }
  return Error{Code::kInvalidArgument,
               "group '" + std::string(group) + "' is not in the container's /etc/group: use one that is, "
               "or a number",
               "UNKNOWN_GROUP"};
}

void add_group(std::vector<std::uint32_t>& groups, std::uint32_t gid) {
  if (std::find(groups.begin(), groups.end(), gid) == groups.end()) {
    groups.push_back(gid);
  }
}

}  // namespace

Result<User> resolve_user(std::string_view user, const std::vector<std::string>& extra_groups,
                          std::string_view passwd, std::string_view group) {
  const auto colon = user.find(':');
  const std::string_view user_part = user.substr(0, colon);
  const std::string_view group_part =
      colon == std::string_view::npos ? std::string_view() : user.substr(colon + 1);
  const std::string_view wanted = user_part.empty() ? "0" : user_part;
  const auto accounts = parse_passwd(passwd);
  const auto groups = parse_group(group);
  const auto number = parse_id(wanted);
  const auto account = std::find_if(accounts.begin(), accounts.end(), [&](const PasswdEntry& entry) {
    return entry.name == wanted || (number && entry.uid == *number);
  });
  User found;
  std::string_view account_name;
  if (account != accounts.end()) {
    found.uid = account->uid;
    found.gid = account->gid;
    found.home = account->home.empty() ? "/" : std::string(account->home);
    account_name = account->name;
  } else if (number) {
    found.uid = *number;
  } else {
    return Error{Code::kInvalidArgument,
                 "user '" + std::string(wanted) + "' is not in the container's /etc/passwd: use one that "
                 "is, or a number",
                 "UNKNOWN_USER"};
  }
  if (!group_part.empty()) {
    SKEP_TRY_ASSIGN(found.gid, resolve_group(group_part, groups));
  } else if (!account_name.empty()) {
    for (const GroupEntry& entry : groups) {
      if (std::find(entry.members.begin(), entry.members.end(), account_name) !=
          entry.members.end()) {
        add_group(found.groups, entry.gid);
      }
    }
  }
  for (const std::string& extra : extra_groups) {
    SKEP_TRY_ASSIGN(const std::uint32_t gid, resolve_group(extra, groups));
    add_group(found.groups, gid);
  }
  return found;
}

}  // namespace skep::oci
