"""Several nodes: they join by token, share the work, and survive what happens to one of them."""
from lab import eventually, main
from netlab import ClusterTest


class Workers(ClusterTest):
    def test_three_nodes_share_six_tasks_and_keep_or_replace_them(self):
        manager = self.first_manager()
        workers = [self.worker(manager), self.worker(manager)]
        self.wait_ready(manager, 3)
        for agent in [manager, *workers]:
            self.web_image(agent)
        manager.ctl("service", "create", "--name", "web", "--replicas", "6", "--no-healthcheck", "-d", "web:1")
        manager.wait_running("web", 6, 90)
        for agent in [manager, *workers]:
            self.assertEqual(len(agent.containers()), 2, "six tasks spread evenly over three nodes")
        self.assertIn(manager.address, workers[0].out("info"), "a worker knows its managers")
        refused = workers[0].ctl("service", "ls", check=False)
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("not a swarm manager", refused.stderr)

        # The agent of a worker dies: its tasks do not, and are the same ones afterwards.
        before = workers[0].containers()
        workers[0].kill()
        workers[0].start()
        self.wait_ready(manager, 3)
        manager.wait_running("web", 6)
        self.assertEqual(workers[0].containers(), before)

        # A worker is cut off for long: down, its tasks run elsewhere; when it returns, they end there.
        lost = workers[1].node_id()
        self.net.cut(workers[1].host)
        eventually("the node is down", lambda: self.nodes(manager)[lost]["status"] == "Down", 40)
        eventually("its tasks run elsewhere",
                   lambda: len(manager.containers()) + len(workers[0].containers()) == 6, 60)
        self.assertEqual(len(workers[1].containers()), 2, "a node that is cut off keeps its tasks")
        self.net.join(workers[1].host)
        self.wait_ready(manager, 3)
        eventually("what ran twice is stopped", lambda: not workers[1].containers(), 60)
        manager.wait_running("web", 6)


class Addresses(ClusterTest):
    def test_a_port_that_is_listened_on_is_told_to_the_others(self):
        manager = self.machine()
        at = f"{self.net.ip(manager.host)}:2399"
        said = manager.out("swarm", "init", "--listen-addr", "eth0:2399")
        self.assertIn(f" {at}", said, "the join command names it")
        token = manager.out("swarm", "join-token", "-q", "manager")
        other = self.machine()
        # With the space of a careless copy.
        other.ctl("swarm", "join", "--token", f" {token}\n", "--listen-addr", "0.0.0.0:2400", at)
        eventually("it is a manager", lambda: self.nodes(manager)[other.node_id()]["manager"] == "Reachable")
        shown = manager.out("node", "inspect", "--format", "{{.ManagerStatus.Addr}}", other.node_id())
        self.assertEqual(shown, f"{self.net.ip(other.host)}:2400")
        self.assertIn(f"{self.net.ip(other.host)}:2400", manager.out("info"))


class Tokens(ClusterTest):
    def join_error(self, agent, token, address):
        done = agent.ctl("swarm", "join", "--token", token, address, check=False)
        self.assertNotEqual(done.returncode, 0, done.stdout)
        self.assertIn("Swarm: inactive", agent.out("info"))
        return done.stderr

    def test_wrong_tokens_and_addresses_say_what_is_wrong(self):
        manager = self.first_manager()
        joiner = self.machine()
        token = manager.out("swarm", "join-token", "-q", "worker")
        self.assertRegex(token, r"^SWMTKN-1-[0-9a-z]{50}-[0-9a-z]{25}$")
        self.assertIn("does not begin with", self.join_error(joiner, "nonsense", manager.address))
        self.assertIn("white space inside", self.join_error(joiner, token[:40] + "\n" + token[40:], manager.address))
        loopback = joiner.ctl("swarm", "join", "--token", token, "--advertise-addr", "127.0.0.1", manager.address, check=False)
        self.assertIn("reached from this machine only", loopback.stderr)
        self.assertIn("is cut off", self.join_error(joiner, token[:-3], manager.address))
        made_up = token[:-25] + "0" * 25
        self.assertIn("not valid", self.join_error(joiner, made_up, manager.address))
        other = token[:9] + "0" * 50 + token[59:]
        self.assertIn("another swarm", self.join_error(joiner, other, manager.address))
        self.assertIn("Connection refused", self.join_error(joiner, token, f"{self.net.ip(manager.host)}:2999"))
        rotated = manager.out("swarm", "join-token", "--rotate", "worker")
        self.assertIn("Successfully rotated worker join token.", rotated)
        self.assertIn("not valid", self.join_error(joiner, token, manager.address))
        self.join(joiner, manager, "worker")
        self.wait_ready(manager, 2)
        again = joiner.ctl("swarm", "join", "--token", token, manager.address, check=False)
        self.assertIn("already part of a swarm", again.stderr)
        # A worker never holds what makes it a manager.
        self.assertEqual(self.manager_files(joiner), [])
        # It leaves; the swarm sees that at once and can forget it.
        left = joiner.node_id()
        joiner.ctl("swarm", "leave")
        eventually("the node is down", lambda: self.nodes(manager)[left]["status"] == "Down", 20)


if __name__ == "__main__":
    main()
