"""Three managers and two workers under load and mixed faults: nothing that was acknowledged is lost, what clients
saw of registers is linearizable, the managers agree on the state, and every task runs once in the end.

SKEP_FAULT_RUNS=3 SKEP_FAULT_SEED=17 for others; a failure names its seed. `make soak` runs many.
"""
import contextlib
import os
import random
import signal
import threading
import time

from disks import DiskTest, fill, free
from lab import eventually, main
from netlab import ManagersTest
from registers import Registers, check_history

RUNS = int(os.environ.get("SKEP_FAULT_RUNS", "10"))
FIRST_SEED = int(os.environ.get("SKEP_FAULT_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 30)
SECONDS = 10
DISK_MIB = 128
TASKS = 5
ACKNOWLEDGED_MIN, OPERATIONS_MIN, UPDATES_MIN = 10, 20, 2  # of a run that counts


class Load:
    """Creates services through whichever manager, and remembers what was acknowledged."""

    def __init__(self, agents, rng, prefix):
        self.agents, self.prefix = agents, prefix
        self.acknowledged, self.refused, self.longest = set(), 0, 0.0
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(n, random.Random(rng.random()))) for n in range(3)]
        for thread in self.threads:
            thread.start()

    def run(self, number, rng):
        count = 0
        while not self.stopping.is_set():
            count += 1
            name = f"{self.prefix}-{number}-{count}"
            since = time.monotonic()
            done = rng.choice(self.agents).ctl("service", "create", "--name", name, "--replicas", "0", "-d", "web:1",
                                               check=False, timeout=90)
            if done.returncode == 0:
                self.acknowledged.add(name)
                self.longest = max(self.longest, time.monotonic() - since)
            else:
                self.refused += 1
                time.sleep(0.05)

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join()


class Faults(DiskTest, ManagersTest):
    def prepare(self, agent):
        self.give_disk(agent, DISK_MIB)

    def test_nothing_acknowledged_is_lost(self):
        self.managing = self.managers(3)
        self.everybody = self.managing + [self.worker(self.managing[0]) for _ in range(2)]
        self.remember_ids(self.everybody)
        for agent in self.everybody:
            self.web_image(agent)
        self.managing[0].ctl("service", "create", "--name", "web", "--replicas", str(TASKS), "--no-healthcheck", "-d",
                             "--restart-delay", "0s", "web:1")
        self.wait_settled()
        for seed in range(FIRST_SEED, FIRST_SEED + RUNS):
            print(f"SKEP_FAULT_SEED={seed}", flush=True)
            self.one_run(seed)
        self.assertGreater(self.check_state_lines(), 0, "no state at a 1,000th index was compared")

    def one_run(self, seed):
        rng = random.Random(seed)
        load = Load(self.managing, rng, f"s{seed}")
        registers = Registers(self.managing, rng, each=2)
        faults = []
        try:
            end = time.monotonic() + SECONDS
            while time.monotonic() < end:
                faults.append(self.fault(rng))
                time.sleep(rng.uniform(0.2, 1.5))
            # A slow machine gets time without faults for what is missing.
            eventually("enough happened to prove something", lambda: self.counts(load, registers), 60)
        finally:
            load.stop()
            registers.stop()
        shown = f"seed {seed}: {len(load.acknowledged)} acknowledged, {load.refused} refused, the slowest took " \
                f"{load.longest:.1f} s; {', '.join(faults)}"
        print(shown)
        self.wait_settled()
        check_history(self, registers, f"{self.directory}/history-{seed}", OPERATIONS_MIN, UPDATES_MIN)
        self.check_same_state(self.managing)
        self.check_each_knows(load.acknowledged, shown)
        registers.remove(self.managing[0])

    def counts(self, load, registers):
        """Whether there was the load without which a run does not count."""
        return (len(load.acknowledged) >= ACKNOWLEDGED_MIN and
                len(registers.done(registers.agents, 0)) >= OPERATIONS_MIN and
                len(registers.done(registers.agents, 0, kinds=["update"])) >= UPDATES_MIN)

    def wait_settled(self):
        """All are there, and of every task there is one, wherever it ran meanwhile."""
        for agent in self.everybody:
            if agent.process.poll() is not None:  # it was just starting when its disk was full; systemd would try again
                self.assertIn("No space left on device; free some space and start again", agent.log())
                agent.start(wait=False)
        self.wait_managers(self.managing[0], 3, seconds=60)
        self.wait_ready(self.managing[0], len(self.everybody), 60)
        self.managing[0].wait_running("web", TASKS, 90)
        eventually("what ran twice is stopped", lambda: sum(len(a.containers()) for a in self.everybody) == TASKS, 90)

    def check_each_knows(self, acknowledged, shown):
        """Every manager leads once, with what it knows itself."""
        checked = set()
        while len(checked) < len(self.managing):
            leader, others = eventually("somebody leads", lambda: self.leader(self.managing))
            if leader.known_id not in checked:
                checked.add(leader.known_id)
                there = set(leader.out("service", "ls", "--format", "{{.Name}}").split())
                self.assertEqual(acknowledged - there, set(), "lost: " + shown)
            wanted = next((a for a in others if a.known_id not in checked), None)
            if wanted:
                leader.ctl("node", "demote", leader.known_id)
                self.wait_managers(wanted, 2, seconds=60)
                wanted.ctl("node", "promote", leader.known_id)
                self.wait_managers(wanted, 3, seconds=60)

    # ---- faults ----
    def fault(self, rng):
        """Does one and undoes it; its name."""
        kind = rng.choice(["kill", "kill two", "kill managers", "stop", "hang", "cut", "full disk", "clock"])
        victims = {"kill two": rng.sample(self.everybody, 2), "kill managers": self.managing}.get(
            kind, [rng.choice(self.everybody)])
        wait = rng.uniform(0, 3)
        with {"stop": self.stopped, "hang": self.hanging, "cut": self.cut_off, "full disk": self.full,
              "clock": self.moved_clock}.get(kind, self.killed)(victims, rng):
            time.sleep(wait)
        return kind

    @contextlib.contextmanager
    def killed(self, victims, _):
        for victim in victims:
            victim.kill()
        yield
        for victim in victims:
            victim.start(wait=False)

    @contextlib.contextmanager
    def moved_clock(self, victims, rng):
        """Until its next start."""
        victims[0].kill()
        victims[0].start(wait=False, wrap=self.other_clock(rng.randrange(-60, 60)))
        yield

    @contextlib.contextmanager
    def stopped(self, victims, _):
        victims[0].stop()
        yield
        victims[0].start(wait=False)

    @contextlib.contextmanager
    def hanging(self, victims, _):
        victims[0].process.send_signal(signal.SIGSTOP)
        yield
        victims[0].process.send_signal(signal.SIGCONT)

    @contextlib.contextmanager
    def cut_off(self, victims, _):
        self.net.cut(victims[0].host)
        yield
        self.net.join(victims[0].host)

    @contextlib.contextmanager
    def full(self, victims, _):
        disk = self.disks[self.everybody.index(victims[0])]
        fill(disk)
        yield
        free(disk)


if __name__ == "__main__":
    main()
