"""Several managers: they agree, survive each other's loss, come and go (walkthroughs W2, W5, W10)."""
import os
import re
import time

from lab import eventually, main, run
from netlab import ManagersTest


class Survival(ManagersTest):
    def test_three_managers_and_two_workers_survive_what_happens_to_them(self):
        managers = self.managers(3)
        workers = [self.worker(managers[0]), self.worker(managers[1])]
        everybody = managers + workers
        self.remember_ids(everybody)
        self.wait_ready(managers[0], 5)
        for asked in managers:  # every manager shows the same, and which of them is asked
            self.assertEqual(sorted(self.manager_words(asked).values()), ["", "", "Leader", "Reachable", "Reachable"])
            self.assertIn(f"{asked.known_id} *", asked.out("node", "ls"))
        for agent in everybody:
            self.web_image(agent)
        managers[2].ctl("service", "create", "--name", "web", "--replicas", "5", "--no-healthcheck", "-d", "web:1")
        managers[1].wait_running("web", 5, 90)
        containers = [agent.containers() for agent in everybody]
        self.assertEqual([len(c) for c in containers], [1] * 5)

        # The leader dies: another leads at once, and changes go on.
        leader, others = self.leader(managers)
        leader.kill()
        since = time.monotonic()
        eventually("a change is taken again", lambda: others[0].ctl(
            "service", "update", "--label-add", "after=leader", "-d", "web", check=False).returncode == 0, 20)
        print(f"leader killed: the next change was taken after {time.monotonic() - since:.2f} s")
        self.wait_managers(others[0], 2, unreachable=1)
        leader.start()
        self.wait_managers(others[1], 3)
        self.wait_ready(others[1], 5)
        others[1].wait_running("web", 5)
        self.assertEqual([agent.containers() for agent in everybody], containers, "no task was touched")

        # A follower dies: nobody stands for election.
        leader, others = self.leader(managers)
        before = self.elections(managers)
        others[0].kill()
        leader.ctl("service", "update", "--label-add", "after=follower", "-d", "web")
        others[0].start()  # its node is given up 3 s after its session closed
        self.wait_managers(leader, 3)
        self.wait_ready(leader, 5)
        self.assertEqual(self.elections(managers), before, "losing a follower causes no election")
        self.assertEqual([agent.containers() for agent in everybody], containers, "no task was touched")

        # A worker is cut off for a moment: nothing happens.
        lost = workers[0]
        self.net.cut(lost.host)
        time.sleep(2)  # shorter than any limit: this is about what does not happen
        self.net.join(lost.host)
        self.wait_ready(leader, 5)
        self.assertEqual([agent.containers() for agent in everybody], containers, "back in time")
        # For long: its task runs elsewhere, and what ran twice ends when it is back.
        self.net.cut(lost.host)
        eventually("the node is down", lambda: self.nodes(leader)[lost.known_id]["status"] == "Down", 40)
        eventually("its task runs elsewhere", lambda: sum(
            len(agent.containers()) for agent in everybody if agent is not lost) == 5, 60)
        self.assertEqual(lost.containers(), containers[3], "a node that is cut off keeps its task")
        self.net.join(lost.host)
        self.wait_ready(leader, 5)
        eventually("what ran twice is stopped", lambda: not lost.containers(), 60)
        leader.wait_running("web", 5)

    def test_without_a_majority_commands_say_so_and_tasks_run_on(self):
        managers = self.managers(3)
        worker = self.worker(managers[0])
        self.remember_ids([*managers, worker])
        self.wait_ready(managers[0], 4)
        for agent in [*managers, worker]:
            self.web_image(agent)
        managers[0].ctl("service", "create", "--name", "web", "--replicas", "4", "--no-healthcheck", "-d", "web:1")
        managers[0].wait_running("web", 4, 90)
        containers = worker.containers()
        leader, others = self.leader(managers)
        leader.kill()
        eventually("another leads", lambda: self.leader(others), 20)
        second, last = self.leader(others)
        second.kill()
        last = last[0]
        failed = last.ctl("service", "ls", check=False, timeout=60)
        self.assertNotEqual(failed.returncode, 0)
        # It says why, and so do info and doctor: whom it does not reach, and the way out.
        self.assertIn("the swarm has no leader now: 2 of 3 votes are needed, and this manager reaches 1, its own",
                      failed.stderr)
        for words in (failed.stderr, last.out("info")):
            for lost in (leader, second):
                self.assertRegex(words, rf"'[^']+' at {re.escape(lost.address)} since \d{{4}}-\d\d-\d\d ")
            self.assertIn("'agentctl swarm init --force-new-cluster'", words)
        doctor = last.ctl("doctor", check=False)
        self.assertEqual(doctor.returncode, 1)
        self.assertRegex(doctor.stdout, r"(?m)^bad +swarm +the swarm has no leader now: 2 of 3 votes are needed")
        self.assertEqual(len(last.containers()), 1, "tasks keep running")
        self.assertEqual(worker.containers(), containers)
        second.start()
        eventually("commands work again", lambda: last.ctl("service", "ls", check=False).returncode == 0, 30)
        leader.start()
        self.wait_managers(last, 3)
        for agent in managers:
            self.assertNotIn("no leader", agent.out("info"))
            self.assertRegex(agent.ctl("doctor", check=False).stdout, r"(?m)^ok +swarm +active")
        self.wait_ready(last, 4)
        last.wait_running("web", 4)
        self.assertEqual(worker.containers(), containers, "the worker's task was never touched")


class Roles(ManagersTest):
    def test_a_manager_that_the_others_do_not_reach_is_not_taken_in(self):
        first, second, third = self.first_manager(), self.machine(), self.machine()
        token = first.out("swarm", "join-token", "-q", "manager")
        # A wrong address: nobody has it, or another node.
        anywhere = ("--listen-addr", "0.0.0.0", "--advertise-addr")
        self.refused(second, 9, "do not reach node", "swarm", "join", "--token", token, *anywhere,
                     f"{self.net.prefix}.77", first.address)
        self.assertRegex(second.ctl("info").stderr,
                         rf"is none yet.* at {re.escape(self.net.prefix)}\.77:2377 .*--advertise-addr")
        self.refused(third, 9, "answers there", "swarm", "join", "--token", token, *anywhere, self.net.ip(first.host),
                     first.address)
        self.assertEqual(self.voters(first), 1)
        self.assertRegex(first.ctl("doctor", check=False).stdout, r"(?m)^ok +swarm +active")
        for agent in (second, third):
            agent.ctl("swarm", "leave", "--force")
        # A firewall; the node goes on trying.
        self.join(second, first, "worker")
        self.remember_ids([first, second])
        inside = self.net.enter(second.host)
        run(*inside, "nft", "-f", "-", stdin="""table inet fw {
          chain in { type filter hook input priority 0; policy accept; tcp dport 2377 drop; }
        }""")
        first.ctl("node", "promote", second.known_id)
        eventually("it says so", lambda: f" at {second.address} " in second.ctl("info").stderr, 40)
        self.assertEqual(self.voters(first), 1)
        self.assertNotIn("two managers", first.ctl("info").stderr, "a role is no vote")
        run(*inside, "nft", "delete", "table", "inet", "fw")
        self.wait_managers(first, 2)
        self.assertNotIn("none yet", second.ctl("info").stderr)

    def test_nodes_are_promoted_demoted_and_removed(self):
        first = self.first_manager()
        second, third = self.worker(first), self.worker(first)
        agents = [first, second, third]
        self.remember_ids(agents)
        self.wait_ready(first, 3)
        hint = "worker nodes can't be used to view or modify cluster state"
        for command in (("node", "ls"), ("service", "ls"), ("node", "promote", "self"),
                        ("swarm", "join-token", "worker")):
            self.refused(second, 5, hint, *command)
        self.assertEqual(first.out("node", "promote", second.known_id),
                         f"Node {second.known_id} promoted to a manager in the swarm.")
        self.assertEqual(first.out("node", "promote", second.known_id), f"Node {second.known_id} is already a manager.")
        self.wait_managers(first, 2)
        self.assertIn("two managers", first.ctl("info").stderr)
        eventually("it says the same", lambda: "two managers" in second.ctl("info").stderr)
        # Demoting one of two goes through, with the vote of the one that goes.
        self.assertEqual(first.out("node", "demote", second.known_id), f"Manager {second.known_id} demoted in the swarm.")
        self.assertEqual(first.out("node", "demote", second.known_id), f"Node {second.known_id} is already a worker.")
        eventually("it is a worker", lambda: hint in second.ctl("node", "ls", check=False).stderr, 30)
        self.wait_no_manager_files(second)
        self.assertNotIn("two managers", first.ctl("info").stderr)
        self.refused(first, 5, "last manager", "node", "demote", first.known_id)
        # Three of them; the leader is demoted: another leads first.
        first.ctl("node", "promote", second.known_id, third.known_id)
        self.wait_managers(first, 3)
        leader, others = self.leader(agents)
        leader.ctl("node", "demote", leader.known_id)
        self.wait_managers(others[0], 2)
        eventually("it is a worker", lambda: hint in leader.ctl("node", "ls", check=False).stderr, 30)
        self.wait_no_manager_files(leader)
        self.wait_ready(others[0], 3)
        others[0].ctl("node", "promote", leader.known_id)
        self.wait_managers(others[0], 3)
        # A manager is not removed, a ready worker only by force, and then it is refused.
        self.refused(others[0], 5, "must be demoted", "node", "rm", "--force", leader.known_id)
        others[0].ctl("node", "demote", leader.known_id)
        eventually("it is a worker", lambda: hint in leader.ctl("node", "ls", check=False).stderr, 30)
        self.refused(others[0], 5, "not down", "node", "rm", leader.known_id)
        self.assertEqual(others[0].out("node", "rm", "--force", leader.known_id), leader.known_id)
        self.assertNotIn(leader.known_id, self.nodes(others[0]))
        eventually("it is told", lambda: "removed from the swarm" in leader.out("info"), 30)
        leader.stop()
        leader.start()
        eventually("it is told again", lambda: "removed from the swarm" in leader.out("info"), 30)
        others[1].stop()
        others[1].start()  # who was removed is on disk
        self.wait_managers(others[0], 2)
        eventually("it is told by that one too", lambda: "removed from the swarm" in leader.out("info"), 30)
        leader.ctl("swarm", "leave")
        self.join(leader, others[0], "manager")
        self.wait_managers(others[1], 3)

    def test_leaving_managers(self):
        managers = self.managers(3)
        self.remember_ids(managers)
        leader, others = self.leader(managers)
        self.refused(leader, 5, ("participating as a manager", "--force"), "swarm", "leave")
        leader.ctl("swarm", "leave", "--force")  # hands over, leaves the log, and goes
        self.wait_managers(others[0], 2)
        eventually("it is down", lambda: self.nodes(others[0])[leader.known_id]["status"] == "Down", 20)
        self.assertEqual(others[0].out("node", "rm", leader.known_id), leader.known_id)
        self.refused(others[0], 5, "leaves 1 managers out of 2", "swarm", "leave")
        others[0].ctl("swarm", "leave", "--force")
        last = others[1]
        self.wait_managers(last, 1)
        self.refused(last, 5, "erases all current state", "swarm", "leave")
        self.join(leader, last, "manager")
        self.wait_managers(last, 2)

    def test_a_manager_that_was_removed_while_it_was_off_learns_it_from_a_majority(self):
        managers = self.managers(3)
        self.remember_ids(managers)
        self.wait_ready(managers[0], 3)
        leader, (removed, other) = self.leader(managers)
        removed.stop()
        leader.ctl("node", "demote", removed.known_id)
        self.wait_managers(leader, 2)
        eventually("it is removed", lambda: leader.ctl(
            "node", "rm", "--force", removed.known_id, check=False).returncode == 0, 60)
        self.wait_managers(other, 2)
        # One manager says so: it is not believed.
        other.stop()
        removed.start()
        one = f"manager '{leader.known_id}' refuses this manager as removed"
        eventually("one says it", lambda: one in removed.out("info"), 30)
        time.sleep(8)  # several rounds of being refused: about what does not happen
        info = removed.out("info")
        self.assertIn(one, info)
        self.assertIn("Is Manager: true", info)
        self.assertTrue(self.manager_files(removed), "it is a manager still, by its own log")
        # Two of the three that its log knows are a majority.
        other.start()
        eventually("it knows", lambda: "Is Manager: false" in removed.out("info"), 60)
        eventually("it says the way out", lambda: "removed from the swarm: 'agentctl swarm leave' there, then join again"
                   in removed.out("info"), 30)
        self.assertNotIn("majority", removed.out("info"))
        self.wait_no_manager_files(removed)
        self.refused(removed, 5, "worker nodes can't be used to view or modify cluster state", "node", "ls")
        removed.stop()
        removed.start()
        eventually("it is told again", lambda: "then join again" in removed.out("info"), 30)
        removed.ctl("swarm", "leave", "--force")
        self.join(removed, leader, "manager")
        self.wait_managers(other, 3)

    def test_a_manager_that_lost_its_certificate_makes_itself_a_new_one(self):
        managers = self.managers(3)
        self.remember_ids(managers)
        _, others = self.leader(managers)
        agent = others[0]
        agent.stop()
        for name in ("node.crt", "node.key", "root-ca.crt"):
            os.remove(f"{agent.root}/var/lib/skep/{name}")
        agent.start()
        self.wait_managers(others[1], 3)
        self.wait_ready(agent, 3)
        self.assertEqual(agent.node_id(), agent.known_id)


class Joining(ManagersTest):
    def join_refused(self, agent, says, token, address):
        self.refused(agent, None, says, "swarm", "join", "--token", token, address)
        self.assertIn("Swarm: inactive", agent.out("info"))

    def test_what_keeps_a_machine_from_being_a_manager(self):
        manager = self.first_manager()
        worker = self.worker(manager)
        joiner = self.machine()
        token = manager.out("swarm", "join-token", "-q", "manager")
        self.assertNotEqual(token, manager.out("swarm", "join-token", "-q", "worker"))
        self.join_refused(joiner, "is cut off", token[:-1], manager.address)
        self.join_refused(joiner, ("no manager could be reached", "give the address of a manager"), token, worker.address)
        self.assertIn("Successfully rotated manager join token.",
                      manager.out("swarm", "join-token", "--rotate", "manager"))
        self.join_refused(joiner, "not valid", token, manager.address)
        for seconds in (-7200, 200 * 86400):
            other = self.machine(wrap=self.other_clock(seconds))
            fresh = manager.out("swarm", "join-token", "-q", "manager")
            error = self.refused(other, None, "set the clocks", "swarm", "join", "--token", fresh, manager.address)
            told = [int(word) for word in error.replace(",", " ").replace(":", " ").split() if word.lstrip("-").isdigit()]
            self.assertTrue([n for n in told if abs(abs(n) - abs(seconds)) < 30], f"{seconds} s off: {error}")
        # Without a port, and with the name of an interface.
        fresh = manager.out("swarm", "join-token", "-q", "manager")
        joiner.ctl("swarm", "join", "--token", fresh, "--advertise-addr", "eth0", self.net.ip(manager.host))
        self.wait_managers(manager, 2)
        self.assertEqual(joiner.out("node", "inspect", "self", "--format", "{{.ManagerStatus.Addr}}"), joiner.address)


class Maintenance(ManagersTest):
    def pair_at_work(self, config=""):
        """A manager and a worker with that configuration, two tasks of `web` on each."""
        manager = self.first_manager()
        worker = self.worker(manager, config)
        self.remember_ids([manager, worker])
        self.wait_ready(manager, 2)
        for agent in (manager, worker):
            self.web_image(agent)
        manager.ctl("service", "create", "--name", "web", "--replicas", "4", "--no-healthcheck", "-d", "web:1")
        manager.wait_running("web", 4, 90)
        self.assertEqual(len(worker.containers()), 2)
        return manager, worker

    def test_a_stopped_node_hands_its_tasks_over(self):
        manager, worker = self.pair_at_work()
        # Paused it keeps what it has, drained it keeps nothing, active again it only takes new tasks.
        manager.ctl("node", "update", "--availability", "pause", worker.known_id)
        manager.ctl("service", "scale", "-d", "web=6")
        manager.wait_running("web", 6, 60)
        self.assertEqual(len(worker.containers()), 2)
        manager.ctl("node", "update", "--availability", "drain", worker.known_id)
        eventually("it has none left", lambda: not worker.containers(), 60)
        manager.wait_running("web", 6, 60)
        manager.ctl("node", "update", "--availability", "active", worker.known_id)
        manager.ctl("service", "scale", "-d", "web=8")
        manager.wait_running("web", 8, 60)
        self.assertEqual(len(worker.containers()), 2)
        self.assertIn(manager.address, manager.out("node", "inspect", "--pretty", "self"))
        self.assertEqual(len(manager.out("node", "ps", "-q", "-f", "desired-state=running", worker.known_id).split()), 2)
        # SIGTERM: it will be back, nothing moves.
        before = worker.containers()
        worker.stop()
        time.sleep(5)  # longer than the 3 s after which a node whose connection closed is given up
        self.assertEqual(self.nodes(manager)[worker.known_id]["status"], "Ready")
        worker.start()
        self.wait_ready(manager, 2)
        self.assertEqual(worker.containers(), before)
        # node stop: it hands over first.
        worker.ctl("node", "stop", timeout=120)
        worker.process.wait(20)
        manager.wait_running("web", 8, 60)
        self.assertEqual(len(manager.containers()), 8)
        self.assertEqual(self.nodes(manager)[worker.known_id]["status"], "Down")
        worker.start()
        self.wait_ready(manager, 2)
        manager.ctl("service", "scale", "-d", "web=10")
        manager.wait_running("web", 10, 60)
        self.assertEqual(len(worker.containers()), 2, "it takes tasks again")

    def test_on_stop_drain_hands_the_tasks_over_at_sigterm(self):
        manager, worker = self.pair_at_work('on_stop = "drain"\n')
        handed = list(worker.containers().values())
        worker.process.terminate()
        self.assertEqual(worker.process.wait(60), 0)
        self.assertFalse([pid for pid in handed if os.path.exists(f"/proc/{pid}")], "they ended before the agent")
        self.assertEqual(self.nodes(manager)[worker.known_id]["status"], "Down", "nobody waits for it")
        manager.wait_running("web", 4, 60)
        self.assertEqual(len(manager.containers()), 4)

        # Where nobody can take its tasks over it waits, and does not when it is asked again.
        worker.start()
        self.wait_ready(manager, 2)
        manager.ctl("service", "scale", "-d", "web=6")
        manager.wait_running("web", 6, 60)
        kept = worker.containers()
        self.assertEqual(len(kept), 2, "it takes tasks again")
        self.net.cut(worker.host)
        said = "agentd hands its tasks over"
        self.assertEqual(worker.log().count(said), 1)
        worker.process.terminate()
        eventually("it begins to", lambda: worker.log().count(said) == 2)
        time.sleep(2)  # about what does not happen: it ends within a second when it does not wait
        self.assertIsNone(worker.process.poll())
        self.assertEqual(worker.containers(), kept)
        worker.process.terminate()
        self.assertEqual(worker.process.wait(20), 0)
        self.assertTrue(all(os.path.exists(f"/proc/{pid}") for pid in kept.values()), "they keep running")
        self.net.join(worker.host)
        worker.start()
        self.wait_ready(manager, 2)
        manager.wait_running("web", 6, 60)

    def test_on_stop_drain_of_a_manager_that_leads_hands_everything_over(self):
        agents = [self.machine('on_stop = "drain"\n') for _ in range(3)]
        agents[0].ctl("swarm", "init", "--advertise-addr", self.net.ip(agents[0].host))
        for agent in agents[1:]:
            self.join(agent, agents[0], "manager")
        self.wait_managers(agents[0], 3)
        self.remember_ids(agents)
        for agent in agents:
            self.web_image(agent)
        agents[0].ctl("service", "create", "--name", "web", "--replicas", "3", "--no-healthcheck", "-d", "web:1")
        agents[0].wait_running("web", 3, 90)
        leader, others = self.leader(agents)
        leader.process.terminate()
        self.assertEqual(leader.process.wait(60), 0)
        self.wait_managers(others[0], 2, unreachable=1)
        self.assertEqual(self.nodes(others[0])[leader.known_id]["status"], "Down")
        others[0].wait_running("web", 3, 60)
        self.assertEqual(sum(len(agent.containers()) for agent in others), 3)


if __name__ == "__main__":
    main()
