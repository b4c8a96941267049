"""Clients that use a few services as registers, and a history of what they did and saw.

As tests/sim/register_clients.h, with real agents: the value of a register is a label of a service, and an update
names the version that was read. One operation is one `agentctl bus call`; its times are those of the monotonic
clock, in ns, around it. test-bin/lin_check (tests/linearizability) says whether a history can be explained.
"""
import json
import os
import random
import subprocess
import threading
import time

from lab import BUILD, run

KEYS = ("r1", "r2", "r3")
DEADLINE_S = 3
LABEL = "value"
# Exit codes of errors that say that nothing was done (core/control/errors.h: is_refusal).
REFUSALS = {1, 3, 4, 5, 6, 7, 10}
# Exit code 8 may mean anything, but with these words the request is in no log. When they change, the outcome is
# taken as unknown: still right, and more work for lin_check.
SURELY_NOT = ("no agent answers at", "the swarm has no leader now")


class Operation:
    """What one client asked. `outcome`: "done", "refused" (nothing happened) or "unknown"."""

    def __init__(self, client, agent, kind, key, expected="-", value="-"):
        self.client, self.agent, self.kind, self.key = client, agent, kind, key
        self.expected, self.value, self.outcome = expected, value, "unknown"
        self.called, self.returned = time.monotonic_ns(), None

    def end(self, outcome):
        self.returned, self.outcome = time.monotonic_ns(), outcome

    def counts(self):
        """Whether it belongs into the history: it happened, or it may have."""
        return self.outcome == "done" or (self.outcome == "unknown" and self.kind != "read")

    def line(self):
        returned = self.returned if self.outcome == "done" else "?"
        return f"{self.client} {self.kind} {self.key} {self.expected} {self.value} {self.called} {returned}"


def outcome_of(done):
    if done is None:
        return "unknown"
    if done.returncode == 0:
        return "done"
    surely_not = done.returncode == 8 and any(words in done.stderr for words in SURELY_NOT)
    return "refused" if done.returncode in REFUSALS or surely_not else "unknown"


class Registers:
    """`each` clients ask each of the agents, whatever happens to it, until stop()."""

    def __init__(self, agents, rng, each=1):
        self.operations = []  # in the order of their calls, but for threads that overtake each other
        self.agents, self.errors = agents, []
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self.work, args=(number, agent, random.Random(rng.random())))
                        for number, agent in enumerate(agent for agent in agents for _ in range(each))]
        for thread in self.threads:
            thread.start()

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join()
        if self.errors:
            raise self.errors[0]

    def work(self, *args):
        try:
            self.run(*args)
        except Exception as error:  # stop() raises it in the test's thread
            self.errors.append(error)

    def run(self, client, agent, rng):
        count = 0
        while not self.stopping.wait(rng.uniform(0.02, 0.2)):
            count += 1
            key, value = rng.choice(KEYS), f"v{client}-{count}"
            kind = rng.choice(["create"] * 2 + ["remove"] + ["read"] * 3 + ["update"] * 4)
            if kind == "create":
                self.create(client, agent, key, value)
            elif kind == "remove":
                self.write(Operation(client, agent, "remove", key), "remove_service", {"ref": key})
            else:
                service = self.read(client, agent, key)
                if service and kind == "update":
                    self.update(client, agent, key, service, value)

    def call(self, operation, method, request):
        """The finished program; None when it did not come back."""
        self.operations.append(operation)
        try:
            return operation.agent.ctl("bus", "call", "--compact", "--deadline", f"{DEADLINE_S}s", "core",
                                       f"control/1/{method}", "-", stdin=json.dumps(request), check=False,
                                       timeout=3 * DEADLINE_S)
        except subprocess.TimeoutExpired:
            return None

    def write(self, operation, method, request):
        operation.end(outcome_of(self.call(operation, method, request)))

    def create(self, client, agent, key, value):
        spec = {"name": key, "replicated": {"replicas": 0}, "task": {"container": {"image": "web:1"}},
                "labels": {LABEL: value}}
        self.write(Operation(client, agent, "create", key, value=value), "create_service", {"spec": spec})

    def read(self, client, agent, key):
        """The service; None when there is none, or no answer."""
        operation = Operation(client, agent, "read", key)
        done = self.call(operation, "get_service", {"ref": key})
        outcome, service = outcome_of(done), None
        if outcome == "done":
            service = json.loads(done.stdout)["service"]
            operation.value = service["spec"]["labels"][LABEL]
        elif done and done.returncode == 3 and f"service '{key}' not found" in done.stderr:
            outcome = "done"
        operation.end(outcome)
        return service

    def update(self, client, agent, key, service, value):
        labels = dict(service["spec"]["labels"], **{LABEL: value})
        request = {"ref": service["id"], "version": service["meta"]["version"],
                   "spec": dict(service["spec"], labels=labels)}
        before = service["spec"]["labels"][LABEL]
        self.write(Operation(client, agent, "update", key, before, value), "update_service", request)

    def remove(self, agent):
        """After stop(): the next clients find no register."""
        agent.ctl("service", "rm", *KEYS, check=False)

    # ---- what was seen ----
    def asked(self, agents, since):
        """What these agents were asked since then (time.monotonic_ns())."""
        return [o for o in list(self.operations) if o.agent in agents and o.called >= since]

    def done(self, agents, since, kinds=("create", "update", "remove", "read")):
        return [o for o in self.asked(agents, since) if o.outcome == "done" and o.kind in kinds]

    def history(self):
        return [operation for operation in self.operations if operation.counts()]


def judge(path, lines):
    """(0: linearizable, 1: not, 2: too hard or unreadable; what lin_check says) of the lines, kept in `path`."""
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    done = run(os.path.join(BUILD, "test-bin", "lin_check"), path, check=False, timeout=300)
    return done.returncode, done.stdout


def stale_read(history):
    """The line of a read at the end that sees what an acknowledged update replaced: no explanation fits."""
    update = next(o for o in history if o.kind == "update" and o.outcome == "done")
    end = max(o.returned or o.called for o in history)
    return f"99 read {update.key} - {update.expected} {end + 1} {end + 2}"


def check_history(test, registers, path, operations_min, updates_min):
    """Fails `test` unless the history is linearizable, is about enough, and would fail with one stale read in it."""
    history = registers.history()
    lines = [operation.line() for operation in history]
    done = [operation for operation in history if operation.outcome == "done"]
    test.assertGreaterEqual(len(done), operations_min, "too little happened to prove anything")
    test.assertGreaterEqual(sum(o.kind == "update" for o in done), updates_min, "too few updates")
    code, said = judge(path, lines)
    test.assertEqual(code, 0, f"{said}\n" + "\n".join(lines))
    print(f"{said.strip()}, {len(history) - len(done)} of unknown outcome")
    code, said = judge(f"{path}.stale", [*lines, stale_read(history)])
    test.assertEqual(code, 1, f"a stale read went unnoticed: {said}")
