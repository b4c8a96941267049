"""What people get wrong: one sentence that says what, why and what to do, and a documented exit code;
what can become right by itself waits and says why."""
import socket

from lab import BIN, SkepTest, eventually, main, run

CREATE = ("service", "create", "-d", "--no-healthcheck")

# exit code, what the error says, the command
WRONG = [
    (2, ("unknown flag '--replcas'", "did you mean '--replicas'?", "--help"), (*CREATE, "--replcas", "3", "web:1")),
    (2, ("'servce' is not a command", "did you mean 'service'?"), ("servce", "ls")),
    (2, ("'lss' is not a command of 'agentctl service'", "did you mean 'ls'?"), ("service", "lss")),
    (2, ("needs at least 1 argument", "usage: agentctl service create"), CREATE),
    (2, ("--replicas: 'many'", "a whole number"), (*CREATE, "--replicas", "many", "web:1")),
    (2, ("'99999' is not a port", "1 to 65535"), (*CREATE, "-p", "99999:80", "web:1")),
    (2, ("'hst' is not a publish mode", "ingress or host"), (*CREATE, "-p", "mode=hst,target=80", "web:1")),
    (2, ("unknown mount type 'nope'", "types are volume, bind, tmpfs"), (*CREATE, "--mount", "type=nope,dst=/x", "web:1")),
    (2, ("--mount: duplicate mount point '/d'", "a target of its own"),
     (*CREATE, "--mount", "type=tmpfs,dst=/d", "--mount", "type=volume,src=data,dst=/d", "web:1")),
    (2, ("unknown key 'tpe'", "keys are type, source"), (*CREATE, "--mount", "tpe=bind,dst=/x", "web:1")),
    (2, ("unknown key 'port'", "keys are target, published"), (*CREATE, "-p", "port=80,mode=host", "web:1")),
    (2, ("--ulimit: 'nofile' is not NAME=SOFT[:HARD]",), (*CREATE, "--ulimit", "nofile", "web:1")),
    (2, ("'--root' needs a value", "--root DIR"), ("service", "ls", "--root")),
    (2, ("names no target", "target=PATH"), (*CREATE, "--mount", "type=volume,src=data", "web:1")),
    (2, ("'web' is not SERVICE=REPLICAS", "web=3"), ("service", "scale", "web")),
    (2, ("no field '.Nme'", "did you mean 'Name'?"), ("service", "ls", "--format", "{{.Nme}}")),
    (2, ("--since: 'soon' is not a time", "give RFC 3339"), ("service", "logs", "--since", "soon", "web")),
    (2, ("unknown key 'colour'", "keys are id, name"), ("service", "ls", "--filter", "colour=red")),
    (1, ("service name 'a b' is invalid", "letters, digits"), (*CREATE, "--name", "a b", "web:1")),
    (1, ("name must be 63 characters or fewer",), (*CREATE, "--name", "x" * 64, "web:1")),
    (1, ("image reference 'UPPER//x' is invalid", "lower case"), (*CREATE, "UPPER//x")),
    (1, ("image reference 'web:1:2' has two tags", "NAME[:TAG]"), (*CREATE, "web:1:2")),
    (1, ("filter 'status=bogus': use created, running, exited",), ("container", "ls", "--filter", "status=bogus")),
    (1, ("filter 'kind=volum': use consensus",), ("plugin", "ls", "--filter", "kind=volum")),
    (1, ("image is missing", "name the image"), (*CREATE, "")),
    (1, ("constraint 'node.labels.zone' is invalid", "==, !="), (*CREATE, "--constraint", "node.labels.zone", "web:1")),
    (1, ("key 'node.colour' is unknown", "use node.id"), (*CREATE, "--constraint", "node.colour==red", "web:1")),
    (1, ("size 'lots' is invalid", "512m"), (*CREATE, "--reserve-memory", "lots", "web:1")),
    (1, ("must be at least 4MiB",), (*CREATE, "--limit-memory", "1k", "web:1")),
    (1, ("larger than the limit", "reserve less"),
     (*CREATE, "--reserve-memory", "64m", "--limit-memory", "32m", "web:1")),
    (1, ("mount target 'data' is invalid", "absolute path"), (*CREATE, "--mount", "type=tmpfs,dst=data", "web:1")),
    (1, ("stop signal 'SIGFOO' is unknown", "TERM"), (*CREATE, "--stop-signal", "SIGFOO", "web:1")),
    (1, ("capability 'CAP_FOO' is unknown", "NET_ADMIN"), (*CREATE, "--cap-add", "FOO", "web:1")),
    (1, ("ulimit 'foo' is unknown", "nofile"), (*CREATE, "--ulimit", "foo=1", "web:1")),
    (1, ("sysctl 'foo' cannot be set", "KEY=VALUE", "net.*"), (*CREATE, "--sysctl", "foo", "web:1")),
    (1, ("volume name 'a/b' is invalid", "[a-zA-Z0-9_.-]"), ("volume", "create", "a/b")),
    (1, ("'/etc/passwd' is no docker-archive",), ("image", "load", "--input", "/etc/passwd")),
    (3, ("no file '/no/such/file'",), ("image", "load", "--input", "/no/such/file")),
    (3, ("no such service: 'nope'", "agentctl service ls"), ("service", "ps", "nope")),
    (3, ("'nope'", "agentctl service ls"), ("service", "rm", "nope")),
    (3, ("no such service or task: 'nope'", "agentctl service ls"), ("service", "logs", "nope")),
    (3, ("no such node: 'nope'", "agentctl node ls"), ("node", "inspect", "nope")),
    (3, ("no such volume: 'nope'", "agentctl volume ls"), ("volume", "rm", "nope")),
    (3, ("no image 'nope'", "pull or load it first"), ("image", "rm", "nope")),
    (3, ("no such container", "agentctl container ls"), ("container", "logs", "nope")),
    (3, ("no such plugin: 'nope'", "agentctl plugin ls"), ("plugin", "inspect", "nope")),
    (3, ("nothing answers to 'volume/nope'", "volume/local"), ("volume", "create", "-d", "nope", "data")),
    (3, ("nothing answers to 'volume/nope'", "volume/local"), ("bus", "call", "volume/nope", "volume/1/create", "{}")),
    (4, ("service 'web' already exists", "choose another name"), (*CREATE, "--name", "web", "web:1")),
    (5, ("already part of a swarm", "swarm leave"), ("swarm", "init", "--advertise-addr", "127.0.0.1")),
    (5, ("Removing the last manager erases", "--force"), ("swarm", "leave")),
    (5, ("'raft' orders the log of the swarm", "leave the swarm first"), ("plugin", "disable", "raft")),
    (7, ("asks for 100000000000 tasks", "use fewer replicas"), (*CREATE, "--replicas", "100000000000", "web:1")),
    (10, ("the routing mesh) is not there yet", "mode=host,target=80,published=8080"), (*CREATE, "-p", "8080:80", "web:1")),
    (10, ("'agentctl container stop' is not there yet", "belong to tasks"), ("container", "stop", "-t", "5", "web")),
    (10, ("--size is not there yet",), ("container", "ls", "--size")),
    (10, ("--platform is not there yet",), ("image", "pull", "--platform", "linux/arm64", "web:1")),
    (10, ("log driver 'syslog' is not there", "leave --log-driver out"), (*CREATE, "--log-driver", "syslog", "web:1")),
    (10, ("log option 'max-size' is not there", "log_size_max"), (*CREATE, "--log-opt", "max-size=1m", "web:1")),
]


class BadInput(SkepTest):
    def test_what_is_wrong_is_said_and_changes_nothing(self):
        agent = self.agent().start()
        self.refused(agent, 5, ("not a swarm manager", "swarm init"), "service", "ls")
        self.refused(agent, 5, ("not part of a swarm", "SIGTERM"), "node", "stop")
        for address, says in (("0.0.0.0", "tells nobody"), ("224.0.0.1", "no single machine"), ("127.0.0.1:0", "1 to 65535"),
                              ("203.0.113.9", "is no address of this machine")):
            self.refused(agent, 1, says, "swarm", "init", "--advertise-addr", address)
        self.refused(agent, 1, "nope", "swarm", "init", "--advertise-addr", "nope")
        agent.ctl("swarm", "init", "--advertise-addr", "127.0.0.1")
        self.web_image(agent)
        agent.ctl(*CREATE, "--name", "web", "web:1")
        agent.wait_running("web", 1)
        before = (agent.containers(), agent.out("service", "ls"), agent.out("volume", "ls"))
        for code, says, command in WRONG:
            with self.subTest(" ".join(command)):
                self.refused(agent, code, says, *command)
        for says, flags in ((("working directory '/nodir' cannot be used: no such file", "name a directory"), ("-w", "/nodir")),
                            ("environment variable '' is invalid: write NAME=VALUE", ("-e", "=x"))):
            self.refused(agent, 1, says, "container", "exec", *flags, next(iter(before[0])), "pwd")
        self.assertEqual((agent.containers(), agent.out("service", "ls"), agent.out("volume", "ls")), before)

    def test_what_a_disabled_plugin_would_do_is_said_with_the_way_out(self):
        agent = self.swarm()
        agent.ctl("plugin", "disable", "local")
        self.refused(agent, 5, "plugin 'local' is disabled: `agentctl plugin enable local` starts it",
                     "bus", "call", "volume/local", "volume/1/list")
        agent.ctl("plugin", "enable", "local")
        eventually("it serves again", lambda: agent.ctl("volume", "create", "data", check=False).returncode == 0)

    def test_info_tells_what_is_in_force(self):
        agent = self.agent().start()

        def shows(*lines):
            shown = [line.strip() for line in agent.out("info").splitlines()]
            for line in lines:
                self.assertIn(line, shown)

        agent.ctl("swarm", "init", "--advertise-addr", "127.0.0.1")
        shows("Default Address Pool: 10.0.0.0/8", "SubnetSize: 24", "Data Path Port: 4789",
              "Task History Retention Limit: 5", "Snapshot Interval: 10000", "Number of Old Snapshots to Retain: 0",
              "Heartbeat Period: 5s", "Expiry Duration: 2160h0m0s")
        agent.ctl("swarm", "update", "--task-history-limit", "3", "--snapshot-interval", "4000", "--max-snapshots", "2",
                  "--dispatcher-heartbeat", "7s", "--cert-expiry", "48h")
        shows("Task History Retention Limit: 3", "Snapshot Interval: 4000", "Number of Old Snapshots to Retain: 2",
              "Heartbeat Period: 7s", "Expiry Duration: 48h0m0s")
        agent.ctl("swarm", "leave", "--force")
        agent.ctl("swarm", "init", "--advertise-addr", "127.0.0.1", "--default-addr-pool", "10.77.0.0/16",
                  "--default-addr-pool-mask-length", "26", "--data-path-port", "4999", "--task-history-limit", "4")
        shows("Default Address Pool: 10.77.0.0/16", "SubnetSize: 26", "Data Path Port: 4999",
              "Task History Retention Limit: 4", "Heartbeat Period: 5s")

    def test_no_agent_and_wrong_agentd_flags(self):
        agent = self.agent()
        self.refused(agent, 8, (f"no agent answers at '{agent.root}/run/skep/control.sock'", "agentd --root"),
                     "service", "ls")
        for flag, says in ((("--rot", "/x"), "--rot"), (("--log-level", "loud"), "trace, debug, info, warn or error")):
            done = run(f"{BIN}/agentd", "--root", agent.root, *flag, check=False)
            self.assertEqual(done.returncode, 2 if flag[0] == "--rot" else 1, done.stderr)
            self.assertIn(says, done.stderr)
        agent.configure('log_levl = "info"\n')
        code, says = agent.start_refused()
        self.assertEqual(code, 1)
        self.assertIn("agentd.toml:1", says)
        self.assertIn("did you mean 'log_level'", says)
        agent.configure('log_level = "info"\non_stop = "drained"\n')
        code, says = agent.start_refused()
        self.assertEqual(code, 1)
        self.assertIn("agentd.toml:2: 'on_stop' is 'drained'; it must be keep or drain", says)

    def test_what_can_become_right_waits_with_the_reason_and_starts_by_itself(self):
        agent = self.swarm()
        self.web_image(agent)
        node = agent.out("node", "ls", "-q")
        agent.ctl(*CREATE, "--name", "big", "--reserve-cpu", "1000", "web:1")
        agent.ctl(*CREATE, "--name", "zone", "--constraint", "node.labels.zone==east", "web:1")
        agent.ctl(*CREATE, "--name", "drv", "--mount", "type=volume,src=data,dst=/d,volume-driver=nope", "web:1")
        agent.ctl(*CREATE, "--name", "one", "--replicas", "2", "--replicas-max-per-node", "1", "web:1")
        for service, reason in (("big", "insufficient resources on 1 node"),
                                ("zone", "constraint node.labels.zone==east not satisfied on 1 node"),
                                ("drv", "missing plugin volume/nope on 1 node"),
                                ("one", "max replicas per node limit reached on 1 node")):
            with self.subTest(service):
                self.assertIn(reason, self.pending(agent, service))
        agent.ctl("node", "update", "--label-add", "zone=east", node)
        agent.wait_running("zone", 1)
        agent.ctl("service", "update", "-d", "--reserve-cpu", "0.1", "big")
        agent.wait_running("big", 1)
        agent.ctl("service", "update", "-d", "--replicas-max-per-node", "2", "one")
        agent.wait_running("one", 2)
        agent.ctl("node", "update", "--availability", "pause", node)
        agent.ctl(*CREATE, "--name", "late", "web:1")
        self.assertIn("1 node not available for new tasks", self.pending(agent, "late"))
        agent.ctl("node", "update", "--availability", "active", node)
        agent.wait_running("late", 1)

    def test_a_user_whom_only_the_node_can_look_up_is_said_by_the_task(self):
        agent = self.swarm()
        self.web_image(agent)
        for user, says in (("NOSUCH", "user 'NOSUCH' is not in the container's /etc/passwd: use one that is, or a number"),
                           ("0:NOSUCH", "group 'NOSUCH' is not in the container's /etc/group: use one that is, or a number")):
            with self.subTest(user):
                agent.ctl(*CREATE, "--name", "web", "--restart-condition", "none", "--user", user, "web:1")
                self.assertIn(says, self.ended(agent, "web"))
                agent.ctl("service", "rm", "web")
        agent.ctl(*CREATE, "--name", "web", "--user", "1234:5678", "web:1")
        agent.wait_running("web", 1)

    def test_an_image_that_cannot_be_had_rejects_the_task_and_comes_when_it_is_there(self):
        agent = self.swarm()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            dead = f"127.0.0.1:{probe.getsockname()[1]}"
            self.refused(agent, 8, (f"registry '{dead}' does not answer", "connection refused"),
                         "image", "pull", f"{dead}/web:1")
            agent.ctl(*CREATE, "--name", "web", "--restart-delay", "1s", f"{dead}/web:1")
            error = self.ended(agent, "web")
            self.assertIn(f"{dead}/web:1", error)
            self.assertIn("does not answer", error)
        self.web_image(agent)
        agent.ctl("service", "update", "-d", "--image", "web:1", "web")
        agent.wait_running("web", 1)

    def test_a_port_that_another_program_holds_is_named_and_taken_when_it_is_free(self):
        agent = self.swarm()
        self.web_image(agent)
        with socket.socket() as holder:
            holder.bind(("0.0.0.0", 0))
            holder.listen()
            port = holder.getsockname()[1]
            agent.ctl(*CREATE, "--name", "web", "--restart-delay", "1s",
                      "-p", f"mode=host,target=80,published={port}", "web:1")
            error = eventually("the task fails", lambda: [
                t for t in agent.tasks("web", all_states=True) if t["state"] in ("failed", "rejected")])[0]["error"]
            self.assertIn(str(port), error)
            self.assertIn("another", error)
        agent.wait_running("web", 1)
        self.assertIn("v1", run("curl", "-fsS", "-m", "5", f"http://127.0.0.1:{port}/text").stdout)


if __name__ == "__main__":
    main()
