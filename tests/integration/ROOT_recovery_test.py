"""A swarm comes back: from one manager of many, from a backup file, from copied files (walkthrough W11)."""
import os

from lab import SkepTest, eventually, main, run
from netlab import ManagersTest
from recovery import WRONG_KEY, RecoveryTest, force, unlock


class Quorum(RecoveryTest):
    def three_and_a_worker(self):
        """([the three managers], a worker), with a service of four tasks."""
        managers = self.managers(3)
        worker = self.worker(managers[0])
        self.remember_ids([*managers, worker])
        self.wait_ready(managers[0], 4)
        self.serve([*managers, worker], 4)
        return managers, worker

    def test_two_of_three_lost(self):
        managers, worker = self.three_and_a_worker()
        refused = self.refused(managers[1], None, "the swarm has a leader", "swarm", "init", "--force-new-cluster")
        self.assertIn("node demote", refused)
        self.refused(worker, None, "is a worker", "swarm", "init", "--force-new-cluster")
        last = managers[2]
        kept, kept_worker = last.containers(), worker.containers()
        for lost in managers[:2]:
            lost.kill()
        eventually("nobody leads", lambda: last.ctl("service", "ls", check=False).returncode != 0)
        said = force(last)
        self.assertIn(f"current node ({last.known_id}) is now a manager", said)
        self.assertEqual(self.manager_words(last)[last.known_id], "Leader")
        self.assertEqual(last.containers(), kept, "tasks of this node go on")
        self.assertEqual(last.out("service", "ls", "--format", "{{.Name}}"), "web")
        self.wait_roles(last, [last], [worker])
        eventually("what the lost nodes ran runs elsewhere",
                   lambda: len(last.containers()) + len(worker.containers()) == 4, 60)
        for container in [*kept.items(), *kept_worker.items()]:
            self.assertIn(container, [*last.containers().items(), *worker.containers().items()], "nothing restarted")

        leads = self.elections([last])
        # The lost ones return with the log of old and a quorum of it: workers, by themselves.
        for lost in managers[:2]:
            lost.start()
        self.wait_roles(last, [last], [worker, *managers[:2]])
        eventually("what ran twice is stopped", lambda: sum(len(a.containers()) for a in [*managers, worker]) == 4, 60)
        last.wait_running("web", 4)
        self.assertEqual(self.elections([last]), leads, "it leads undisturbed")
        # Three managers again.
        last.ctl("node", "promote", *[lost.known_id for lost in managers[:2]])
        self.wait_managers(last, 3, seconds=60)
        managers[0].ctl("service", "update", "--label-add", "again=three", "-d", "web")
        last.kill()
        eventually("another leads", lambda: self.leader(managers[:2]), 20)
        managers[1].wait_running("web", 4)
        last.start()
        self.wait_managers(managers[0], 3)

    def restart_locked(self, agents, key):
        """They start, and do nothing for the swarm before they have the key."""
        for agent in agents:
            agent.start()
            self.refused(agent, None, "needs to be unlocked", "swarm", "init", "--force-new-cluster")
            agent.ctl("swarm", "unlock", stdin=key + "\n")

    def five(self):
        """Five managers with a service of five tasks."""
        managers = self.managers(5)
        self.remember_ids(managers)
        self.wait_ready(managers[0], 5)
        self.serve(managers, 5)
        return managers

    def test_four_and_then_three_of_five_lost(self):
        managers = self.five()
        last, others = managers[4], managers[:4]
        kept = last.containers()
        for lost in others:
            lost.kill()
        force(last)
        self.assertEqual(last.containers(), kept)
        self.return_and_promote(last, others)
        self.lose_three(managers)

    def test_four_and_then_three_of_five_locked_managers_lost(self):
        managers = self.five()
        key = self.lock(managers)
        last, others = managers[4], managers[:4]
        kept = last.containers()
        for agent in managers:
            agent.kill()
        self.restart_locked([last], key)
        force(last)  # while the manager that was just unlocked is starting
        self.assertIn("Swarm: active", last.out("info"))
        eventually("its tasks went on, and it knows them again", lambda: last.containers() == kept)
        self.return_and_promote(last, others, key)
        # Those that were workers meanwhile are locked by the same key again.
        self.wait_locked(managers)
        self.lose_three(managers)
        managers[0].kill()
        managers[0].start()
        unlock(managers[0], key)
        managers[0].wait_running("web", 5)

    def return_and_promote(self, last, others, key=None):
        """The lost ones come back as workers, and are made managers again."""
        last.ctl("service", "create", "--name", "after", "--mode", "global", "--no-healthcheck", "-d", "web:1")
        if key:
            self.restart_locked(others, key)
        else:
            for lost in others:
                lost.start(wait=False)
        self.wait_roles(last, [last], others, 90)
        last.wait_running("after", 5, 90)
        last.wait_running("web", 5, 90)
        last.ctl("node", "promote", *[a.known_id for a in others])
        self.wait_managers(last, 5, seconds=90)

    def lose_three(self, managers):
        """One of the two that are left goes on, the other one follows it without a restart."""
        first, second = managers[0], managers[1]
        kept = [first.containers(), second.containers()]
        for lost in managers[2:]:
            lost.kill()
        force(first)
        self.wait_roles(first, [first], [second])
        for agent, containers in zip((first, second), kept):
            for container in containers.items():
                self.assertIn(container, agent.containers().items())
        self.assertEqual(sorted(first.out("service", "ls", "--format", "{{.Name}}").split()), ["after", "web"])
        first.wait_running("web", 5, 90)

    def test_locked_managers_and_an_agent_that_is_stopped(self):
        managers, worker = self.three_and_a_worker()
        key = self.lock(managers)
        last, others = managers[2], managers[:2]
        file = f"{self.directory}/locked.backup"
        last.ctl("backup", "create", file)
        kept = last.containers()
        for agent in managers:
            agent.kill()
        said = last.out("swarm", "init", "--force-new-cluster")
        self.assertIn("as soon as agentd is started and unlocked", said)
        last.start()
        self.refused(last, None, "needs to be unlocked", "swarm", "init", "--force-new-cluster")
        self.refused(last, None, "needs to be unlocked", "backup", "create", f"{file}2")
        unlock(last, key)
        self.wait_roles(last, [last], [worker])
        self.assertEqual(last.out("service", "ls", "--format", "{{.Name}}"), "web")
        for container in kept.items():
            self.assertIn(container, last.containers().items(), "nothing restarted")
        # The lock is as it was, for this manager and for those that return.
        last.kill()
        last.start()
        unlock(last, key)
        for lost in others:
            lost.start()
            lost.ctl("swarm", "unlock", stdin=key + "\n")
        self.wait_roles(last, [last], [worker, *others], 90)
        last.wait_running("web", 4, 90)

        # Its machine is lost as well; the backup of the locked swarm needs the key.
        self.assertIn("locked: to be verified", last.out("backup", "inspect", file))
        self.refused(last, None, "'--unlock' asks for", "backup", "verify", file)
        self.assertIn("The backup is good", last.out("backup", "verify", "--unlock", file, stdin=key))
        last.kill()
        last.lose_machine()
        self.refused(last, None, "'--unlock' asks for", "backup", "restore", file)
        self.refused(last, None, "invalid key", "backup", "restore", "--unlock", file, stdin=WRONG_KEY)
        self.assertIn("started and unlocked", last.out("backup", "restore", "--unlock", file, stdin=key))
        last.start()
        unlock(last, key)
        self.wait_roles(last, [last], [worker, *others], 90)
        last.wait_running("web", 4, 90)


class BackupFiles(ManagersTest):
    def test_a_manager_that_is_gone_comes_back_from_its_backup(self):
        manager = self.first_manager()
        worker = self.worker(manager)
        self.remember_ids([manager, worker])
        self.wait_ready(manager, 2)
        manager.ctl("node", "update", "--availability", "drain", manager.known_id)
        self.web_image(worker)
        manager.ctl("service", "create", "--name", "web", "--replicas", "2", "--no-healthcheck", "-d", "web:1")
        manager.wait_running("web", 2, 90)
        kept = worker.containers()
        file = f"{self.directory}/swarm.backup"
        said = manager.out("backup", "create", file)
        self.assertIn("root key", said)
        self.assertEqual(os.stat(file).st_mode & 0o777, 0o600)
        self.refused(manager, None, "is there already", "backup", "create", file)
        self.refused(worker, None, "not a swarm manager", "backup", "create", f"{file}2")
        self.assertFalse(os.path.exists(f"{file}2") or os.path.exists(f"{file}2.part"))
        inspected = manager.out("backup", "inspect", file)
        for words in (manager.known_id, "2 nodes", "1 service", "2 tasks", "1 cluster"):
            self.assertIn(words, inspected)
        self.assertIn("The backup is good", manager.out("backup", "verify", file))
        self.refused(manager, None, "another agentd", "backup", "restore", file)
        self.check_bad_files(manager, file)

        # The machine is lost, with all its files; a new one takes its place.
        manager.ctl("service", "create", "--name", "late", "--replicas", "0", "-d", "web:1")
        manager.kill()
        self.refused(manager, None, "belongs to swarm", "backup", "restore", file)
        manager.lose_machine()
        self.assertIn("is its one manager", manager.out("backup", "restore", file))
        manager.start()
        self.wait_ready(manager, 2, 60)
        self.assertEqual(manager.node_id(), manager.known_id)
        self.assertEqual(manager.out("service", "ls", "--format", "{{.Name}}"), "web", "as of the backup")
        self.assertEqual(worker.containers(), kept, "tasks go on")
        manager.wait_running("web", 2)
        manager.ctl("service", "scale", "-d", "web=3")
        manager.wait_running("web", 3)
        joined = self.worker(manager)
        self.wait_ready(manager, 3)
        joined.ctl("swarm", "leave")

        # Over what is there, of the same swarm only.
        other = self.machine()
        other.ctl("swarm", "init", "--advertise-addr", self.net.ip(other.host))
        foreign = f"{self.directory}/foreign.backup"
        other.ctl("backup", "create", foreign)
        manager.kill()
        self.refused(manager, None, "is a backup of swarm", "backup", "restore", "--replace", foreign)
        manager.ctl("backup", "restore", "--replace", file)
        manager.start()
        self.wait_ready(manager, 2, 60)
        manager.wait_running("web", 2)

    def check_bad_files(self, agent, file):
        with open(file, "rb") as whole:
            content = whole.read()
        flipped = content[:len(content) // 2] + bytes([content[len(content) // 2] ^ 1]) + content[len(content) // 2 + 1:]
        for name, bad, says in (("cut", content[:-40], "cut off"), ("flipped", flipped, "damaged"),
                                ("text", b"not a backup", "no backup of a swarm"), ("empty", b"", "no backup")):
            path = f"{self.directory}/{name}"
            with open(path, "wb") as out:
                out.write(bad)
            for verb in ("inspect", "verify"):
                self.refused(agent, None, says, "backup", verb, path)
        self.refused(agent, None, "No such file", "backup", "verify", f"{self.directory}/none")


class CopiedFiles(SkepTest):
    def test_copied_files_of_a_stopped_agent_bring_its_swarm_back(self):
        agent = self.swarm()
        self.web_image(agent)
        create = ("service", "create", "-d", "--no-healthcheck", "--restart-delay", "0s", "--name")
        agent.ctl(*create, "web", "web:1")
        agent.wait_running("web", 1)
        before = agent.containers()
        state = f"{agent.root}/var/lib/skep"
        agent.stop()
        parts = [n for n in os.listdir(state) if n != "plugins"] + ["plugins/raft"]
        for part in parts:
            os.makedirs(os.path.dirname(f"{self.directory}/saved/{part}"), exist_ok=True)
            run("cp", "-a", f"{state}/{part}", f"{self.directory}/saved/{part}")
        agent.start()
        agent.ctl(*create, "late", "web:1")
        agent.wait_running("late", 1)
        agent.kill()
        for part in parts:
            run("rm", "-rf", f"{state}/{part}")
            run("cp", "-a", f"{self.directory}/saved/{part}", f"{state}/{part}")
        agent.start()
        agent.wait_running("web", 1)
        self.assertEqual(agent.out("service", "ls", "--format", "{{.Name}}"), "web")
        eventually("what the swarm does not know ends", lambda: agent.containers() == before, 60)
        # As after the loss of others: the same node, a new incarnation, nothing restarted.
        self.assertIn("is now a manager", force(agent))
        self.assertEqual(agent.containers(), before)
        agent.wait_running("web", 1)
        agent.kill()
        # Asked for while agentd is stopped, it is done at the start.
        self.refused(agent, None, "no interface of this node", "swarm", "init", "--force-new-cluster",
                     "--advertise-addr", "nowhere0")
        self.assertIn("as soon as agentd is started.", agent.out("swarm", "init", "--force-new-cluster"))
        agent.start()
        agent.wait_running("web", 1)
        self.assertEqual(agent.containers(), before)
        agent.kill()
        agent.start()
        agent.wait_running("web", 1)
        self.assertEqual(agent.containers(), before)


if __name__ == "__main__":
    main()
