#!/usr/bin/env python3
"""service_bench.py BUILD_DIR [COUNT...]: `service create --replicas N` until all run, beside N bare starts.

The floor is N times conmon with `runc create`, then `runc start`, of the very bundle that the agent made for
one of its tasks, as many at once as there are cores. Host network on both sides, an image that is already
there. Needs root. Prints figures; asserts nothing but that the tasks came to run.
"""
import concurrent.futures
import json
import os
import shutil
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "integration"))
os.environ["SKEP_BUILD_DIR"] = os.path.abspath(sys.argv[1])
import lab  # noqa: E402  (needs SKEP_BUILD_DIR)


class BareStarts:
    """Starts copies of one container's bundle with nothing but conmon and runc."""

    def __init__(self, directory, config):
        self.directory = directory
        self.config = config
        self.lower = f"{directory}/rootfs"
        self.ids = []

    def prepare(self, number):
        name = f"bare{os.getpid()}-{number}"
        bundle = f"{self.directory}/{name}"
        os.makedirs(bundle)
        config = json.loads(json.dumps(self.config))
        config["root"]["path"] = self.lower
        config["linux"]["cgroupsPath"] = f"/skep-{name}"
        config["mounts"] = [m for m in config["mounts"] if m["type"] not in ("bind", "none")]
        with open(f"{bundle}/config.json", "w", encoding="utf-8") as file:
            json.dump(config, file)
        self.ids.append(name)

    def start(self, name):
        bundle = f"{self.directory}/{name}"
        ours, theirs = os.pipe()
        conmon = subprocess.Popen(
            ["conmon", "--api-version", "1", "-c", name, "-u", name, "-r", shutil.which("runc"),
             "--runtime-arg", f"--root={self.directory}/runc", "-b", bundle, "-p", f"{bundle}/pid",
             "-P", f"{bundle}/conmon.pid", "--exit-dir", self.directory, "-l", f"k8s-file:{bundle}/log",
             "--log-level", "error", "--full-attach", "--no-sync-log"],
            pass_fds=[theirs], env=dict(os.environ, _OCI_SYNCPIPE=str(theirs)), stdin=subprocess.DEVNULL)
        os.close(theirs)
        answer = os.read(ours, 4096)
        os.close(ours)
        conmon.wait()
        if json.loads(answer)["data"] <= 0:
            raise SystemExit(f"bare start failed: {answer.decode()}")
        subprocess.run(["runc", f"--root={self.directory}/runc", "start", name], check=True)

    def run(self):
        begin = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(self.start, self.ids))
        return time.monotonic() - begin

    def remove(self):
        for name in self.ids:
            subprocess.run(["runc", f"--root={self.directory}/runc", "delete", "-f", name], check=False)
        for name in self.ids:
            lab.eventually("conmon ended", lambda: not os.path.exists(f"/proc/{self.conmon(name)}"))

    def conmon(self, name):
        with open(f"{self.directory}/{name}/conmon.pid", encoding="utf-8") as file:
            return file.read().strip()


class Bench(lab.SkepTest):
    counts = [20, 100]

    def create(self, agent, count):
        begin = time.monotonic()
        agent.ctl("service", "create", "--detach", "--name", f"s{count}", "--replicas", str(count), "--network", "host",
                  "--restart-condition", "none", "bench:1", timeout=120)
        lab.eventually("all run", lambda: agent.out("service", "ls", "--format", "{{.Replicas}}") == f"{count}/{count}", 300)
        return time.monotonic() - begin

    def bundle_of(self, agent):
        """config.json of a running task, and a copy of the root file system it sees."""
        bundles = f"{agent.root}/run/skep"
        found = lab.run("find", bundles, "-name", "config.json", "-path", "*bundles*").stdout.split()
        with open(found[0], encoding="utf-8") as file:
            config = json.load(file)
        root = config["root"]["path"]
        root = root if os.path.isabs(root) else os.path.join(os.path.dirname(found[0]), root)
        return config, root

    def test_create(self):
        agent = self.swarm()
        self.web_image(agent, tag="bench:1", extra=("-n", "-c", "/bin/busybox sleep 3600"))
        for count in self.counts:
            skep = self.create(agent, count)
            config, root = self.bundle_of(agent)
            bare = BareStarts(f"{self.directory}/bare{count}", config)
            os.makedirs(bare.directory)
            lab.run("cp", "-a", root, bare.lower)
            agent.ctl("service", "rm", f"s{count}")
            lab.eventually("all gone", lambda: agent.out("container", "ls", "-q") == "", 120)
            for number in range(count):
                bare.prepare(number)
            try:
                floor = bare.run()
            finally:
                bare.remove()
            print(f"service create {count}: {skep:.2f} s to all running; bare conmon+runc {floor:.2f} s; "
                  f"ratio {skep / floor:.2f}", flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        Bench.counts = [int(word) for word in sys.argv[2:]]
    lab.unittest.main(argv=sys.argv[:1], verbosity=0)
