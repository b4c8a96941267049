"""Walkthrough W11, backup and disaster, from its first sentence to its last on one swarm of five."""
import glob
import os
import re
import time

from lab import REPO, eventually, main, run
from recovery import KEY, WRONG_KEY, RecoveryTest, force

# What a node without a swarm keeps: who it was made by, and what its plugins hold for any swarm.
KEPT_BY_LEAVE = {"installation.id", "installation.id.copy", "plugins"}


def document(name):
    with open(f"{REPO}/docs/{name}", encoding="utf-8") as file:
        return file.read()


def documented_files():
    """Paths below the state directory that docs/files.md has a row for."""
    out = set()
    for cell in re.findall(r"^\| (`var/lib/skep/.*?) \|", document("files.md"), re.MULTILINE):
        names = [text.removeprefix("var/lib/skep/").rstrip("/") for text in re.findall(r"`([^`]+)`", cell)]
        out |= {names[0] + name if name == ".copy" else name for name in names}
    return out


def files_to_copy():
    """The patterns that docs/recovery.md says to copy, of a stopped agent's state directory."""
    command = re.search(r"^cd /var/lib/skep && tar cf \S+ (.*)$", document("recovery.md"), re.MULTILINE)
    return command.group(1).split()


class BackupAndDisaster(RecoveryTest):
    def test_w11(self):
        self.three = self.managers(3)
        self.workers = [self.worker(self.three[0]), self.worker(self.three[1])]
        self.everybody = self.three + self.workers
        self.remember_ids(self.everybody)
        self.wait_ready(self.three[0], 5)
        self.serve(self.everybody, 5)
        self.three[1].ctl("service", "create", "--name", "each", "--mode", "global", "--no-healthcheck", "-d", "web:1")
        self.three[1].wait_running("each", 5)
        since = time.monotonic()
        for part in (self.known_files, self.one_manager_comes_back_from_its_backup, self.three_managers_again,
                     self.autolock, self.another_unlock_key, self.another_root, self.nodes_leave):
            part()
            print(f"{part.__name__} after {time.monotonic() - since:.1f} s")

    def state(self, agent):
        return f"{agent.root}/var/lib/skep"

    def running(self):
        """What runs where: [{container: pid} of each node]"""
        return [agent.containers() for agent in self.everybody]

    # ---- What is on disk is known and documented ----
    def known_files(self):
        documented = {"/".join(name.split("/")[:2]) for name in documented_files()}
        for agent in self.everybody:
            names = {name for name in os.listdir(self.state(agent)) if name != "plugins"}
            names |= {f"plugins/{name}" for name in os.listdir(f"{self.state(agent)}/plugins")}
            self.assertEqual(names - documented, set(), "docs/files.md has a row for every file")
            self.assertIn("swarm.pb", names)
            self.assertEqual("manager.db" in names, agent in self.three)

    # ---- A backup of a manager restored to it, then --force-new-cluster ----
    def one_manager_comes_back_from_its_backup(self):
        first, others = self.three[0], self.three[1:]
        archive = f"{self.directory}/node.tar"
        first.stop()
        self.copy_files(first, archive)
        first.start()
        self.wait_managers(first, 3)
        before = self.running()
        self.assertEqual([len(containers) for containers in before], [2] * 5)
        first.ctl("service", "create", "--name", "late", "--replicas", "5", "--no-healthcheck", "-d", "web:1")
        first.wait_running("late", 5)
        self.assertEqual(sum(map(len, self.running())), 15)

        for agent in self.three:
            agent.kill()
        self.put_files_back(first, archive)
        first.start()
        eventually("alone of three it has no leader",
                   lambda: "no leader" in first.ctl("service", "ls", check=False, timeout=30).stderr)
        self.assertIn(f"current node ({first.known_id}) is now a manager", force(first))
        self.assertEqual(first.node_id(), first.known_id)
        self.assertEqual(self.manager_words(first)[first.known_id], "Leader")
        for agent in others:  # with a log that knows more, and a majority of the managers of old
            agent.start()
        self.wait_roles(first, [first], [*others, *self.workers])
        self.assertEqual(set(self.nodes(first)), {agent.known_id for agent in self.everybody})
        for agent in others:
            self.assertIn("worker nodes can't be used", agent.ctl("service", "ls", check=False).stderr)
        # As of the backup, and made so everywhere: what came later ends, the rest was never touched.
        self.assertEqual(first.out("service", "ls", "--format", "{{.Name}}").split(), ["each", "web"])
        eventually("every node runs what it ran at the backup", lambda: self.running() == before, 60)
        eventually("the manager sees all of that", lambda: first.out(
            "service", "ls", "--format", "{{.Name}} {{.Replicas}}").splitlines() == ["each 5/5", "web 5/5"])

    def copy_files(self, agent, archive):
        run("sh", "-c", f"cd {self.state(agent)} && tar cf {archive} {' '.join(files_to_copy())}")

    def put_files_back(self, agent, archive):
        state = self.state(agent)
        for path in [path for pattern in files_to_copy() for path in glob.glob(f"{state}/{pattern}")]:
            run("rm", "-r", path)
        self.assertEqual(set(os.listdir(state)), {"plugins"})
        run("tar", "xf", archive, "-C", state)

    # ---- Promote again to three ----
    def three_managers_again(self):
        first, others = self.three[0], self.three[1:]
        first.ctl("node", "promote", *[agent.known_id for agent in others])
        self.wait_managers(first, 3, seconds=60)
        others[0].ctl("service", "scale", "-d", "web=10")
        others[1].wait_running("web", 10)
        self.assertEqual([len(containers) for containers in self.running()], [3] * 5)

    # ---- Autolock: after a restart the manager asks for `swarm unlock` ----
    def autolock(self):
        self.key = self.lock(self.three)
        leader, others = self.leader(self.three)
        tasks = leader.containers()
        leader.kill()
        leader.start()
        self.is_locked(leader)
        self.assertEqual(leader.containers(), tasks, "tasks do not care about the lock")
        eventually("the two that were not restarted go on", lambda: self.leader(others), 20)
        for wrong, says in ((WRONG_KEY, "invalid key provided"), (self.key[:-1], "not copied whole")):
            self.refused(leader, None, says, "swarm", "unlock", stdin=wrong)
            self.is_locked(leader)
        self.unlocked(leader, self.key)

    def is_locked(self, agent):
        self.assertIn("Swarm: locked", agent.out("info"))
        self.refused(agent, None, "needs to be unlocked before it can be used", "service", "ls")

    def unlocked(self, agent, key):
        agent.ctl("swarm", "unlock", stdin=key + "\n")
        self.wait_managers(agent, 3)

    # ---- `unlock-key --rotate`; wrong keys are refused ----
    def another_unlock_key(self):
        leader, others = self.leader(self.three)
        fresh = KEY.search(others[0].out("swarm", "unlock-key", "--rotate")).group(0)
        self.assertNotEqual(fresh, self.key)
        self.assertEqual(leader.out("swarm", "unlock-key", "-q"), fresh)
        away = others[1]
        eventually("the new key is everywhere", lambda: self.applied(away) >= self.applied(leader))
        away.kill()
        away.start()
        self.is_locked(away)
        self.refused(away, None, "invalid key provided", "swarm", "unlock", stdin=self.key)
        self.unlocked(away, fresh)

    # ---- `swarm ca --rotate` moves every node to a new root with progress ----
    def another_root(self):
        asked = self.three[1]
        before, token = asked.out("swarm", "ca"), asked.out("swarm", "join-token", "-q", "worker")
        self.assertEqual([self.certified_by(agent, before) for agent in self.everybody], [True] * 5)
        said = asked.out("swarm", "ca", "--rotate")
        for part in ("rotated TLS certificates:  5/5 nodes", "rotated CA certificates:   5/5 nodes"):
            self.assertIn(part, said)
        after = asked.out("swarm", "ca")
        self.assertIn(after, said)
        self.assertNotEqual(after, before)
        self.assertNotEqual(asked.out("swarm", "join-token", "-q", "worker").split("-")[2], token.split("-")[2])
        for agent in self.everybody:
            eventually("only the new root is trusted", lambda agent=agent: self.trusted(agent) == after)
        self.assertEqual([self.certified_by(agent, after) for agent in self.everybody], [True] * 5)
        self.assertEqual([self.certified_by(agent, before) for agent in self.everybody], [False] * 5)
        self.workers[0].kill()
        self.workers[0].start()  # it speaks over a new connection
        self.wait_ready(asked, 5)

    def trusted(self, agent):
        with open(f"{self.state(agent)}/root-ca.crt", encoding="utf-8") as file:
            return file.read().strip()

    def certified_by(self, agent, root):
        path = f"{self.directory}/root.pem"
        with open(path, "w", encoding="utf-8") as file:
            file.write(root + "\n")
        return run("openssl", "verify", "-CAfile", path, f"{self.state(agent)}/node.crt", check=False).returncode == 0

    # ---- `leave`, `leave --force` ----
    def nodes_leave(self):
        worker, (leader, others) = self.workers[0], self.leader(self.three)
        self.left(worker, "swarm", "leave")
        eventually("it is down", lambda: self.nodes(leader)[worker.known_id]["status"] == "Down", 20)
        self.assertEqual(leader.out("node", "rm", worker.known_id), worker.known_id)
        self.assertNotIn(worker.known_id, self.nodes(leader))

        self.refused(leader, 5, ("participating as a manager", "--force"), "swarm", "leave")
        self.left(leader, "swarm", "leave", "--force")
        self.wait_managers(others[0], 2)
        others[1].wait_running("web", 10)
        self.refused(others[0], 5, "leaves 1 managers out of 2", "swarm", "leave")
        self.left(others[0], "swarm", "leave", "--force")
        self.wait_managers(others[1], 1)
        others[1].wait_running("web", 10)
        self.refused(others[1], 5, "erases all current state", "swarm", "leave")
        self.left(others[1], "swarm", "leave", "--force")
        self.assertEqual(len(self.workers[1].containers()), 6, "who is left alone keeps its tasks")

    def left(self, agent, *command):
        self.assertTrue(agent.containers(), "it had tasks")
        self.assertEqual(agent.out(*command), "Node left the swarm.")
        self.assertIn("Swarm: inactive", agent.out("info"))
        self.assertEqual(agent.containers(), {})
        self.assertEqual(set(os.listdir(self.state(agent))), KEPT_BY_LEAVE)


if __name__ == "__main__":
    main()
