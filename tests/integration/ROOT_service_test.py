"""What a service asks for, its containers get: mounts, limits, places; and errors say what to do."""
from lab import SkepTest, eventually, main, run


class Mounts(SkepTest):
    def test_volume_bind_and_tmpfs_hold_what_they_should_and_the_volume_outlives_the_service(self):
        agent = self.swarm()
        self.web_image(agent)
        source = f"{self.directory}/shared"
        run("mkdir", source)
        with open(f"{source}/note", "w", encoding="utf-8") as file:
            file.write("from outside")
        agent.ctl("service", "create", "--name", "m", "--no-healthcheck", "-d",
                  "--mount", "type=volume,src=data,dst=/data",
                  "--mount", f"type=bind,src={source},dst=/shared,ro",
                  "--mount", "type=tmpfs,dst=/scratch,tmpfs-size=1m",
                  "--entrypoint", "/bin/sh", "web:1", "-c",
                  "echo kept > /data/file; cat /shared/note > /data/copy; touch /shared/x 2> /data/refused;"
                  " grep ' /scratch ' /proc/mounts > /data/scratch; exec sleep 1000")
        agent.wait_running("m", 1)
        container = next(iter(agent.containers()))
        eventually("the task wrote", lambda: "tmpfs" in agent.out("container", "exec", container, "cat", "/data/scratch"))
        self.assertEqual(agent.out("container", "exec", container, "cat", "/data/copy"), "from outside")
        self.assertIn("Read-only", agent.out("container", "exec", container, "cat", "/data/refused"))
        self.assertIn("size=1024k", agent.out("container", "exec", container, "cat", "/data/scratch"))
        self.assertNotEqual(agent.ctl("volume", "rm", "data", check=False).returncode, 0, "it is in use")
        agent.ctl("service", "rm", "m")
        eventually("the container is gone", lambda: not agent.containers())
        path = agent.out("volume", "inspect", "--format", "{{.Mountpoint}}", "data")
        with open(f"{path}/file", encoding="utf-8") as file:
            self.assertEqual(file.read(), "kept\n")
        eventually("the volume can be removed", lambda: agent.ctl("volume", "rm", "data", check=False).returncode == 0)

    def test_a_missing_bind_source_rejects_the_task_and_names_the_path(self):
        agent = self.swarm()
        self.web_image(agent)
        agent.ctl("service", "create", "--name", "b", "-d", "--restart-condition", "none",
                  "--mount", "type=bind,src=/no/such/path,dst=/x", "web:1")
        rejected = eventually("it is rejected", lambda: [
            t for t in agent.tasks("b", all_states=True) if t["state"] == "rejected"])
        self.assertIn("/no/such/path", rejected[0]["error"])


class Limits(SkepTest):
    def shell(self, agent, name, script, *flags):
        agent.ctl("service", "create", "--name", name, "--no-healthcheck", "-d", "--restart-condition", "none",
                  *flags, "--entrypoint", "/bin/sh", "web:1", "-c", script)

    def test_memory_cpu_and_pids_limits_hold_and_an_oom_kill_is_told(self):
        agent = self.swarm()
        self.web_image(agent)
        self.shell(agent, "oom", "x=a; while :; do x=$x$x; done", "--limit-memory", "16m")
        task = eventually("the task fails", lambda: [
            t for t in agent.tasks("oom", all_states=True) if t["state"] == "failed"])[0]
        self.assertEqual(task["error"], '"task: out of memory (137)"')
        self.shell(agent, "limits", "exec sleep 1000", "--limit-cpu", "0.5", "--limit-pids", "16",
                   "--limit-memory", "64m")
        agent.wait_running("limits", 1)
        container = next(iter(agent.containers()))
        usage = agent.out("container", "exec", container, "sh", "-c",
                          "cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu/cpu.cfs_period_us"
                          " 2>/dev/null || cat /sys/fs/cgroup/cpu.max").split()
        self.assertEqual(int(usage[0]) * 2, int(usage[1]), usage)
        # One busy loop on one CPU: the limit makes it wait in about half of the periods.
        agent.ctl("container", "exec", container, "sh", "-c",
                  "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done")
        stat = dict(line.split() for line in agent.out("container", "exec", container, "sh", "-c",
                    "cat /sys/fs/cgroup/cpu/cpu.stat 2>/dev/null || cat /sys/fs/cgroup/cpu.stat").splitlines())
        self.assertGreater(int(stat["nr_throttled"]), 0, stat)
        # Last, because the processes it leaves fill the limit.
        forks = agent.ctl("container", "exec", container, "sh", "-c",
                          "echo begun; i=0; while [ $i -lt 40 ]; do sleep 5 & i=$((i+1)); done; echo all", check=False)
        self.assertEqual(forks.stdout, "begun\n", "40 processes do not fit a limit of 16")
        self.assertIn("can't fork", forks.stderr)
        self.assertEqual(forks.returncode, 2, "the shell's own code, not the agent's")


class Init(SkepTest):
    def test_init_is_the_first_process_and_reaps_what_nobody_waits_for(self):
        agent = self.swarm()
        self.web_image(agent)
        agent.ctl("service", "create", "--name", "i", "--init", "--no-healthcheck", "-d", "--entrypoint", "/bin/sh", "web:1",
                  "-c", "(sh -c 'sleep 0.1 & exec true' &); exec sleep 1000")
        agent.wait_running("i", 1)
        container = next(iter(agent.containers()))
        self.assertEqual(agent.out("container", "exec", container, "cat", "/proc/1/comm"), "init")
        eventually("no process is left as a zombie", lambda: "Z" not in agent.out(
            "container", "exec", container, "sh", "-c", "grep -h State: /proc/[0-9]*/status"))


class Logs(SkepTest):
    def test_the_runtime_plugin_bounds_the_log_of_every_container(self):
        agent = self.swarm("[plugin.oci]\nlog_size_max = 65536\nlog_files_max = 2\n")
        self.web_image(agent)
        agent.ctl("service", "create", "--name", "chatty", "--no-healthcheck", "-d", "--entrypoint", "/bin/sh", "web:1",
                  "-c", "i=0; while [ $i -lt 30000 ]; do i=$((i+1)); echo line $i; [ $((i%3000)) = 0 ] && sleep 1; done;"
                  " exec sleep 1000")
        agent.wait_running("chatty", 1)
        container = next(iter(agent.containers()))
        eventually("all is written", lambda: "line 30000" in agent.out("container", "logs", "--tail", "1", container))
        lines = [int(line.split()[1]) for line in agent.out("container", "logs", container).splitlines()]
        self.assertEqual(lines, list(range(lines[0], 30001)), "what is kept has no gap")
        self.assertGreater(lines[0], 1, "what came first is gone")
        agent.stop()
        agent.configure("[plugin.oci]\nlog_size_max = 1\n")
        agent.start()
        eventually("a wrong size is said", lambda: "log_size_max = 1 of the plugin is wrong" in agent.out(
            "plugin", "inspect", "--format", "{{.Reason}}", "oci"))
        agent.stop()
        agent.configure("")
        agent.start()


class Health(SkepTest):
    def test_a_task_that_becomes_unhealthy_is_ended_and_replaced_and_one_that_never_is_fails(self):
        agent = self.swarm()
        self.web_image(agent)
        check = ("--health-interval", "200ms", "--health-timeout", "5s", "--health-retries", "2")
        agent.ctl("service", "create", "-d", "--name", "web", "--restart-delay", "0s", *check,
                  "--health-cmd", "test ! -e /tmp/sick", "web:1")
        first = agent.wait_running("web", 1)[0]
        container = next(iter(agent.containers()))
        agent.ctl("container", "exec", container, "touch", "/tmp/sick")
        error = self.ended(agent, "web", "failed")
        self.assertIn("unhealthy", error)
        eventually("another task took its place", lambda: [
            t for t in agent.running("web") if t["id"] != first["id"]])
        agent.ctl("service", "create", "-d", "--name", "never", "--restart-condition", "none", *check,
                  "--health-cmd", "false", "web:1")
        self.assertIn("unhealthy", self.ended(agent, "never", "failed"))


class Placement(SkepTest):
    def test_what_cannot_be_placed_waits_with_the_reason_and_starts_when_it_can(self):
        agent = self.swarm()
        self.web_image(agent)
        base = ("service", "create", "-d", "--no-healthcheck")
        agent.ctl(*base, "--name", "big", "--reserve-memory", "900g", "web:1")
        self.assertIn("insufficient resources", self.pending(agent, "big"))
        agent.ctl(*base, "--name", "zone", "--constraint", "node.labels.zone==east", "web:1")
        self.assertIn("node.labels.zone", self.pending(agent, "zone"))
        agent.ctl(*base, "--name", "port1", "--publish", "mode=host,target=80,published=18080", "web:1")
        agent.wait_running("port1", 1)
        self.assertEqual(agent.out("container", "ls", "--filter", "name=port1.", "--format", "{{.Ports}}"),
                         "0.0.0.0:18080->80/tcp")
        agent.ctl(*base, "--name", "port2", "--publish", "mode=host,target=80,published=18080", "web:1")
        self.assertIn("host-mode port", self.pending(agent, "port2"))
        node = agent.out("node", "ls", "-q")
        agent.ctl("node", "update", "--label-add", "zone=east", node)
        agent.wait_running("zone", 1)


if __name__ == "__main__":
    main()
