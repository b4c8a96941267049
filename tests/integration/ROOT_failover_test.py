"""Managers die, hang, are cut off and restarted: what was acknowledged stays, and changes go on."""
import signal
import time

from lab import eventually, main
from netlab import ManagersTest


class Failover(ManagersTest):
    def three(self):
        managers = self.managers(3)
        self.remember_ids(managers)
        managers[0].ctl("service", "create", "--name", "counter", "--replicas", "0", "-d", "web:1")
        self.count = 0
        return managers

    def change(self, agent, seconds=20):
        """One change that is acknowledged, asked of that agent; how long it took."""
        self.count += 1
        since = time.monotonic()
        eventually("a change is taken", lambda: agent.ctl(
            "service", "update", "--label-add", f"n{self.count}=yes", "-d", "counter", check=False).returncode == 0, seconds)
        return time.monotonic() - since

    def check_all_changes(self, agents):
        for agent in agents:
            labels = agent.out("service", "inspect", "--format", "{{json .Spec.Labels}}", "counter")
            for number in range(1, self.count + 1):
                self.assertIn(f'"n{number}"', labels, f"change {number} was acknowledged and is lost")

    def test_leaders_are_killed_one_after_another(self):
        managers = self.three()
        took = []
        for _ in range(20):
            self.change(managers[0])
            leader, others = self.leader(managers)
            leader.kill()
            took.append(self.change(others[0]))
            leader.start()
            self.wait_managers(others[1], 3)
        print("leader killed, seconds until a change was taken:", " ".join(f"{t:.2f}" for t in sorted(took)))
        self.check_all_changes(managers)

    def test_a_rolling_restart_loses_nothing_and_refuses_little(self):
        managers = self.three()
        for agent in managers:
            others = [a for a in managers if a is not agent]
            agent.stop()
            self.assertLess(self.change(others[0]), 5)
            agent.start()
            self.change(agent)
            self.wait_managers(agent, 3)
        self.check_all_changes(managers)
        self.assertNotIn("is down", "".join(agent.log() for agent in managers), "nobody was given up")

    def test_a_leader_that_hangs_is_replaced(self):
        managers = self.three()
        worker = self.worker(managers[0])
        worker.known_id = worker.node_id()
        self.wait_ready(managers[0], 4)
        leader, others = self.leader(managers)
        leader.process.send_signal(signal.SIGSTOP)
        try:
            print(f"leader hangs: a change was taken after {self.change(others[0]):.2f} s")
            eventually("the hung node is down", lambda: self.nodes(others[0])[leader.known_id]["status"] == "Down", 60)
            self.assertEqual(self.nodes(others[0])[worker.known_id]["status"], "Ready")
            self.assertEqual(self.nodes(others[0])[others[1].known_id]["status"], "Ready")
        finally:
            leader.process.send_signal(signal.SIGCONT)
        self.wait_managers(others[0], 3)
        self.wait_ready(others[0], 4)
        self.change(leader)
        self.check_all_changes(managers)

    def test_a_leader_that_is_cut_off_answers_nothing_it_cannot_know(self):
        managers = self.three()
        leader, others = self.leader(managers)
        self.net.cut(leader.host)
        self.change(others[0])
        for command in (("service", "ls"), ("service", "update", "--label-add", "lost=yes", "-d", "counter")):
            refused = leader.ctl(*command, check=False, timeout=60)
            self.assertNotEqual(refused.returncode, 0, "it was told nothing of the change")
        self.net.join(leader.host)
        self.wait_managers(others[0], 3)
        self.change(leader)
        self.check_all_changes(managers)
        self.assertNotIn("lost", leader.out("service", "inspect", "--format", "{{json .Spec.Labels}}", "counter"))

    def test_all_are_killed_and_come_back(self):
        managers = self.three()
        self.change(managers[1])
        for agent in managers:
            agent.kill()
        for agent in managers:
            agent.start()
        self.wait_managers(managers[2], 3)
        self.wait_ready(managers[2], 3)
        self.change(managers[0])
        self.check_all_changes(managers)

    def test_a_new_manager_gets_the_state_that_the_log_no_longer_holds(self):
        config = "[plugin.raft]\nsnapshot_entries = 20\ntrailing_entries = 5\n"
        first = self.first_manager(config)
        filler = "x" * 100_000
        for number in range(40):
            first.ctl("service", "create", "--name", f"s{number}", "--replicas", "0", "-d", "--label", f"filler={filler}", "web:1")
        self.wait_compacted(first, 20)
        others = [self.machine(config), self.machine(config)]
        for agent in others:
            self.join(agent, first, "manager")
        agents = [first, *others]
        self.remember_ids(agents)
        self.wait_managers(first, 3)
        fetched = [agent for agent in others if "the state is fetched from another manager" in agent.log()]
        self.assertEqual(len(fetched), 2, "the log alone could not have told them")
        first.kill()  # what they know they know by themselves
        names = eventually("another leads", lambda: others[0].ctl("service", "ls", "--format", "{{.Name}}").stdout.split(), 20)
        self.assertEqual(sorted(names), sorted(f"s{number}" for number in range(40)))
        first.start()
        self.wait_managers(others[1], 3)


if __name__ == "__main__":
    main()
