"""The agent is killed and comes back: no container restarts, no task is lost, no exit is missed."""
import os
import signal

from lab import SkepTest, eventually, main, run


class Restart(SkepTest):
    def test_kill_nine_of_agentd_20_times_restarts_no_container(self):
        agent = self.swarm()
        self.web_image(agent)
        agent.ctl("service", "create", "--name", "web", "--no-healthcheck", "--replicas", "8", "-d", "web:1")
        agent.wait_running("web", 8)
        before = agent.containers()
        self.assertEqual(len(before), 8)
        for round_number in range(20):
            # Load: a change is under way while the agent dies.
            agent.ctl("service", "update", "-d", "--label-add", f"round={round_number}", "web", check=False)
            agent.kill()
            agent.start()
        agent.wait_running("web", 8)
        self.assertEqual(agent.containers(), before, "same containers, same processes")
        self.assertEqual(agent.out("service", "inspect", "--format", "{{.Spec.Labels.round}}", "web"), "19")
        self.assertEqual(len(agent.tasks("web", all_states=True)), 8, "no task was replaced")

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
