"""The isolated volume plugin is killed while it stands at a named point inside a mount: in the end one
line in mountinfo, the task runs, and the plugin is back in under two seconds."""
import os
import signal
import time

from lab import SkepTest, eventually, main

POINTS = ["hold.before", "hold.after", "mount.before", "mount.after"]
ROUNDS = 5


class VolumeCrash(SkepTest):
    def plugin_pid(self, agent):
        return int(agent.out("plugin", "inspect", "--format", "{{.Pid}}", "local") or 0)

    def mounts(self, agent, name):
        path = f"{agent.root}/var/lib/skep/plugins/local/volumes/{name}/_data"
        with open("/proc/self/mountinfo", encoding="utf-8") as file:
            return sum(1 for line in file if line.split()[4] == path)

    def test_kill_nine_inside_a_mount_20_times_over_all_points(self):
        pauses = f"{self.directory}/pauses"
        os.makedirs(pauses)
        agent = self.swarm(f'[plugin.local]\nplacement = "isolated"\npause_dir = "{pauses}"\n')
        self.web_image(agent)
        slowest = 0.0
        for number in range(ROUNDS * len(POINTS)):
            point, name = POINTS[number % len(POINTS)], f"v{number}"
            open(f"{pauses}/{point}", "w", encoding="utf-8").close()
            agent.ctl("service", "create", "--name", name, "--no-healthcheck", "-d", "--mount",
                      f"type=volume,src={name},dst=/data,volume-opt=type=tmpfs,volume-opt=device=tmpfs", "web:1")
            eventually(f"the plugin stands at {point}", lambda: os.path.exists(f"{pauses}/{point}.reached"))
            pid = self.plugin_pid(agent)
            os.unlink(f"{pauses}/{point}")
            os.kill(pid, signal.SIGKILL)
            killed = time.monotonic()
            os.unlink(f"{pauses}/{point}.reached")
            eventually("the plugin is back", lambda: self.plugin_pid(agent) not in (0, pid))
            slowest = max(slowest, time.monotonic() - killed)
            agent.wait_running(name, 1)
            self.assertEqual(self.mounts(agent, name), 1, f"round {number}, {point}")
            agent.ctl("service", "rm", name)
            eventually("the mount is gone", lambda: self.mounts(agent, name) == 0)
        print(f"slowest return of the plugin: {slowest:.2f} s")
        self.assertLess(slowest, 2.0, "back in under two seconds")


if __name__ == "__main__":
    main()
