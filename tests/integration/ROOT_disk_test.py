"""A disk that is full or read-only: one error that says so, a documented exit code, nothing lost, and all
goes on when there is room again."""
import os

from disks import DiskTest, fill, free
from lab import eventually, main, run

CREATE = ("service", "create", "-d", "--no-healthcheck", "--restart-delay", "1s")


class Disk(DiskTest):
    def agent_on_a_disk(self, megabytes, config=""):
        """An agent whose state directory is a file system of its own, and that directory."""
        agent = self.agent(config)
        return agent, self.give_disk(agent, megabytes)

    def fill(self, disk):
        fill(disk)
        self.assertEqual(os.statvfs(disk).f_bavail, 0)

    def test_a_full_disk_refuses_what_needs_room_and_loses_nothing(self):
        agent, disk = self.agent_on_a_disk(64)
        agent.start()
        agent.ctl("swarm", "init", "--advertise-addr", "127.0.0.1")
        archive = self.web_image(agent)
        agent.ctl(*CREATE, "--name", "web", "--mount", "type=volume,src=data,dst=/data", "web:1")
        agent.wait_running("web", 1)
        before = agent.containers()
        self.fill(disk)
        self.refused(agent, 7, ("No space left on device", "free"), "image", "load", "--input", archive)
        self.refused(agent, 7, ("No space left on device", "free"), "volume", "create", "more")
        # What was reserved for the log still takes changes; the task says what is missing.
        agent.ctl(*CREATE, "--name", "late", "web:1")
        self.assertIn("No space left on device", self.ended(agent, "late"))
        self.assertEqual(agent.containers(), before)
        eventually("info warns", lambda: "No space left on device" in agent.ctl("info").stderr, 60)
        agent.kill()
        code, said = agent.start_refused()
        self.assertEqual(code, 7, said)
        self.assertIn(f"{disk}/", said)
        self.assertIn("free some space and start again", said)
        free(disk)
        agent.start()
        agent.wait_running("web", 1)
        agent.wait_running("late", 1)
        self.assertLessEqual(before.items(), agent.containers().items(), "web's container kept running")
        self.assertEqual(agent.out("volume", "ls", "-q"), "data")

    def test_a_log_without_room_answers_that_and_goes_on_by_itself(self):
        agent, disk = self.agent_on_a_disk(40, "[plugin.raft]\nsegment_kib = 64\n")
        agent.start()
        agent.ctl("swarm", "init", "--advertise-addr", "127.0.0.1")
        self.web_image(agent)
        agent.ctl(*CREATE, "--name", "web", "web:1")
        agent.wait_running("web", 1)
        before = agent.containers()
        self.fill(disk)
        acknowledged = []
        for number in range(200):
            done = agent.ctl("service", "update", "-d", "--label-add", f"l{number}={'x' * 4000}", "web", check=False)
            if done.returncode != 0:
                break
            acknowledged.append(f"l{number}")
        self.assertEqual(done.returncode, 7, done.stderr)
        self.assertIn("No space left on device", done.stderr)
        self.assertIn("free", done.stderr)
        self.assertEqual(agent.containers(), before)
        free(disk)
        eventually("it goes on by itself", lambda: agent.ctl(
            "service", "update", "-d", "--label-add", "after=yes", "web", check=False).returncode == 0)
        agent.kill()
        agent.start()
        labels = agent.out("service", "inspect", "--format", "{{json .Spec.Labels}}", "web")
        for label in [*acknowledged, "after"]:
            self.assertIn(f'"{label}"', labels, "what was acknowledged is there")
        self.assertEqual(agent.containers(), before)

    def test_a_read_only_state_directory_is_said(self):
        agent, disk = self.agent_on_a_disk(64)
        agent.start()
        agent.ctl("swarm", "init", "--advertise-addr", "127.0.0.1")
        self.web_image(agent)
        agent.ctl(*CREATE, "--name", "web", "web:1")
        agent.wait_running("web", 1)
        before = agent.containers()
        agent.kill()
        # In a mount namespace of its own: the containers go on writing.
        read_only = ("unshare", "-m", "sh", "-c", f'mount -o remount,bind,ro {disk} && exec "$@"', "sh")
        code, said = agent.start_refused(wrap=read_only)
        self.assertEqual(code, 6, said)
        self.assertIn(disk, said)
        self.assertIn("Read-only file system", said)
        self.assertIn("make the file system writable and start again", said)
        agent.start()
        agent.wait_running("web", 1)
        self.assertEqual(agent.containers(), before)

    def test_a_full_disk_at_the_very_first_start(self):
        agent, disk = self.agent_on_a_disk(1)
        self.fill(disk)
        code, said = agent.start_refused()
        self.assertEqual(code, 7, said)
        self.assertIn("free some space and start again", said)
        free(disk)
        agent.start()
        # Not enough for a log: the init says so and leaves nothing half done.
        said = self.refused(agent, 7, ("No space left", "free"), "swarm", "init", "--advertise-addr", "127.0.0.1")
        self.assertIn(disk, said)
        self.assertEqual(agent.out("info", "--format", "{{.Swarm.LocalNodeState}}"), "inactive")
        run("mount", "-o", "remount,size=64m", disk)
        agent.ctl("swarm", "init", "--advertise-addr", "127.0.0.1")


if __name__ == "__main__":
    main()
