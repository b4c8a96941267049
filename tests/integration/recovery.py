"""What tests of lost, locked and recovered managers share."""
import os
import re

from lab import eventually
from netlab import ManagersTest

KEY = re.compile(r"SWMKEY-1-[A-Za-z0-9+/]{43}")
WRONG_KEY = "SWMKEY-1-" + "A" * 43


def unlock(agent, key):
    agent.ctl("swarm", "unlock", stdin=key + "\n")
    eventually("the manager serves", lambda: agent.ctl("service", "ls", check=False).returncode == 0)


def force(agent):
    """Its managers are lost: the swarm goes on from this one."""
    done = eventually("the swarm is made anew", lambda: (
        lambda d: d if d.returncode == 0 else None)(agent.ctl("swarm", "init", "--force-new-cluster", check=False)), 30)
    return done.stdout


class RecoveryTest(ManagersTest):
    """Tests in which most managers are lost."""

    leave_together = True

    def serve(self, agents, replicas):
        """A service with so many tasks, on nodes that all have its image."""
        for agent in agents:
            self.web_image(agent)
        agents[0].ctl("service", "create", "--name", "web", "--replicas", str(replicas), "--no-healthcheck", "-d",
                      "--restart-delay", "0s", "web:1")
        agents[0].wait_running("web", replicas, 90)

    def wait_roles(self, asked, managers, workers, seconds=60):
        """Exactly these are managers and ready, and these workers and ready."""
        def as_wanted():
            nodes = self.nodes(asked)
            return (all(nodes[a.known_id]["status"] == "Ready" for a in managers + workers) and
                    {i for i, n in nodes.items() if n["manager"]} == {a.known_id for a in managers})
        eventually("managers and workers are as they should be", as_wanted, seconds)
        for agent in workers:
            self.wait_no_manager_files(agent)

    def lock(self, managers):
        """The key without which none of these managers starts any more."""
        key = KEY.search(managers[0].out("swarm", "update", "--autolock")).group(0)
        self.wait_locked(managers)
        return key

    def wait_locked(self, managers):
        for agent in managers:
            path = f"{agent.root}/var/lib/skep/local.key"
            eventually("every manager is locked by the key", lambda path=path: not os.path.exists(path))
