"""Autolock, sealed files, settings that take effect at once, and a new root certificate."""
import glob
import os
import re
import time

from lab import eventually, main, run
from netlab import ClusterTest, ManagersTest
from recovery import KEY, WRONG_KEY


def unlock(agent, key, check=True):
    return agent.ctl("swarm", "unlock", stdin=key + "\n", check=check)


class Autolock(ClusterTest):
    def state(self, agent):
        return re.search(r"Swarm: (\w+)", agent.out("info")).group(1)

    def test_a_locked_manager_keeps_its_tasks_and_serves_nothing_else(self):
        agent = self.machine()
        said = agent.out("swarm", "init", "--autolock", "--advertise-addr", self.net.ip(agent.host))
        key = KEY.search(said).group(0)
        self.assertIn("To unlock a swarm manager after it restarts, run the `agentctl swarm unlock`", said)
        self.assertEqual(agent.out("swarm", "unlock-key", "-q"), key)
        self.web_image(agent)
        agent.ctl("service", "create", "--name", "web", "--replicas", "2", "--no-healthcheck", "-d", "web:1")
        agent.wait_running("web", 2)
        before = agent.containers()

        agent.stop()
        agent.start()
        self.assertEqual(self.state(agent), "locked")
        for words in (["service", "ls"], ["node", "ls"], ["swarm", "join-token", "worker"], ["swarm", "ca"],
                      ["swarm", "update", "--task-history-limit", "1"]):
            refused = agent.ctl(*words, check=False)
            self.assertNotEqual(refused.returncode, 0, words)
            self.assertIn("needs to be unlocked before it can be used", refused.stderr, words)
        self.assertIn("locked", agent.ctl("swarm", "leave", check=False).stderr)
        self.assertEqual(agent.containers(), before, "tasks do not care about the lock")

        self.assertIn("invalid key provided", unlock(agent, WRONG_KEY, check=False).stderr)
        self.assertIn("not copied whole", unlock(agent, key[:-1], check=False).stderr)
        self.assertEqual(self.state(agent), "locked")
        unlock(agent, key)
        eventually("the manager serves", lambda: self.state(agent) == "active" and
                   agent.ctl("service", "ls", check=False).returncode == 0)
        agent.wait_running("web", 2)
        self.assertEqual(agent.containers(), before)
        self.assertIn("swarm is not locked", unlock(agent, key, check=False).stderr)

        # A new key; the old one no longer opens.
        rotated = agent.out("swarm", "unlock-key", "--rotate")
        self.assertIn("Successfully rotated manager unlock key.", rotated)
        fresh = KEY.search(rotated).group(0)
        self.assertNotEqual(fresh, key)
        agent.kill()
        agent.start()
        self.assertIn("invalid key provided", unlock(agent, key, check=False).stderr)
        unlock(agent, fresh)
        eventually("the manager serves", lambda: agent.ctl("service", "ls", check=False).returncode == 0)
        # Autolock off: it opens by itself.
        self.assertEqual(agent.out("swarm", "update", "--autolock=false"), "Swarm updated.")
        self.assertIn("no unlock key is set", agent.ctl("swarm", "unlock-key", check=False).stderr)
        agent.kill()
        agent.start()
        eventually("the manager serves", lambda: agent.ctl("service", "ls", check=False).returncode == 0)
        self.assertEqual(agent.containers(), before)

    def test_a_manager_that_was_away_during_a_rotation_takes_the_key_it_knew(self):
        first = self.first_manager()
        others = [self.machine(), self.machine()]
        for agent in others:
            self.join(agent, first, "manager")
        self.wait_ready(first, 3)
        key = KEY.search(first.out("swarm", "update", "--autolock")).group(0)
        for agent in [first, *others]:
            path = f"{agent.root}/var/lib/skep/local.key"
            eventually("every manager is locked by the key", lambda path=path: not os.path.exists(path))
        away = others[1]
        away.stop()
        fresh = first.out("swarm", "unlock-key", "--rotate", "-q")
        away.start()
        self.assertEqual(self.state(away), "locked")
        self.assertIn("invalid key provided", unlock(away, fresh, check=False).stderr)
        unlock(away, key)
        eventually("it is a manager again", lambda: away.ctl("node", "ls", check=False).returncode == 0)
        self.wait_ready(first, 3)

        def takes_the_new_one():
            away.kill()
            away.start()
            return unlock(away, fresh, check=False).returncode == 0
        eventually("it took the new key over", takes_the_new_one)
        # A worker keeps nothing of it.
        eventually("it is there", lambda: away.ctl("node", "ls", check=False).returncode == 0)
        self.assertTrue(self.manager_files(away))
        first.ctl("node", "demote", away.node_id())
        self.wait_no_manager_files(away)
        away.kill()
        away.start()
        self.wait_ready(first, 3)

    def two_managers(self, *options):
        """(one that leads, another one), and the unlock key if one was made."""
        first, other = self.machine(), self.machine()
        said = first.out("swarm", "init", *options, "--advertise-addr", self.net.ip(first.host))
        self.join(other, first, "manager")
        self.wait_ready(first, 2)
        self.is_manager(other)
        return first, other, (KEY.findall(said) or [None])[0]

    def is_manager(self, agent):
        eventually("it is a manager", lambda: agent.ctl("node", "ls", check=False).returncode == 0)

    def saved_files(self, agent):
        """{name: content} of the files that hold a manager's data key and what opens it."""
        state = f"{agent.root}/var/lib/skep"
        files = {}
        for path in glob.glob(f"{state}/data.key*") + glob.glob(f"{state}/local.key*"):
            with open(path, "rb") as file:
                files[os.path.basename(path)] = file.read()
        return files

    def put_back(self, agent, files):
        for name, content in files.items():
            with open(f"{agent.root}/var/lib/skep/{name}", "wb") as file:
                file.write(content)

    def interrupted_demotions(self, options):
        """A demoted manager of which something stayed, as a crash in the middle leaves it, starts as a worker."""
        first, other, key = self.two_managers(*options)
        files = self.saved_files(other)
        self.assertEqual(set(files), {"data.key", "data.key.copy"} | (
            set() if key else {"local.key", "local.key.copy"}))
        first.ctl("node", "demote", other.node_id())
        self.wait_no_manager_files(other)
        for stayed in (files, {"data.key": files["data.key"]}, {"data.key.tmp17": b"half"},
                       {"local.key.copy": b"x", "manager.db.damaged-1": b"old"}):
            other.stop()
            self.put_back(other, stayed)
            self.assertTrue(self.manager_files(other))
            other.start()
            self.assertEqual(self.state(other), "active")
            self.wait_no_manager_files(other)
            self.wait_ready(first, 2)
        first.ctl("node", "promote", other.node_id())
        self.is_manager(other)
        self.assertEqual(set(self.saved_files(other)), set(files))
        return first, other, key

    def test_what_an_interrupted_demotion_left_is_removed_at_the_start(self):
        self.interrupted_demotions([])

    def test_what_an_interrupted_demotion_left_is_removed_without_the_unlock_key(self):
        _, other, key = self.interrupted_demotions(["--autolock"])
        other.kill()
        other.start()
        self.assertEqual(self.state(other), "locked", "a manager again, and locked as before")
        unlock(other, key)
        self.is_manager(other)

    def test_what_cannot_be_removed_is_named_and_tried_again(self):
        first, other, _ = self.two_managers()
        node = other.node_id()
        stuck = f"{other.root}/var/lib/skep/manager.db.damaged-1"
        os.mkdir(stuck)
        run("mount", "-t", "tmpfs", "none", stuck)
        try:
            first.ctl("node", "demote", node)
            eventually("it says what is in the way", lambda: "manager.db.damaged-1: remove" in other.out("info"))
            first.ctl("node", "promote", node)  # not on what is left
            eventually("it does not become one", lambda: re.search(
                r"this node is no manager yet.*manager.db.damaged-1: remove", other.log()))
            first.ctl("node", "demote", node)
        finally:
            run("umount", stuck)
        eventually("nothing is wrong any more", lambda: self.state(other) == "active")
        self.assertEqual(self.manager_files(other), [])
        first.ctl("node", "promote", node)
        self.is_manager(other)

    def test_a_promotion_that_is_given_up_leaves_no_key(self):
        first = self.first_manager()
        worker = self.worker(first)
        self.wait_ready(first, 2)
        state = f"{worker.root}/var/lib/skep"
        os.unlink(f"{state}/swarm.pb")
        os.mkdir(f"{state}/swarm.pb")  # that it is a manager cannot be noted
        first.ctl("node", "promote", worker.node_id())
        eventually("it has the data key already", lambda: glob.glob(f"{state}/data.key"))
        eventually("it cannot be one", lambda: "this node is no manager yet" in worker.log())
        first.ctl("node", "demote", worker.node_id())
        os.rmdir(f"{state}/swarm.pb")
        self.wait_no_manager_files(worker)
        self.wait_ready(first, 2)

    def test_no_file_shows_a_secret(self):
        agent = self.machine()
        name = "nobody-may-read-this-name"
        agent.ctl("swarm", "init", "--advertise-addr", self.net.ip(agent.host))
        agent.ctl("service", "create", "--name", name, "--replicas", "0", "-d", "busybox")
        token = agent.out("swarm", "join-token", "-q", "manager")
        agent.stop()
        state = f"{agent.root}/var/lib/skep"
        for text in (name, "PRIVATE KEY", token[-25:]):
            found = run("grep", "-rlaF", "--", text, state, check=False).stdout
            self.assertEqual(found, "", f"{text} lies open")
        for path in ("data.key", "local.key", "node.key", "swarm.pb"):
            self.assertEqual(os.stat(f"{state}/{path}").st_mode & 0o777, 0o600, path)
        # Damage says what to do, and the rest goes on.
        for path in glob.glob(f"{state}/data.key*"):
            os.rename(path, f"{agent.root}/{os.path.basename(path)}")
        agent.start()
        self.assertIn("data.key", agent.out("info"))
        self.assertIn("restore the file from a backup", agent.out("info"))
        agent.stop()
        for path in glob.glob(f"{agent.root}/data.key*"):
            os.rename(path, f"{state}/{os.path.basename(path)}")
        agent.start()
        eventually("it is all there", lambda: name in agent.ctl("service", "ls", check=False).stdout)


class LockedManagers(ManagersTest):
    """A locked manager's node side keeps its session and its tasks."""

    def state(self, agent):
        return agent.out("info", "--format", "{{.Swarm.LocalNodeState}}")

    def locked_pem(self, agent):
        """Its content; "" when it is not there."""
        path = f"{agent.root}/var/lib/skep/locked.pem"
        if not os.path.exists(path):
            return ""
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        with open(path, encoding="utf-8") as file:
            return file.read()

    def autolocked(self, count):
        """That many managers with autolock on, and the unlock key."""
        agents = self.managers(count)
        self.remember_ids(agents)
        for agent in agents:
            self.assertEqual(self.locked_pem(agent), "", "autolock is off")
        key = KEY.search(agents[0].out("swarm", "update", "--autolock")).group(0)
        for agent in agents:
            eventually("it has a certificate for the time it is locked", lambda agent=agent: self.locked_pem(agent))
        return agents, key

    def restart_locked(self, agent, how="stop"):
        getattr(agent, how)()
        agent.start()
        self.assertEqual(self.state(agent), "locked")

    def wait_node(self, asked, agent, status):
        eventually(f"the node is {status}", lambda: self.nodes(asked)[agent.known_id]["status"] == status, 60)

    def serve_on(self, agents, agent, replicas):
        """A service whose tasks all run on that node, and could run elsewhere; the newest tasks."""
        for each in agents:
            self.web_image(each)
            availability = "active" if each is agent else "drain"
            agents[0].ctl("node", "update", "--availability", availability, each.known_id)
        agents[0].ctl("service", "create", "--name", "web", "--replicas", str(replicas), "--no-healthcheck", "-d",
                      "--restart-delay", "0s", "web:1")
        agents[0].wait_running("web", replicas)
        for each in agents:
            agents[0].ctl("node", "update", "--availability", "active", each.known_id)

    def test_a_locked_manager_keeps_its_session_and_its_tasks(self):
        (first, other, third), key = self.autolocked(3)
        self.serve_on([first, other, third], third, 3)
        before = third.containers()
        self.assertEqual(len(before), 3)
        tasks = {task["id"] for task in first.running("web")}

        for how in ("stop", "kill"):
            self.restart_locked(third, how)
            since = time.monotonic()
            eventually("its manager is away", lambda: self.manager_words(first)[third.known_id] == "Unreachable", 60)
            self.wait_node(first, third, "Ready")
            while time.monotonic() < since + 35:
                time.sleep(1)
                self.assertEqual({task["id"] for task in first.tasks("web")}, tasks, "nothing is replaced")
            self.assertEqual(self.nodes(first)[third.known_id]["status"], "Ready")
            self.assertEqual(third.containers(), before)
            self.assertEqual(third.ctl("info").stderr, "", "nothing is to be warned of")
            for words in (["service", "logs", "web"], ["service", "ls"], ["node", "ls"]):
                self.assertIn("needs to be unlocked", third.ctl(*words, check=False).stderr, words)
            # What happens is reported and assigned as ever.
            if how == "kill":
                first.ctl("service", "scale", "-d", "web=2")
                eventually("it ended one task", lambda: len(third.containers()) == 2)
                first.wait_running("web", 2)
                before, tasks = third.containers(), {task["id"] for task in first.running("web")}
            unlock(third, key)
            eventually("it is a manager again", lambda: third.ctl("node", "ls", check=False).returncode == 0)
            self.wait_managers(first, 3)
            self.wait_node(first, third, "Ready")
            self.assertEqual(third.containers(), before)
        self.assertEqual({task["id"] for task in first.running("web")}, tasks)
        for agent in (first, other, third):
            self.assertNotIn("it has the identity of a node that is alive", agent.log())

        # Off: nothing of it stays. Demoted or gone: neither.
        first.ctl("swarm", "update", "--autolock=false")
        for agent in (first, other, third):
            eventually("the open key is gone", lambda agent=agent: self.locked_pem(agent) == "")
        first.ctl("swarm", "update", "--autolock")
        eventually("it has one again", lambda: self.locked_pem(third))
        first.ctl("node", "demote", third.known_id)
        self.wait_no_manager_files(third)
        self.assertEqual(self.locked_pem(third), "")

    def test_the_certificate_follows_the_root_and_a_removed_node_is_refused(self):
        (first, other, third), _ = self.autolocked(3)
        was = self.locked_pem(third)
        first.ctl("swarm", "ca", "--rotate", "-q", timeout=120)
        root = f"{self.directory}/root.pem"
        with open(root, "w", encoding="utf-8") as file:
            file.write(first.out("swarm", "ca") + "\n")
        for agent in (first, other, third):
            pem = f"{agent.root}/var/lib/skep/locked.pem"
            self.assertIn(": OK", run("openssl", "verify", "-CAfile", root, "-untrusted", pem, pem).stdout)
            subject = run("openssl", "x509", "-noout", "-subject", "-nameopt", "compat", "-in", pem).stdout
            self.assertIn(f"OU=swarm-locked-manager/CN={agent.known_id}", subject.replace(" ", ""))
        self.assertNotEqual(self.locked_pem(third).splitlines()[1], was.splitlines()[1], "of a new key")
        self.restart_locked(third)
        eventually("its manager is away", lambda: self.manager_words(first)[third.known_id] == "Unreachable", 60)
        self.wait_node(first, third, "Ready")
        # The managers give it up: it has no session any more.
        first.ctl("node", "demote", third.known_id)
        eventually("it is none of the managers", lambda: self.voters(first) == 2, 60)
        first.ctl("node", "rm", "--force", third.known_id)
        eventually("it is told so", lambda: "was removed from the swarm" in third.out("info"), 60)
        self.assertEqual(self.state(third), "locked")

    def test_without_the_file_it_says_so_and_goes_on_without_a_session(self):
        (first, other, third), key = self.autolocked(3)
        del other
        pem = f"{third.root}/var/lib/skep/locked.pem"
        for damage, says in ((lambda: os.unlink(pem), "locked.pem is missing"),
                             (lambda: os.truncate(pem, 300), "locked.pem: ")):
            third.stop()
            damage()
            third.start()
            self.assertEqual(self.state(third), "locked")
            warned = third.ctl("info").stderr
            self.assertIn(says, warned)
            self.assertIn("its node has no session, and others take its tasks over", warned)
            self.assertIn("'agentctl swarm unlock' ends that", warned)
            self.wait_node(first, third, "Down")
            unlock(third, key)
            self.wait_node(first, third, "Ready")
            eventually("it has a whole one again", lambda: "END CERTIFICATE" in self.locked_pem(third))
            eventually("nothing is to be warned of", lambda: third.ctl("info").stderr == "")


class Clocks(ManagersTest):
    def test_certificates_of_a_clock_that_is_set_right_are_renewed(self):
        clock, set_clock = self.moving_clock(-200 * 86400)
        managers = [self.machine(wrap=clock) for _ in range(2)]
        managers[0].ctl("swarm", "init", "--advertise-addr", self.net.ip(managers[0].host))
        self.join(managers[1], managers[0], "manager")
        self.wait_managers(managers[0], 2)

        def good(agent):
            return run("openssl", "x509", "-noout", "-checkend", "0", "-in", f"{agent.root}/var/lib/skep/node.crt",
                       check=False).returncode == 0

        self.assertFalse(good(managers[0]), "it was signed for a time that is over")
        set_clock(0)
        for manager in managers:
            eventually("it has a certificate for now", lambda manager=manager: good(manager), 45)
        # New connections: a joiner, and the managers to each other.
        self.worker(managers[1])
        managers[1].stop()
        managers[1].start(wrap=clock)
        self.wait_ready(managers[0], 3)
        self.wait_managers(managers[0], 2)
        for manager in managers:
            info = manager.ctl("info")
            self.assertNotIn("certificate", info.stdout + info.stderr)


class Root(ClusterTest):
    def test_a_new_root_comes_to_every_node_also_to_one_that_was_away(self):
        manager = self.first_manager()
        workers = [self.worker(manager), self.worker(manager)]
        self.wait_ready(manager, 3)
        before = manager.out("swarm", "ca")
        self.assertIn("BEGIN CERTIFICATE", before)

        def identity(agent=workers[0]):
            texts = []
            for name in ("node.key", "node.crt"):
                with open(f"{agent.root}/var/lib/skep/{name}", encoding="utf-8") as file:
                    texts.append(file.read())
            return texts
        first = identity()
        token = manager.out("swarm", "join-token", "-q", "worker")
        away = workers[1]
        away.stop()
        said = manager.out("swarm", "ca", "--rotate", "--detach")
        self.assertRegex(said, r"desired root digest: sha256:[0-9a-f]{64}")
        state = f"{workers[0].root}/var/lib/skep"
        eventually("the other worker trusts both",
                   lambda: run("grep", "-c", "BEGIN", f"{state}/root-ca.crt").stdout.strip() == "2")
        self.assertEqual(manager.out("swarm", "ca"), before, "one node is not there yet")
        # A new node joins meanwhile with the token that names the old root.
        late = self.machine()
        late.ctl("swarm", "join", "--token", token, manager.address)
        self.wait_ready(manager, 3)
        away.start()
        self.wait_ready(manager, 4)
        eventually("the root is the new one", lambda: manager.out("swarm", "ca") != before)
        after = manager.out("swarm", "ca")
        for agent in [manager, *workers, late]:
            path = f"{agent.root}/var/lib/skep/root-ca.crt"

            def trusts(path=path):
                with open(path, encoding="utf-8") as file:
                    return file.read().strip() == after
            eventually("only the new root is trusted", trusts)
        self.assertEqual(identity()[0], first[0], "a renewal keeps the key")
        self.assertNotEqual(identity()[1], first[1])
        refused = self.machine().ctl("swarm", "join", "--token", token, manager.address, check=False)
        self.assertIn("another swarm", refused.stderr)
        # Everybody speaks over new connections too, and another rotation is followed to its end.
        for agent in [manager, *workers]:
            agent.kill()
            agent.start()
        self.wait_ready(manager, 4)
        followed = manager.out("swarm", "ca", "--rotate")
        self.assertIn("rotated TLS certificates:  4/4 nodes", followed)
        self.assertIn("rotated CA certificates:   4/4 nodes", followed)
        self.assertIn(manager.out("swarm", "ca"), followed)

    def own_root(self):
        """Certificate and key of a root that the test made."""
        paths = (f"{self.directory}/root.pem", f"{self.directory}/root.key")
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "3000",
            "-subj", "/CN=our own root", "-out", paths[0], "-keyout", paths[1],
            "-addext", "keyUsage=critical,keyCertSign")
        return paths

    def expire(self, agent, root):
        """Puts an expired certificate in place of the one of a worker that is stopped."""
        state = f"{agent.root}/var/lib/skep"
        subject = run("openssl", "x509", "-noout", "-subject", "-nameopt", "compat", "-in", f"{state}/node.crt").stdout
        subject = subject.split("=", 1)[1].strip()
        work = f"{self.directory}/ca"
        os.makedirs(work, exist_ok=True)
        for name, text in (("index", ""), ("serial", "4711\n"), ("config", f"""
[ca]
default_ca = it
[it]
database = {work}/index
serial = {work}/serial
new_certs_dir = {work}
default_md = sha256
policy = any
unique_subject = no
[any]
organizationName = optional
organizationalUnitName = optional
commonName = supplied
""")):
            with open(f"{work}/{name}", "w", encoding="utf-8") as file:
                file.write(text)
        run("openssl", "req", "-new", "-key", f"{state}/node.key", "-subj", subject, "-out", f"{work}/request")
        run("openssl", "ca", "-batch", "-notext", "-preserveDN", "-config", f"{work}/config", "-cert", root[0],
            "-keyfile", root[1], "-startdate", "20200101000000Z", "-enddate", "20200401000000Z",
            "-in", f"{work}/request", "-out", f"{state}/node.crt")

    def test_a_node_whose_certificate_expired_comes_back_as_itself(self):
        manager = self.first_manager()
        worker = self.worker(manager)
        self.wait_ready(manager, 2)
        refused = manager.ctl("swarm", "ca", "--rotate", "--ca-cert", f"{worker.root}/var/lib/skep/node.crt",
                              "--ca-key", f"{worker.root}/var/lib/skep/node.key", check=False)
        self.assertIn("may not sign others", refused.stderr)
        root = self.own_root()
        manager.ctl("swarm", "ca", "--rotate", "-q", "--ca-cert", root[0], "--ca-key", root[1])
        with open(root[0], encoding="utf-8") as file:
            self.assertEqual(manager.out("swarm", "ca"), file.read().strip())
        self.web_image(worker)
        manager.ctl("node", "update", "--availability", "drain", manager.node_id())
        manager.ctl("service", "create", "--name", "web", "--replicas", "2", "--no-healthcheck", "-d", "web:1")
        manager.wait_running("web", 2)
        before = worker.containers()
        node = worker.node_id()
        worker.stop()
        self.expire(worker, root)
        worker.start()
        eventually("it says that the certificate expired", lambda: "expired on" in worker.out("info"))
        self.assertIn("swarm join --token TOKEN", worker.out("info"))
        self.assertEqual(worker.containers(), before, "its tasks go on")
        token = manager.out("swarm", "join-token", "-q", "worker")
        wrong = worker.ctl("swarm", "join", "--token", token[:-25] + "0" * 25, manager.address, check=False)
        self.assertIn("not valid", wrong.stderr)
        # The one that is named is not there: the worker knows others.
        self.assertEqual(worker.out("swarm", "join", "--token", token, "127.0.0.1:9"),
                         "This node is back in its swarm with a new certificate.")
        self.assertEqual(worker.node_id(), node)
        self.wait_ready(manager, 2)
        self.assertEqual(worker.containers(), before)

    def test_settings_take_effect_at_once(self):
        manager = self.first_manager()
        worker = self.worker(manager)
        self.wait_ready(manager, 2)

        def not_after():
            return run("openssl", "x509", "-noout", "-enddate", "-in",
                       f"{worker.root}/var/lib/skep/node.crt").stdout
        before = not_after()
        self.assertEqual(manager.out("swarm", "update", "--cert-expiry", "1h", "--dispatcher-heartbeat", "1s"),
                         "Swarm updated.")
        eventually("the worker has a certificate of one hour", lambda: not_after() != before)
        seconds = run("openssl", "x509", "-noout", "-checkend", "4000", "-in",
                      f"{worker.root}/var/lib/skep/node.crt", check=False)
        self.assertNotEqual(seconds.returncode, 0, "it does not live longer than an hour")
        refused = manager.ctl("swarm", "update", "--cert-expiry", "59m", check=False)
        self.assertIn("the minimum is 1h", refused.stderr)
        lost = worker.node_id()
        self.net.cut(worker.host)
        eventually("down after three heartbeats of a second",
                   lambda: self.nodes(manager)[lost]["status"] == "Down", 12)


if __name__ == "__main__":
    main()
