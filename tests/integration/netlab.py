"""Machines in network namespaces, joined by a bridge: what tests of several nodes need.

Every machine is a namespace with eth0 on a bridge that lives in a namespace of its own. Agents share the
mount and pid namespaces of the test, so their pids are real and what they mount outlives them. Names come
from the test's pid; down() removes everything. Needs root, iproute2 and nftables.
"""
import json
import os
import re
import subprocess
import sys

from backups import mark_of
from lab import BIN, Agent, SkepTest, eventually, run


# What every manager logs at each 1,000th index of the log (core/control/consensus_client.cc).
STATE_LINE = re.compile(r"state of the swarm (cluster=\S+ index=\d+ term=\d+) (hash_0=\d+ hash_1=\d+)")


class Net:
    def __init__(self, prefix="10.213.7"):
        self.name = f"sk{os.getpid()}"
        self.prefix = prefix
        self.hosts = []
        run("ip", "netns", "add", f"{self.name}-net")
        self.switch("ip", "link", "set", "lo", "up")
        self.switch("ip", "link", "add", "br0", "type", "bridge", "stp_state", "0", "forward_delay", "0")
        self.switch("ip", "link", "set", "br0", "up")
        rules = """table bridge lab {
          set cut { type ifname; }
          chain forward { type filter hook forward priority 0; policy accept; iifname @cut drop; oifname @cut drop; }
        }"""
        run("ip", "netns", "exec", f"{self.name}-net", "nft", "-f", "-", stdin=rules)

    def switch(self, *argv):
        return run("ip", "netns", "exec", f"{self.name}-net", *argv)

    def add(self):
        """A machine; its name ("h1")."""
        number = len(self.hosts) + 1
        host = f"h{number}"
        space = f"{self.name}-{host}"
        run("ip", "netns", "add", space)
        self.hosts.append(host)
        run("ip", "link", "add", "eth0", "netns", space, "type", "veth", "peer", "name", host, "netns", f"{self.name}-net")
        self.switch("ip", "link", "set", host, "master", "br0", "up")
        for command in (("link", "set", "lo", "up"), ("addr", "add", f"{self.ip(host)}/24", "dev", "eth0"),
                        ("link", "set", "eth0", "up")):
            run("ip", "-n", space, *command)
        return host

    def ip(self, host):
        return f"{self.prefix}.{host[1:]}"

    def enter(self, host):
        """Begins a command line that runs in that machine, with the same pid."""
        return ["nsenter", f"--net=/run/netns/{self.name}-{host}"]

    def cut(self, host):
        self.switch("nft", "add", "element", "bridge", "lab", "cut", f'{{ "{host}" }}')

    def join(self, host):
        self.switch("nft", "delete", "element", "bridge", "lab", "cut", f'{{ "{host}" }}')

    def lose(self, host, percent):
        """That share of the frames from the machine, and of those to it, is lost."""
        for direction in ("iifname", "oifname"):
            self.switch("nft", "add", "rule", "bridge", "lab", "forward", direction, host,
                        "numgen", "random", "mod", "100", "<", str(percent), "drop")

    def down(self):
        for host in self.hosts + ["net"]:
            run("ip", "netns", "del", f"{self.name}-{host}", check=False)


class NetAgent(Agent):
    """An agent that runs in one machine of a Net."""

    def __init__(self, root, net, host, config=""):
        super().__init__(root, config)
        self.net, self.host = net, host

    def start(self, wait=True, wrap=()):
        log = open(f"{self.root}/agentd.log", "ab")
        self.process = subprocess.Popen(
            [*self.net.enter(self.host), *wrap, f"{BIN}/agentd", "--root", self.root], stdin=subprocess.DEVNULL,
            stdout=log, stderr=log, start_new_session=True)
        log.close()
        if wait:
            eventually("the agent answers", lambda: self.ctl("info", check=False).returncode == 0)
        return self

    @property
    def address(self):
        return f"{self.net.ip(self.host)}:2377"

    def node_id(self):
        return self.out("info", "--format", "{{.Swarm.NodeID}}")


class ClusterTest(SkepTest):
    """Tests with several nodes."""

    def setUp(self):
        super().setUp()
        self.net = Net()

    def tearDown(self):
        try:
            self.check_state_lines()
        finally:
            try:
                super().tearDown()
            finally:
                self.net.down()

    def check_state_lines(self):
        """At every 1,000th index all managers had the same state; how many such states two of them told."""
        seen = {}
        for agent in filter(lambda a: os.path.exists(f"{a.root}/agentd.log"), self.agents):
            for place, state in STATE_LINE.findall(agent.log()):
                seen.setdefault(place, []).append(state)
        for place, states in seen.items():
            self.assertEqual(len(set(states)), 1, f"managers went apart at {place}: {states}")
        return sum(len(states) > 1 for states in seen.values())

    def machine(self, config="", wrap=()):
        host = self.net.add()
        agent = NetAgent(f"{self.directory}/{host}", self.net, host, config)
        self.agents.append(agent)
        self.prepare(agent)
        return agent.start(wrap=wrap)

    def prepare(self, agent):
        """Comes before the first start of each machine's agent."""

    def other_clock(self, seconds):
        """What to start an agent through, so that its clock is that far ahead."""
        return self.moving_clock(seconds)[0]

    def moving_clock(self, seconds):
        """As other_clock, and what sets that clock again while agents run."""
        library = f"{self.directory}/clock.so"
        source = """
            #define _GNU_SOURCE
            #include <fcntl.h>
            #include <stdlib.h>
            #include <sys/mman.h>
            #include <sys/syscall.h>
            #include <time.h>
            #include <unistd.h>
            static volatile long* ahead;
            __attribute__((constructor)) static void begin(void) {
              const char* file = getenv("SKEP_TEST_CLOCK");
              const int fd = file ? open(file, O_RDONLY | O_CLOEXEC) : -1;
              void* seen = fd < 0 ? MAP_FAILED : mmap(0, sizeof *ahead, PROT_READ, MAP_SHARED, fd, 0);
              if (seen != MAP_FAILED) ahead = seen;
              if (fd >= 0) close(fd);
            }
            int clock_gettime(clockid_t id, struct timespec* at) {
              const long done = syscall(SYS_clock_gettime, id, at);
              if (done == 0 && id == CLOCK_REALTIME && ahead) at->tv_sec += *ahead;
              return (int)done;
            }"""
        if not os.path.exists(library):
            run("cc", "-shared", "-fPIC", "-O1", "-x", "c", "-o", library, "-", stdin=source)
        self.clocks = getattr(self, "clocks", 0) + 1
        path = f"{self.directory}/clock{self.clocks}"

        def set_to(ahead):
            with open(path, "r+b" if os.path.exists(path) else "wb", buffering=0) as file:
                file.write(ahead.to_bytes(8, sys.byteorder, signed=True))

        set_to(seconds)
        return ["env", f"LD_PRELOAD={library}", f"SKEP_TEST_CLOCK={path}"], set_to

    def first_manager(self, config=""):
        agent = self.machine(config)
        agent.ctl("swarm", "init", "--advertise-addr", self.net.ip(agent.host))
        return agent

    def worker(self, manager, config=""):
        agent = self.machine(config)
        self.join(agent, manager, "worker")
        return agent

    def join(self, agent, manager, role):
        token = manager.out("swarm", "join-token", "-q", role)
        said = agent.out("swarm", "join", "--token", token, manager.address)
        self.assertEqual(said, f"This node joined a swarm as a {role}.")

    def nodes(self, manager):
        """{node id: {hostname, status, availability, manager}} as `node ls` prints them."""
        rows = manager.out("node", "ls", "--format",
                           "{{.ID}} {{.Hostname}} {{.Status}} {{.Availability}} {{.ManagerStatus}}").splitlines()
        fields = [(row + " ").split(" ") for row in rows if row]
        return {f[0]: {"hostname": f[1], "status": f[2], "availability": f[3], "manager": f[4]} for f in fields}

    def manager_files(self, agent):
        """What lies on its disk that only a manager may hold: log, state, and keys that open them or more."""
        state = f"{agent.root}/var/lib/skep"
        found = [name for name in os.listdir(state) if name.startswith(("manager.db", "data.key", "local.key"))]
        found += run("ls", "-A", f"{state}/plugins/raft", check=False).stdout.split()
        keys = run("grep", "-rl", "PRIVATE KEY", state, check=False).stdout.split()
        return found + [path for path in keys if path != f"{state}/node.key"]

    def wait_no_manager_files(self, agent, seconds=30):
        def nothing_left():
            self.assertEqual(self.manager_files(agent), [])
            return True
        eventually("a worker holds nothing of a manager", nothing_left, seconds)
        with open(f"{agent.root}/var/lib/skep/node.key", "rb") as file:
            self.assertIn(b"PRIVATE KEY", file.read(), "its own key lies open again")

    def wait_ready(self, manager, count, seconds=30):
        return eventually(f"{count} nodes are ready", lambda: len(
            [n for n in self.nodes(manager).values() if n["status"] == "Ready"]) == count, seconds)


class ManagersTest(ClusterTest):
    """Tests with several managers."""

    def managers(self, count):
        """That many managers; the first made the swarm."""
        agents = [self.first_manager()]
        while len(agents) < count:
            agents.append(self.machine())
            self.join(agents[-1], agents[0], "manager")
        self.wait_managers(agents[0], count)
        return agents

    def manager_words(self, asked):
        """{node id: "Leader", "Reachable", "Unreachable" or ""}"""
        return {node_id: node["manager"] for node_id, node in self.nodes(asked).items()}

    def wait_managers(self, asked, reachable, unreachable=0, seconds=30):
        def as_wanted():
            words = list(self.manager_words(asked).values())
            return (words.count("Leader") == 1 and words.count("Reachable") == reachable - 1 and
                    words.count("Unreachable") == unreachable and self.voters(asked) == reachable + unreachable)
        return eventually(f"one leader, {reachable - 1} reachable and {unreachable} unreachable managers", as_wanted,
                          seconds)

    def leader(self, agents):
        """(the one that leads, the others), as the first that answers says."""
        for asked in agents:
            if asked.process.poll() is None:
                words = self.manager_words(asked)
                leading = [a for a in agents if words.get(a.known_id) == "Leader"]
                if leading:
                    return leading[0], [a for a in agents if a is not leading[0]]
        raise AssertionError("nobody leads")

    def remember_ids(self, agents):
        for agent in agents:
            agent.known_id = agent.node_id()

    def log_status(self, agent):
        return json.loads(agent.out("bus", "call", "consensus/raft", "consensus/1/status", "{}"))

    def voters(self, agent):
        """How many managers vote; one that was just taken in does not before it has caught up."""
        return len([member for member in self.log_status(agent)["members"] if not member.get("learner")])

    def applied(self, agent):
        return int(self.log_status(agent)["applied_index"])

    def wait_compacted(self, agent, above):
        eventually("the log was compacted", lambda: int(self.log_status(agent)["first_index"]) > above, 60)

    def state_mark(self, agent):
        """Index and hash of the state of a manager. The hash was kept entry by entry; `backup verify` makes it anew
        of the rows."""
        path = f"{agent.root}/state.backup"
        if os.path.exists(path):
            os.unlink(path)
        agent.ctl("backup", "create", path)
        self.assertIn("The backup is good", agent.out("backup", "verify", path))
        return mark_of(path)

    def check_same_state(self, agents):
        """When nothing changes any more, all of these managers hold the same."""
        def at_one_index():
            marks = [self.state_mark(agent) for agent in agents]
            return marks if len({mark.index for mark in marks}) == 1 else None
        marks = eventually("all managers are at the same log index", at_one_index, 60)
        self.assertEqual(len(set(marks)), 1, f"states differ at one index: {marks}")
        self.assertNotEqual(marks[0].hash_0, 0, "a hash that nobody set says nothing")

    def elections(self, agents):
        return sum(agent.log().count("this manager leads") for agent in agents)
