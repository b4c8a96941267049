"""Autolock, sealed files, settings that take effect at once, and a new root certificate."""
import glob
import os
import re

from lab import eventually, main, run
from netlab import ClusterTest
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
