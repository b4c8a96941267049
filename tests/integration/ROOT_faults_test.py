"""Three managers under load and mixed faults: nothing that was acknowledged is lost, and what clients saw of
registers is linearizable, and the managers agree on the state.

SKEP_FAULT_RUNS=200 SKEP_FAULT_SEED=1 for more; a failure names its seed.
"""
import os
import random
import signal
import threading
import time

from lab import eventually, main
from netlab import ManagersTest
from registers import Registers, check_history

RUNS = int(os.environ.get("SKEP_FAULT_RUNS", "4"))
FIRST_SEED = int(os.environ.get("SKEP_FAULT_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 30)
SECONDS = 12
ACKNOWLEDGED_MIN, OPERATIONS_MIN, UPDATES_MIN = 10, 20, 2  # of a run that counts


class Load:
    """Creates services through whichever manager, and remembers what was acknowledged."""

    def __init__(self, agents, rng):
        self.agents = agents
        self.acknowledged, self.refused, self.longest = set(), 0, 0.0
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(n, random.Random(rng.random()))) for n in range(3)]
        for thread in self.threads:
            thread.start()

    def run(self, number, rng):
        count = 0
        while not self.stopping.is_set():
            count += 1
            name = f"s{number}-{count}"
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


class Faults(ManagersTest):
    def test_nothing_acknowledged_is_lost(self):
        for seed in range(FIRST_SEED, FIRST_SEED + RUNS):
            with self.subTest(SKEP_FAULT_SEED=seed):
                self.one_run(seed)

    def one_run(self, seed):
        rng = random.Random(seed)
        managers = self.managers(3)
        self.remember_ids(managers)
        load = Load(managers, rng)
        registers = Registers(managers, rng, each=2)
        faults = []
        try:
            end = time.monotonic() + SECONDS
            while time.monotonic() < end:
                faults.append(self.fault(rng, managers))
                time.sleep(rng.uniform(0.2, 1.5))
            # A slow machine gets time without faults for what is missing.
            eventually("enough happened to prove something", lambda: self.counts(load, registers), 60)
        finally:
            load.stop()
            registers.stop()
        self.wait_managers(managers[0], 3, seconds=60)
        shown = f"seed {seed}: {len(load.acknowledged)} acknowledged, {load.refused} refused, the slowest took " \
                f"{load.longest:.1f} s; {', '.join(faults)}"
        print(shown)
        check_history(self, registers, f"{self.directory}/history-{seed}", OPERATIONS_MIN, UPDATES_MIN)
        self.check_same_state(managers)
        # Every manager leads once, with what it knows itself.
        checked = set()
        while len(checked) < 3:
            leader, others = self.eventual_leader(managers)
            if leader.known_id not in checked:
                checked.add(leader.known_id)
                there = set(leader.out("service", "ls", "--format", "{{.Name}}").split())
                self.assertEqual(load.acknowledged - there, set(), "lost: " + shown)
            wanted = next((a for a in others if a.known_id not in checked), None)
            if wanted:
                leader.ctl("node", "demote", leader.known_id)
                self.wait_managers(wanted, 2, seconds=60)
                wanted.ctl("node", "promote", leader.known_id)
                self.wait_managers(wanted, 3, seconds=60)
        for agent in managers:
            agent.ctl("swarm", "leave", "--force", timeout=90)
            agent.stop()
            self.agents.remove(agent)

    def counts(self, load, registers):
        """Whether there was the load without which a run does not count."""
        return (len(load.acknowledged) >= ACKNOWLEDGED_MIN and
                len(registers.done(registers.agents, 0)) >= OPERATIONS_MIN and
                len(registers.done(registers.agents, 0, kinds=["update"])) >= UPDATES_MIN)

    def eventual_leader(self, managers):
        return eventually("somebody leads", lambda: self.leader(managers), 30)

    def fault(self, rng, managers):
        agent = rng.choice(managers)
        kind = rng.choice(["kill", "kill", "stop", "hang", "cut", "kill two", "kill all"])
        wait = rng.uniform(0, 3)
        if kind == "stop":
            agent.stop()
            agent.start(wait=False)
        elif kind == "hang":
            agent.process.send_signal(signal.SIGSTOP)
            time.sleep(wait)
            agent.process.send_signal(signal.SIGCONT)
        elif kind == "cut":
            self.net.cut(agent.host)
            time.sleep(wait)
            self.net.join(agent.host)
        else:
            victims = {"kill": [agent], "kill two": rng.sample(managers, 2), "kill all": managers}[kind]
            for victim in victims:
                victim.kill()
            time.sleep(wait / 2)
            for victim in victims:
                victim.start(wait=False)
        return kind


if __name__ == "__main__":
    main()
