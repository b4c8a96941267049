"""What a swarm of managers survives: a large state over a bad link, and the loss of most of its machines."""
import os
import time
from concurrent.futures import ThreadPoolExecutor

from lab import eventually, main
from netlab import ManagersTest


class LargeState(ManagersTest):
    def test_a_large_state_reaches_a_new_manager_over_a_link_with_loss(self):
        """Of the size that the project promises; SKEP_STATE_MIB is another."""
        size = int(os.environ.get("SKEP_STATE_MIB", "256")) << 20
        config = "[plugin.raft]\nsnapshot_entries = 20\ntrailing_entries = 5\n"
        first = self.first_manager(config)
        filler = "x" * 120_000
        count = size // len(filler) + 1
        since = time.monotonic()
        with ThreadPoolExecutor(8) as people:
            list(people.map(lambda number: first.ctl("service", "create", "--name", f"s{number}", "--replicas", "0", "-d",
                                                     "--label", f"filler={number}{filler}", "web:1"), range(count)))
        print(f"{count} services created in {time.monotonic() - since:.1f} s")
        self.check_lists(first, count)
        self.wait_compacted(first, count // 2)
        agent = self.machine(config)
        self.net.lose(agent.host, 1)
        since = time.monotonic()
        self.join(agent, first, "manager")
        self.remember_ids([first, agent])
        self.wait_managers(first, 2, seconds=600)
        eventually("it has everything", lambda: self.applied(agent) == self.applied(first), 600)
        print(f"{size >> 20} MiB over a link that loses 2 % of the frames: {time.monotonic() - since:.1f} s")
        self.assertIn("the state is fetched from another manager", agent.log())
        self.check_same_state([first, agent])
        # It leads with it.
        first.ctl("node", "demote", "self")
        eventually("it leads", lambda: self.manager_words(agent)[agent.known_id] == "Leader", 60)
        self.check_lists(agent, count)
        for number in (0, count // 2, count - 1):
            label = agent.out("service", "inspect", "--format", "{{.Spec.Labels.filler}}", f"s{number}")
            self.assertEqual(label, f"{number}{filler}")

    def check_lists(self, agent, count):
        """Far more than one message of the bus holds, with all the specifications."""
        names = sorted(f"s{number}" for number in range(count))
        self.assertEqual(sorted(agent.out("service", "ls", "--format", "{{.Name}}").split()), names)
        ids = agent.out("service", "ls", "-q").split()
        self.assertEqual((len(ids), len(set(ids))), (count, count))


class ManyLosses(ManagersTest):
    def test_five_nodes_survive_the_loss_of_three_as_long_as_two_managers_live(self):
        managers = self.managers(3)
        workers = [self.worker(managers[0]), self.worker(managers[0])]
        self.remember_ids(managers + workers)
        self.wait_ready(managers[0], 5)
        for agent in managers + workers:
            self.web_image(agent)
        managers[0].ctl("service", "create", "--name", "web", "--replicas", "5", "--no-healthcheck", "-d", "web:1")
        managers[0].wait_running("web", 5, 90)
        leader, others = self.leader(managers)
        for lost in (workers[0], leader, workers[1]):
            self.net.cut(lost.host)  # the machine is gone, not only its agent
            asked = others[0]
            eventually("it is down", lambda lost=lost: self.nodes(asked)[lost.known_id]["status"] == "Down", 60)
            asked.wait_running("web", 5, 90)
        self.assertEqual(sum(len(agent.containers()) for agent in others), 5, "all run on the two that are left")
        for lost in (workers[0], leader, workers[1]):
            self.net.join(lost.host)
        self.wait_ready(others[0], 5)
        self.wait_managers(others[0], 3)
        eventually("what ran twice is stopped", lambda: sum(
            len(agent.containers()) for agent in managers + workers) == 5, 90)


if __name__ == "__main__":
    main()
