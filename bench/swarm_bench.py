#!/usr/bin/env python3
"""swarm_bench.py BUILD_DIR [KILLS]: failover, commits, loss of a worker and memory of a swarm, beside etcd.

Three managers (and two workers) in network namespaces of this machine; etcd's three members beside them in
the same run, with default timers on both sides. Needs root, etcd-server and etcd-client. Prints figures;
asserts only that both recover.
"""
import concurrent.futures
import os
import statistics
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "integration"))
os.environ["SKEP_BUILD_DIR"] = os.path.abspath(sys.argv[1])
import lab  # noqa: E402  (needs SKEP_BUILD_DIR)
from netlab import ManagersTest  # noqa: E402
from peers import Etcd, EtcdClient, SkepClient, messages  # noqa: E402

KILLS = int(sys.argv[2]) if len(sys.argv) > 2 else 20
SIZE = 256  # bytes of a value
WRITES = 300  # of one client
CLIENTS = 64
WRITES_EACH = 20


def spread(values):
    return f"median {statistics.median(values):.2f} s, worst {max(values):.2f} s"


def once(write, seconds=30):
    """Seconds until write() is accepted."""
    begin = time.monotonic()
    lab.eventually("a write is taken", write, seconds)
    return time.monotonic() - begin


def one_sync(directory):
    """Median seconds of one fdatasync after 256 bytes."""
    took = []
    with open(f"{directory}/sync", "wb", buffering=0) as file:
        for _ in range(WRITES):
            begin = time.monotonic()
            file.write(b"x" * SIZE)
            os.fdatasync(file.fileno())
            took.append(time.monotonic() - begin)
    return statistics.median(took)


def one_client(client):
    """Median seconds of a write."""
    took = []
    for _ in range(WRITES):
        begin = time.monotonic()
        client.write()
        took.append(time.monotonic() - begin)
    client.close()
    return statistics.median(took)


def many_clients(clients):
    """Writes a second of all together. The clients share one Python: a lower bound of what the servers can."""
    begin = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(len(clients)) as pool:
        list(pool.map(lambda client: [client.write() for _ in range(WRITES_EACH)], clients))
    took = time.monotonic() - begin
    for client in clients:
        client.close()
    return len(clients) * WRITES_EACH / took


def memory(agents):
    return ", ".join("%.1f (%.1f)" % agent.memory() for agent in agents)


class Bench(ManagersTest):
    def test_failover_and_commits(self):
        etcd = Etcd(self.net, self.directory)
        try:
            self.etcd_failover(etcd)
            self.skep_failover(self.managers(3))
            self.commits(etcd)
        finally:
            etcd.stop()

    def etcd_failover(self, etcd):
        took = []
        for _ in range(KILLS):
            leader = lab.eventually("etcd has a leader", etcd.leader, 30)
            other = next(host for host in etcd.hosts if host != leader)
            once(lambda other=other: etcd.put(other))
            etcd.kill(leader)
            took.append(once(lambda other=other: etcd.put(other)))
            etcd.start(leader)
            once(lambda leader=leader: etcd.put(leader))
        print(f"etcd: leader killed -> next accepted put, {KILLS} kills: {spread(took)}", flush=True)

    def skep_failover(self, managers):
        self.remember_ids(managers)
        managers[0].ctl("service", "create", "--name", "counter", "--replicas", "0", "-d", "web:1")
        took, number = [], 0
        for _ in range(KILLS):
            leader, others = self.leader(managers)
            leader.kill()
            number += 1
            took.append(once(lambda number=number, other=others[0]: other.ctl(
                "service", "update", "--label-add", f"n={number}", "-d", "counter", check=False).returncode == 0))
            leader.start()
            self.wait_managers(others[1], 3)
        print(f"skep: leader killed -> next accepted service update, {KILLS} kills: {spread(took)} (worst allowed 3 s)",
              flush=True)

    def commits(self, etcd):
        bus, control = messages(self.directory)
        leader, _ = self.leader(self.agents)
        etcd_leader = etcd.leader()

        def client(number):
            made = SkepClient(bus, control, f"{leader.root}/run/skep/control.sock", SIZE)
            made.begin(f"c{number}", "counter")
            return made
        floor = one_sync(self.directory)
        ours, theirs = one_client(client(0)), one_client(EtcdClient(self.net, etcd_leader, SIZE))
        print(f"one client, {SIZE} B, 3 members on one disk: skep {ours * 1e3:.2f} ms ({ours / floor:.1f} x one fdatasync of "
              f"{floor * 1e3:.2f} ms), etcd {theirs * 1e3:.2f} ms ({theirs / floor:.1f} x)", flush=True)
        ours = many_clients([client(1 + number) for number in range(CLIENTS)])
        theirs = many_clients([EtcdClient(self.net, etcd_leader, SIZE) for _ in range(CLIENTS)])
        print(f"{CLIENTS} clients: skep {ours:.0f} service updates/s, etcd {theirs:.0f} puts/s, ratio {ours / theirs:.2f}",
              flush=True)

    def test_worker_loss_and_memory(self):
        managers = self.managers(3)
        workers = [self.worker(managers[0]), self.worker(managers[0])]
        self.remember_ids(managers + workers)
        self.wait_ready(managers[0], 5)
        for agent in workers:
            self.web_image(agent)
        time.sleep(10)
        print(f"memory, sum of PSS (of RSS), idle: managers of three {memory(managers)} MB (aim 30), workers {memory(workers)} MB "
              "(aim 15)", flush=True)
        managers[0].ctl("service", "create", "--name", "web", "--replicas", "10", "--constraint", "node.role==worker",
                        "--no-healthcheck", "-d", "web:1")
        managers[0].wait_running("web", 10, 90)
        pids = list(workers[0].containers().values())
        workers[0].kill()
        for pid in pids:
            os.kill(pid, 9)
        killed = once(lambda: len(workers[1].containers()) == 10, 90)
        workers[0].start()
        managers[0].ctl("service", "update", "--force", "-d", "web")
        lab.eventually("spread again", lambda: len(workers[0].containers()) == 5, 90)
        managers[0].wait_running("web", 10, 90)
        self.net.cut(workers[0].host)
        cut = once(lambda: len(workers[1].containers()) == 10, 120)
        self.net.join(workers[0].host)
        print(f"worker lost -> its 5 tasks run elsewhere: killed {killed:.1f} s, machine cut off {cut:.1f} s "
              "(Docker 17.7 s)", flush=True)


if __name__ == "__main__":
    lab.unittest.main(argv=sys.argv[:1], verbosity=0)
