#include <string_view>

#include "core/agentctl/command.h"
#include "core/agentctl/nouns/nouns.h"

namespace skep::ctl {
namespace {

/// A verb or noun of Docker's whose part of Skep is still to come.
struct Later {
  const char* names;
  const char* reason;  ///< behind "is not there yet: ": when it comes, or what does it until then
};

constexpr const char* kTasksOwnContainers =
    "containers belong to tasks: 'agentctl service create', 'update', 'scale' and 'rm' change what runs";
constexpr const char* kImagesComeWhole =
    "images are pulled or loaded as they are: 'agentctl image pull' and 'agentctl image load' bring them";

constexpr Later kContainerVerbs[] = {
    {"attach",
     "'agentctl container logs --follow' shows what it writes, 'agentctl container exec -it' runs a shell in it"},
    {"commit", kTasksOwnContainers},
    {"cp", "'agentctl container exec' reads and writes files of a container"},
    {"create", kTasksOwnContainers},
    {"diff", "what a container changed comes with a later version"},
    {"export", "'agentctl container exec' reads files of a container"},
    {"kill", kTasksOwnContainers},
    {"pause", kTasksOwnContainers},
    {"port", "'agentctl container ls' shows the ports"},
    {"rename", kTasksOwnContainers},
    {"restart", kTasksOwnContainers},
    {"rm,remove", kTasksOwnContainers},
    {"run", kTasksOwnContainers},
    {"start", kTasksOwnContainers},
    {"stats", "what containers use comes with a later version"},
    {"stop", kTasksOwnContainers},
    {"top", "'agentctl container exec CONTAINER ps' shows processes"},
    {"unpause", kTasksOwnContainers},
    {"update", kTasksOwnContainers},
    {"wait", "'agentctl service ps' shows how tasks ended"},
};
constexpr Later kImageVerbs[] = {
    {"build", kImagesComeWhole},
    {"history", "layers of images come with a later version; 'agentctl image inspect' shows the image"},
    {"import", kImagesComeWhole},
    {"push", kImagesComeWhole},
    {"save", kImagesComeWhole},
    {"tag", "'agentctl image load --tag NAME' names an image that has no name"},
};
constexpr Later kNouns[] = {
    {"config", "configs come with a later version"},
    {"events", "'agentctl service ps' shows what happened to tasks, 'agentctl bus trace' what passes in the agent"},
    {"inspect", "name what it is, as in 'agentctl service inspect' or 'agentctl container inspect'"},
    {"network", "networks that people create come with a later version; host, none and bridge exist"},
    {"secret", "secrets come with a later version"},
    {"stack", "stacks, from a Compose file, come with a later version"},
    {"system", "'agentctl info', 'agentctl image ls' and 'agentctl volume prune' have parts of it"},
};

template <std::size_t Size>
void add(Command& parent, const Later (&rows)[Size]) {
  for (const Later& row : rows) {
    parent.add(row.names, "Docker's command of this name, which is not there yet").not_yet(row.reason);
  }
}

}  // namespace

void add_later_verbs(Command& noun) {
  if (noun.name() == "container") {
    add(noun, kContainerVerbs);
    add(noun, {{"prune", "containers that ended go with their tasks ('agentctl swarm update --task-history-limit')"}});
  } else if (noun.name() == "image") {
    add(noun, kImageVerbs);
    add(noun, {{"prune", "'agentctl image rm' removes images one by one"}});
  } else if (noun.name() == "volume") {
    add(noun, {{"update", "volumes belong to one node; those of a whole cluster come with a later version"}});
  } else {  // the root: Docker's short forms
    add(noun, kNouns);
    add(noun, kContainerVerbs);
    add(noun, kImageVerbs);
  }
}

}  // namespace skep::ctl
