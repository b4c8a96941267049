"""A manager's log or its saved state is gone as a whole. What it acknowledged is never forgotten by a vote of its own,
its tasks run on, and what `info` advises is the way out."""
import os
import shutil

from lab import eventually, main
from recovery import RecoveryTest, force

COMPACTS = "[plugin.raft]\nsnapshot_entries = 20\ntrailing_entries = 5\n"


class LostFiles(RecoveryTest):
    def lose(self, agent, name):
        """What lies there is removed while the agent does not run."""
        shutil.rmtree(f"{agent.root}/var/lib/skep/{name}")

    def trouble(self, agent):
        return agent.out("info", "--format", "{{.Swarm.Error}}")

    def wait_trouble(self, agent, *says):
        eventually("it tells its trouble", lambda: all(words in self.trouble(agent) for words in says))
        self.assertEqual(agent.out("info", "--format", "{{.Swarm.LocalNodeState}}"), "error")
        self.refused(agent, 11, says, "service", "ls")
        doctor = agent.ctl("doctor", check=False)
        for words in says:
            self.assertIn(words, doctor.stdout + doctor.stderr)

    def serve_and_change(self, agent, changes=60):
        """A service of one task, and a log that was compacted since."""
        self.serve([agent], 1)
        for number in range(changes):
            agent.ctl("service", "update", "--label-add", f"number={number}", "-d", "web")
        self.wait_compacted(agent, 20)

    def three(self):
        managers = self.managers(3)
        self.remember_ids(managers)
        self.wait_ready(managers[0], 3)
        self.serve(managers, 3)
        return managers

    def test_the_log_of_one_of_three(self):
        leader, (lost, other) = self.leader(self.three())
        kept = lost.containers()
        self.assertEqual(len(kept), 1)
        lost.kill()
        self.lose(lost, "plugins/raft/log")
        lost.start()
        says = ("is empty though it was made before", "could forget what it acknowledged", "agentctl node demote",
                "agentctl node promote")
        self.wait_trouble(lost, *says)
        self.assertEqual(lost.containers(), kept, "its tasks run on")
        # It is a node like any other; the two that are left go on.
        eventually("it serves as a node", lambda: self.nodes(leader)[lost.known_id]["status"] == "Ready")
        eventually("it is no help as a manager", lambda: self.manager_words(leader)[lost.known_id] == "Unreachable")
        leader.ctl("service", "update", "--label-add", "since=then", "-d", "web")
        # It hears of no leader, and the others are asked before it makes a second swarm.
        refused = self.refused(lost, None, f"manager '{leader.known_id}' at {leader.address} leads this swarm", "swarm",
                               "init", "--force-new-cluster")
        self.assertIn(f"'agentctl node demote {lost.known_id}' and then 'agentctl node promote", refused)
        self.wait_trouble(lost, *says)
        lost.kill()
        lost.start()
        self.wait_trouble(lost, *says)
        self.assertFalse(os.path.exists(f"{lost.root}/var/lib/skep/plugins/raft/log/0000000000000001.wal"))
        # As it advises.
        other.ctl("node", "demote", lost.known_id)
        self.wait_roles(other, [leader, other], [lost])
        eventually("all is well with it", lambda: lost.out("info", "--format", "{{.Swarm.LocalNodeState}}") == "active")
        self.assertEqual(self.trouble(lost), "")
        other.ctl("node", "promote", lost.known_id)
        self.wait_managers(other, 3, seconds=60)
        self.assertEqual(lost.out("service", "inspect", "--format", "{{.Spec.Labels.since}}", "web"), "then")
        self.assertEqual(lost.containers(), kept, "nothing was restarted")
        self.check_same_state([leader, other, lost])
        # The log it has now is known to be there.
        lost.kill()
        self.lose(lost, "plugins/raft")
        lost.start()
        self.wait_trouble(lost, *says)
        # Demoted while it does not run, it learns that at its start.
        lost.kill()
        eventually("it is missed", lambda: self.manager_words(other)[lost.known_id] == "Unreachable")
        other.ctl("node", "demote", lost.known_id)
        lost.start()
        self.wait_roles(other, [leader, other], [lost])
        other.ctl("node", "promote", lost.known_id)
        self.wait_managers(other, 3, seconds=60)

    def test_the_log_of_the_only_manager(self):
        manager = self.first_manager()
        self.remember_ids([manager])
        self.serve([manager], 1)
        kept = manager.containers()
        manager.stop()
        self.lose(manager, "plugins/raft/log")
        manager.start()
        self.wait_trouble(manager, "is empty though it was made before", "swarm init --force-new-cluster",
                          "backup restore --replace")
        self.assertEqual(manager.containers(), kept)
        force(manager)
        eventually("all is well with it", lambda: manager.out("info", "--format", "{{.Swarm.LocalNodeState}}") == "active")
        manager.wait_running("web", 1)
        self.assertEqual(manager.containers(), kept, "nothing was restarted")
        manager.kill()
        manager.start()
        manager.wait_running("web", 1)
        # Beside a stopped agent, with nothing left to go on from.
        manager.stop()
        self.lose(manager, "plugins/raft/log")
        self.lose(manager, "manager.db")
        manager.ctl("swarm", "init", "--force-new-cluster")
        manager.start()
        self.wait_trouble(manager, "is empty though it was made before")
        self.assertIn("the state holds no swarm", manager.log())
        self.refused(manager, None, "the state holds no swarm", "swarm", "init", "--force-new-cluster")
        self.wait_trouble(manager, "is empty though it was made before", "backup restore --replace")

    def test_the_state_of_the_only_manager(self):
        manager = self.first_manager(COMPACTS)
        self.remember_ids([manager])
        self.serve_and_change(manager)
        file = f"{self.directory}/before.backup"
        manager.ctl("backup", "create", file)
        kept = manager.containers()
        manager.kill()
        self.lose(manager, "manager.db")
        manager.start()
        self.wait_trouble(manager, "manager.db", "the log begins at", "backup restore --replace")
        self.assertEqual(manager.containers(), kept)
        manager.stop()
        manager.ctl("backup", "restore", "--replace", file)
        manager.start()
        manager.wait_running("web", 1)
        self.assertEqual(manager.out("service", "inspect", "--format", "{{.Spec.Labels.number}}", "web"), "59")
        self.assertEqual(manager.containers(), kept, "nothing was restarted")

    def test_the_state_of_one_of_two_comes_from_the_other(self):
        first = self.first_manager(COMPACTS)
        second = self.machine(COMPACTS)
        self.join(second, first, "manager")
        self.remember_ids([first, second])
        self.wait_managers(first, 2)
        self.serve_and_change(first)
        self.wait_compacted(second, 20)
        second.kill()
        self.lose(second, "manager.db")
        second.start()
        self.wait_managers(first, 2, seconds=60)
        eventually("it has everything", lambda: self.applied(second) >= self.applied(first), 60)
        self.check_same_state([first, second])
        self.assertEqual(second.out("service", "inspect", "--format", "{{.Spec.Labels.number}}", "web"), "59")


if __name__ == "__main__":
    main()
