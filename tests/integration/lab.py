"""What the integration tests share: agents with roots of their own, images, waiting, cleaning up.

Every test runs real agents with real containers and ends with a check that nothing is left: no
process, mount, interface or packet rule of its own. Standard library only.
"""
import concurrent.futures
import contextlib
import faulthandler
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("SKEP_BUILD_DIR") or os.path.join(REPO, "build", "dev")
BIN = os.path.join(BUILD, "bin")


def run(*argv, timeout=60, check=True, env=None, stdin=None):
    """A finished program; its output in the error when it failed and must not."""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL if stdin is None else None, input=stdin,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=timeout, env=env)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(argv)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done


def eventually(what, condition, seconds=30):
    """The first true value of condition(); fails with `what` and the last value or error."""
    deadline = time.monotonic() + seconds
    last = None
    while time.monotonic() < deadline:
        try:
            last = condition()
            if last:
                return last
        except AssertionError as error:
            last = error
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds} s: {what}; last: {last}")


class Agent:
    """One agentd on a root of its own. `config` is the text of its agentd.toml."""

    def __init__(self, root, config=""):
        self.root = root
        self.process = None
        self.configure(config)

    def configure(self, config):
        os.makedirs(f"{self.root}/etc/skep", exist_ok=True)
        with open(f"{self.root}/etc/skep/agentd.toml", "w", encoding="utf-8") as file:
            file.write(config)

    def start(self, wait=True, wrap=()):
        """`wrap`: a program and its arguments that agentd is started through."""
        log = open(f"{self.root}/agentd.log", "ab")
        self.process = subprocess.Popen([*wrap, f"{BIN}/agentd", "--root", self.root], stdin=subprocess.DEVNULL,
                                        stdout=log, stderr=log, start_new_session=True)
        log.close()
        if wait:
            eventually("the agent answers", lambda: self.ctl("info", check=False).returncode == 0)
        return self

    def start_refused(self, wrap=(), timeout=60):
        """Starts agentd, which must end by itself: (exit code, what it complained about)."""
        done = run(*wrap, f"{BIN}/agentd", "--root", self.root, check=False, timeout=timeout)
        with open(f"{self.root}/agentd.log", "a", encoding="utf-8") as file:
            file.write(done.stderr)
        words = [line for line in done.stderr.splitlines() if line.startswith("agentd: ")]
        return done.returncode, "\n".join(words)

    def ctl(self, *args, check=True, timeout=60, env=None, stdin=None):
        environment = dict(os.environ, SKEP_ROOT=self.root, HOME=self.root, **(env or {}))
        return run(f"{BIN}/agentctl", *args, check=check, timeout=timeout, env=environment, stdin=stdin)

    def out(self, *args, **options):
        return self.ctl(*args, **options).stdout.strip()

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def lose_machine(self):
        """Killed before: its files are gone, and what its kernel held. A new one takes its place."""
        clean_kernel(self.tag())
        shutil.rmtree(f"{self.root}/var/lib/skep")

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def tag(self):
        """The installation id; "" before the first start."""
        try:
            with open(f"{self.root}/var/lib/skep/installation.id", encoding="utf-8") as file:
                return file.readline().strip()
        except OSError:
            return ""

    def kernel_state(self):
        """All that the kernel and the runtime hold for this agent, to compare before and after."""
        with open("/proc/self/mountinfo", encoding="utf-8") as file:
            mounts = sorted(line.split(" ", 4)[4] for line in file if f"{self.root}/" in line)
        return {"containers": self.containers(), "mounts": mounts, "rules": packet_rules(self.tag()),
                "things": sorted(kernel_things(self.tag()))}

    def memory(self):
        """(sum of PSS, sum of RSS) of agentd and its plugin hosts, MB. PSS is right for one agent on a machine; with others
        beside, which share its libraries, RSS is what it cannot exceed."""
        pids = [str(self.process.pid), *run("pgrep", "-P", str(self.process.pid), check=False).stdout.split()]
        sums = {"Pss": 0, "Rss": 0}
        for pid in pids:
            with open(f"/proc/{pid}/smaps_rollup", encoding="utf-8") as file:
                for line in file:
                    name = line.split(":")[0]
                    if name in sums:
                        sums[name] += int(line.split()[1])
        return sums["Pss"] / 1024, sums["Rss"] / 1024

    def log(self):
        with open(f"{self.root}/agentd.log", encoding="utf-8", errors="replace") as file:
            return file.read()

    # ---- what services look like ----
    def tasks(self, service, all_states=False):
        """[{id, name, state, desired, error, ports, container}] of a service, newest first per slot."""
        args = ["service", "ps", service, "--no-trunc", "--format", "json"]
        rows = [json.loads(line) for line in self.out(*args).splitlines() if line]
        tasks = [{"id": row["ID"], "name": row["Name"].strip().removeprefix("\\_ ").strip(),
                  "state": row["CurrentState"].split()[0].lower(),
                  "desired": row["DesiredState"].lower(), "error": row["Error"], "ports": row["Ports"]}
                 for row in rows]
        return tasks if all_states else [t for t in tasks if t["desired"] in ("running", "ready")]

    def running(self, service):
        return [t for t in self.tasks(service) if t["state"] == "running"]

    def wait_running(self, service, count, seconds=60):
        return eventually(f"{service} has {count} running tasks",
                          lambda: len(self.running(service)) == count and self.running(service), seconds)

    def host_ports(self, service):
        out = []
        for task in self.running(service):
            out += [int(part.split(":")[1].split("->")[0]) for part in task["ports"].split(",") if "->" in part]
        return out

    def containers(self):
        """{container id: pid} of running containers."""
        out = {}
        for container in self.out("container", "ls", "-q", "--no-trunc").split():
            pid = self.out("container", "inspect", "--format", "{{.State.Pid}}", container)
            out[container] = int(pid)
        return out


def rules_table(tag):
    """The name of the bridge driver's table of an installation."""
    value = 0xcbf29ce484222325  # plugins/lib/hash.h: short_hash(tag, 12)
    for byte in tag.encode():
        value = ((value ^ byte) * 0x100000001b3) & (2**64 - 1)
    value = ((value ^ (value >> 30)) * 0xbf58476d1ce4e5b9) & (2**64 - 1)
    value = ((value ^ (value >> 27)) * 0x94d049bb133111eb) & (2**64 - 1)
    value ^= value >> 31
    digits = "".join("0123456789abcdef"[(value >> (4 * i)) & 15] for i in range(12))
    return f"skep-bridge-{digits}"


def packet_rules(tag):
    """That table as nft prints it; "" when there is none."""
    return run("nft", "list", "table", "ip", rules_table(tag), check=False).stdout


def kernel_things(tag):
    """Interfaces, packet rules and cgroups that bear an installation's id."""
    left = ["link " + line for line in run("ip", "-o", "link").stdout.splitlines() if tag in line]
    left += ["rules " + line for line in packet_rules(tag).splitlines()[:1]]
    for directory, names, _ in os.walk("/sys/fs/cgroup"):
        if directory.removeprefix("/sys/fs/cgroup").count("/") < 2:
            left += [f"cgroup {directory}/{name}" for name in names if tag in name]
        else:
            names.clear()
    return left


def end_group(directory):
    """Kills what runs in a cgroup and removes it."""
    for _ in range(50):
        with contextlib.suppress(OSError):
            os.rmdir(directory)
            return
        with contextlib.suppress(OSError), open(f"{directory}/cgroup.procs", encoding="utf-8") as file:
            for pid in file.read().split():
                os.kill(int(pid), signal.SIGKILL)
        time.sleep(0.02)


def clean_kernel(tag):
    """Removes what a failed test left, for the next one would stumble over it."""
    for kind, name in (thing.split(" ", 1) for thing in kernel_things(tag)):
        if kind == "cgroup":
            for directory, _, _ in os.walk(name, topdown=False):
                end_group(directory)
        elif kind == "rules":
            run("nft", "delete", "table", "ip", rules_table(tag), check=False)
        elif kind == "link":
            run("ip", "link", "delete", name.split(": ")[1].split("@")[0], check=False)


class SkepTest(unittest.TestCase):
    """Gives temporary roots, and sees to it that nothing is left."""

    # A manager that finds no leader waits ten seconds before it leaves by force. One after the other, those that
    # have a quorum hand over and need not; when most have none anyway, they had better wait together.
    leave_together = False

    def setUp(self):
        if os.geteuid() != 0:
            raise AssertionError("integration tests need root: containers, namespaces and mounts")
        self.directory = tempfile.mkdtemp(prefix="skep-")
        self.since = time.monotonic()
        self.agents = []
        self.processes = []

    def refused(self, agent, code, says, *args, **options):
        """The command fails with this exit code (None: any) and one error that holds all of `says`."""
        done = agent.ctl(*args, check=False, **options)
        shown = f"agentctl {' '.join(args)}: [{done.returncode}] {done.stdout}{done.stderr}"
        if code is None:
            self.assertNotEqual(done.returncode, 0, shown)
        else:
            self.assertEqual(done.returncode, code, shown)
        self.assertEqual(done.stderr.count("Error:"), 1, shown)
        for words in [says] if isinstance(says, str) else says:
            self.assertIn(words, done.stderr, shown)
        return done.stderr

    def pending(self, agent, service):
        """Why the newest task of a service waits for a node."""
        return eventually(f"{service} waits and says why", lambda: [
            t for t in agent.tasks(service) if t["state"] == "pending" and t["error"]])[0]["error"]

    def ended(self, agent, service, state="rejected", seconds=60):
        """The error of the newest task of a service that ended in `state`."""
        return eventually(f"a task of {service} is {state}", lambda: [
            t for t in agent.tasks(service, all_states=True) if t["state"] == state], seconds)[0]["error"]

    def agent(self, config="", name=None):
        agent = Agent(f"{self.directory}/{name or f'a{len(self.agents)}'}", config)
        self.agents.append(agent)
        return agent

    def swarm(self, config=""):
        """A started agent with a swarm of one node."""
        agent = self.agent(config).start()
        agent.ctl("swarm", "init", "--advertise-addr", "127.0.0.1")
        return agent

    def web_image(self, agent=None, text="v1", tag="web:1", destination=None, extra=()):
        """A small web image from busybox; loaded into `agent` when one is given."""
        archive = f"{self.directory}/{tag.replace(':', '-').replace('/', '_')}.tar"
        if destination or not os.path.exists(archive):
            run(f"{REPO}/tests/lab/make-test-image", "-x", text, *extra,
                destination or f"docker-archive:{archive}:{tag}")
        if agent:
            agent.ctl("image", "load", "--input", archive)
        return archive

    def background(self, *argv, **options):
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL, **options)
        self.processes.append(process)
        return process

    def tearDown(self):
        tested = time.monotonic()
        if self._outcome_failed():
            self.end_roughly()
            return
        with concurrent.futures.ThreadPoolExecutor(max_workers=8 if self.leave_together else 1) as pool:
            kernel = sum(pool.map(self.end_agent, self.agents), [])
        self.end_processes()
        left = self.leftovers()
        self.sweep()
        print(f"[{tested - self.since:.0f} s and {time.monotonic() - tested:.0f} s to end]", end=" ", file=sys.stderr)
        self.assertEqual(left + kernel, [], "left behind after leave and stop")

    def end_agent(self, agent):
        """The agent leaves its swarm and ends; what the kernel still holds of it."""
        if agent.process is None:
            return []
        if agent.process.poll() is not None:
            agent.start(wait=False)
            with contextlib.suppress(AssertionError):
                eventually("the agent answers", lambda: agent.ctl("info", check=False).returncode == 0, 20)
        agent.ctl("swarm", "leave", "--force", check=False, timeout=90)
        agent.stop()
        left = kernel_things(agent.tag()) if agent.tag() else []
        if left:
            clean_kernel(agent.tag())
        return left

    def end_roughly(self):
        """After a failure: shows what the agents said and takes all away, for a polite end may never come."""
        for agent in self.agents:
            if os.path.exists(f"{agent.root}/agentd.log"):
                print(f"---- end of {agent.root}/agentd.log\n" + agent.log()[-4000:], file=sys.stderr)
            if agent.process is not None and agent.process.poll() is None:
                agent.kill()
        self.end_processes()
        for tag in filter(None, [agent.tag() for agent in self.agents]):
            clean_kernel(tag)
        self.sweep()

    def end_processes(self):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()

    def _outcome_failed(self):
        outcome = getattr(self, "_outcome", None)
        result = getattr(outcome, "result", None)
        return bool(result) and any(
            self in (test, getattr(test, "test_case", None)) for test, _ in result.failures + result.errors)

    def leftovers(self):
        left = []
        with open("/proc/self/mountinfo", encoding="utf-8") as file:
            left += ["mount " + line.split()[4] for line in file if self.directory in line]
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    command = file.read().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if self.directory in command and int(pid) != os.getpid():
                left.append(f"process {pid} {command}")
        return left

    def sweep(self):
        """What a failed test left: its own processes and mounts, found by its own directory."""
        for item in self.leftovers():
            if item.startswith("process "):
                try:
                    os.kill(int(item.split()[1]), signal.SIGKILL)
                except ProcessLookupError:
                    pass
        for item in reversed(self.leftovers()):
            if item.startswith("mount "):
                run("umount", "-l", item.removeprefix("mount "), check=False)
        shutil.rmtree(self.directory, ignore_errors=True)


def main():
    # Before CTest's limit (CMakeLists.txt), so that a test that hangs shows where.
    faulthandler.dump_traceback_later(1185, exit=True)
    unittest.main(verbosity=2)
