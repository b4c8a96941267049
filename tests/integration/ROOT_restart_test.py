"""The agent is killed and comes back: no container restarts, no task is lost, no exit is missed."""
import ctypes
import os
import signal
import threading
import time

from lab import SkepTest, eventually, main, run


class Load:
    """Makes services, and remembers which of them the agent acknowledged."""

    def __init__(self, agent):
        self.agent, self.acknowledged, self.stopping = agent, set(), threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        number = 0
        while not self.stopping.is_set():
            number += 1
            done = self.agent.ctl("service", "create", "-d", "--replicas", "0", "--name", f"load{number}", "web:1",
                                  check=False)
            if done.returncode == 0:
                self.acknowledged.add(f"load{number}")
            time.sleep(0.05)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join()


class Restart(SkepTest):
    def containers_of(self, agent, service):
        """{SERVICE.SLOT.TASK: (container id, pid)} of the running containers of a service."""
        rows = agent.out("container", "ls", "--no-trunc", "--format", "{{.ID}} {{.Names}}", "--filter",
                         f"name={service}.").splitlines()
        return {name: (container, int(agent.out("container", "inspect", "--format", "{{.State.Pid}}",
                                                 container)))
                for container, name in (row.split() for row in rows)}

    def test_kill_nine_of_agentd_20_times_under_load(self):
        """Every round: changes are under way, the agent dies, and one container ends before it is back."""
        agent = self.swarm()
        self.web_image(agent)
        create = ("service", "create", "--no-healthcheck", "-d", "--restart-delay", "0s", "--replicas")
        agent.ctl(*create, "8", "--name", "web", "web:1")
        agent.ctl(*create, "5", "--name", "victim", "web:1")  # four ends per slot are no crash loop yet
        agent.wait_running("web", 8)
        agent.wait_running("victim", 5)
        before = self.containers_of(agent, "web")
        self.assertEqual(len(before), 8)
        with Load(agent) as load:
            for round_number in range(20):
                name, (_, pid) = sorted(self.containers_of(agent, "victim").items())[round_number % 5]
                agent.kill()
                os.kill(pid, signal.SIGKILL)
                agent.start()
                ended = eventually("its end is reported", lambda: [
                    t for t in agent.tasks("victim", all_states=True) if t["id"] == name.split(".")[2] and t["state"] == "failed"])
                self.assertIn("(137)", ended[0]["error"], f"round {round_number}")
                agent.wait_running("victim", 5)
        self.assertEqual(self.containers_of(agent, "web"), before, "same containers, same processes")
        self.assertEqual(len(agent.tasks("web", all_states=True)), 8, "no task was replaced")
        self.assertGreater(len(load.acknowledged), 20, "there was load")
        self.assertEqual(load.acknowledged - set(agent.out("service", "ls", "--format", "{{.Name}}").split()), set())

    def test_exits_while_the_agent_was_dead_are_reported_with_their_codes(self):
        agent = self.swarm()
        self.web_image(agent)
        agent.ctl("service", "create", "--name", "killed", "--no-healthcheck", "-d", "--restart-condition", "none", "web:1")
        agent.ctl("service", "create", "--name", "exits", "--no-healthcheck", "-d", "--restart-condition", "none",
                  "--entrypoint", "/bin/sh", "web:1", "-c",
                  "while ! [ -e /tmp/go ]; do sleep 0.1; done; exit 7")
        agent.wait_running("killed", 1)
        agent.wait_running("exits", 1)
        pids = {}
        for container in agent.out("container", "ls", "-q").split():
            name = agent.out("container", "inspect", "--format", "{{.Name}}", container).lstrip("/")
            pids[name.split(".")[0]] = int(agent.out("container", "inspect", "--format", "{{.State.Pid}}", container))
        agent.kill()
        os.kill(pids["killed"], signal.SIGKILL)
        open(f"/proc/{pids['exits']}/root/tmp/go", "w", encoding="utf-8").close()
        eventually("both processes ended", lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids.values()))
        agent.start()
        for service, code in (("killed", 137), ("exits", 7)):
            def failed():
                return [t for t in agent.tasks(service, all_states=True) if t["state"] == "failed"]
            task = eventually(f"{service} is failed", failed)[0]
            self.assertIn(f"({code})", task["error"])

    def crash_runtime(self, agent):
        """Kills the process of the isolated runtime; it is back after a tenth of a second."""
        pid = int(agent.out("plugin", "inspect", "--format", "{{.Pid}}", "oci"))
        os.kill(pid, signal.SIGKILL)
        eventually("it ended", lambda: not os.path.exists(f"/proc/{pid}"))

    def loaded_agent(self, config=""):
        """An agent whose two tasks use every kind of driver, and {container id: pid} of them."""
        agent = self.swarm(config)
        self.web_image(agent)
        agent.ctl("service", "create", "--name", "web", "--no-healthcheck", "--replicas", "2", "-d", "--publish",
                  "mode=host,target=80", "--mount",
                  "type=volume,src=data,dst=/data,volume-opt=type=tmpfs,volume-opt=device=tmpfs", "web:1")
        agent.wait_running("web", 2)
        return agent, agent.containers()

    def nothing_left(self, agent, before):
        """Of the tasks, no process, mount, interface, rule or cgroup is there."""
        return (not any(os.path.exists(f"/proc/{pid}") for pid in before.values())
                and agent.kernel_state() == {"containers": {}, "mounts": [], "rules": "", "things": []})

    def test_container_ls_waits_for_the_runtime_and_is_never_wrongly_empty(self):
        agent, before = self.loaded_agent('[plugin.oci]\nplacement = "isolated"\n')
        for _ in range(3):
            self.crash_runtime(agent)
            self.assertEqual(agent.containers(), before)
        for _ in range(3):
            agent.kill()
            agent.start(wait=False)
            answered = []
            def answer():
                done = agent.ctl("container", "ls", "-q", "--no-trunc", check=False)
                answered.append(done.stdout.split())
                return done.returncode == 0
            eventually("the list is answered", answer)
            self.assertEqual(set(answered[-1]), set(before))

    def test_a_leave_waits_for_a_runtime_that_comes_back(self):
        agent, before = self.loaded_agent('[plugin.oci]\nplacement = "isolated"\n')
        self.crash_runtime(agent)
        agent.ctl("swarm", "leave", "--force")
        self.assertTrue(self.nothing_left(agent, before), agent.kernel_state())

    def test_what_a_leave_could_not_remove_goes_when_the_driver_is_there_again(self):
        agent, before = self.loaded_agent()
        agent.ctl("plugin", "disable", "oci")
        agent.ctl("swarm", "leave", "--force")
        self.assertTrue(all(os.path.exists(f"/proc/{pid}") for pid in before.values()), "nobody could stop them")
        agent.stop()
        agent.start()
        eventually("a start outside of a swarm takes it away", lambda: self.nothing_left(agent, before))

    def test_a_crash_names_the_plugin_it_came_from(self):
        agent = self.swarm()
        threads = run("ps", "-L", "-o", "tid=,comm=", "-p", str(agent.process.pid)).stdout.splitlines()
        bridge = next(line.split()[0] for line in threads if line.split()[1] == "bridge")
        ctypes.CDLL(None).tgkill(agent.process.pid, int(bridge), int(signal.SIGSEGV))
        self.assertEqual(agent.process.wait(10), -signal.SIGSEGV)
        self.assertIn("agentd: crashed with SIGSEGV in thread 'bridge'; tasks keep running", agent.log())
        self.assertRegex(agent.log().split("crashed with")[1], r"Stack:\n.*agentd\(")
        agent.start()

    def test_two_agents_never_touch_each_other(self):
        one, two = self.swarm(), self.swarm()
        for agent in (one, two):
            self.web_image(agent)
            agent.ctl("service", "create", "--name", "web", "--no-healthcheck", "--replicas", "2", "-d",
                      "--publish", "mode=host,target=80", "--mount", "type=volume,src=data,dst=/data", "web:1")
            agent.wait_running("web", 2)
        ports = one.host_ports("web") + two.host_ports("web")
        self.assertEqual(len(set(ports)), 4, ports)
        theirs = two.kernel_state()
        for part in ("containers", "mounts", "rules", "things"):
            self.assertTrue(theirs[part], part)
        one.kill()
        self.assertEqual(two.kernel_state(), theirs)
        one.start()
        one.wait_running("web", 2)
        self.assertEqual(two.kernel_state(), theirs)
        one.ctl("service", "rm", "web")
        eventually("the first agent's containers are gone", lambda: not one.containers())
        one.ctl("swarm", "leave", "--force")
        self.assertEqual(two.kernel_state(), theirs)
        one.stop()
        self.assertEqual(two.kernel_state(), theirs)
        for port in two.host_ports("web"):
            self.assertIn("v1", run("curl", "-fsS", "-m", "5", f"http://127.0.0.1:{port}/text").stdout)
        self.assertTrue(two.out("volume", "ls", "-q"))


if __name__ == "__main__":
    main()
