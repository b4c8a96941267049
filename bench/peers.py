"""What the swarm bench compares: members of a real etcd, and clients of both that keep their connection."""
import base64
import contextlib
import ctypes
import http.client
import importlib
import json
import os
import socket
import subprocess
import sys

import lab


class Etcd:
    """Three members on three machines of a netlab.Net, with etcd's default timers (100 ms, 1 s)."""

    def __init__(self, net, directory):
        self.net, self.directory = net, directory
        self.hosts = [net.add() for _ in range(3)]
        self.processes = {}
        for host in self.hosts:
            self.start(host)
        lab.eventually("etcd has a leader", self.leader, 30)

    def url(self, host, port):
        return f"http://{self.net.ip(host)}:{port}"

    def start(self, host):
        cluster = ",".join(f"{h}={self.url(h, 2380)}" for h in self.hosts)
        log = open(f"{self.directory}/etcd-{host}.log", "ab")
        self.processes[host] = subprocess.Popen(
            [*self.net.enter(host), "etcd", "--name", host, "--data-dir", f"{self.directory}/etcd-{host}",
             "--listen-peer-urls", self.url(host, 2380), "--initial-advertise-peer-urls", self.url(host, 2380),
             "--listen-client-urls", self.url(host, 2379), "--advertise-client-urls", self.url(host, 2379),
             "--initial-cluster", cluster, "--initial-cluster-state", "new"], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        log.close()

    def ctl(self, host, *args):
        environment = dict(os.environ, ETCDCTL_API="3")
        return lab.run(*self.net.enter(host), "etcdctl", f"--endpoints={self.url(host, 2379)}", *args, check=False,
                       env=environment)

    def leader(self):
        """The host that leads as one of the others knows; "" when none does."""
        known = {}
        for host in self.hosts:
            done = self.ctl(host, "--dial-timeout=200ms", "--command-timeout=500ms", "endpoint", "status", "-w", "json")
            if done.returncode == 0:
                status = json.loads(done.stdout)[0]["Status"]
                known[host] = (status["header"]["member_id"], status.get("leader"))
        return next((h for h, (me, leads) in known.items() if me == leads), "")

    def put(self, host):
        return self.ctl(host, "--dial-timeout=200ms", "--command-timeout=500ms", "put", "k", "v").returncode == 0

    def kill(self, host):
        self.processes[host].kill()
        self.processes[host].wait()

    def stop(self):
        for process in self.processes.values():
            process.kill()
            process.wait()


@contextlib.contextmanager
def inside(net, host):
    """This thread is on that machine meanwhile; the sockets it makes stay there."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/thread-self/ns/net", "rb") as home, open(f"/run/netns/{net.name}-{host}", "rb") as away:
        def move(space):
            if libc.setns(space.fileno(), 0) != 0:
                raise OSError(ctypes.get_errno(), "setns")
        move(away)
        try:
            yield
        finally:
            move(home)


class EtcdClient:
    """Puts through the JSON gateway of the member on one machine, on one connection from there."""

    def __init__(self, net, host, size):
        self.connection = http.client.HTTPConnection(net.ip(host), 2379)
        with inside(net, host):
            self.connection.connect()
        self.value = base64.b64encode(b"x" * size).decode()
        self.number = 0

    def write(self):
        self.number += 1
        body = json.dumps({"key": base64.b64encode(b"k%d" % self.number).decode(), "value": self.value})
        self.connection.request("POST", "/v3/kv/put", body)
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise SystemExit(f"etcd refused a put: {text.decode()}")

    def close(self):
        self.connection.close()


def messages(directory):
    """The bus and control messages, made by protoc below that directory."""
    made = os.path.join(directory, "messages")
    os.makedirs(made)
    proto = os.path.join(lab.REPO, "sdk", "proto")
    files = [f"{proto}/skep/{name}" for name in os.listdir(f"{proto}/skep") if name.endswith(".proto")]
    lab.run("protoc", "-I", proto, f"--python_out={made}", *files)
    sys.path.insert(0, made)
    return importlib.import_module("skep.bus_pb2"), importlib.import_module("skep.control_pb2")


class SkepClient:
    """Calls on one connection to the control socket of an agent; a frame is two sizes, a header, a body."""

    def __init__(self, bus, control, socket_path, size):
        self.bus, self.control = bus, control
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(socket_path)
        self.correlation = 0
        self.exchange(bus.Header(protocol=1, type=bus.HELLO), bus.Hello(protocol=1, version="bench").SerializeToString())
        self.label = "x" * size
        self.spec = None

    def close(self):
        self.socket.close()

    def exchange(self, header, body):
        head = header.SerializeToString()
        self.socket.sendall(len(head).to_bytes(4, "little") + len(body).to_bytes(4, "little") + head + body)
        prefix = self.receive(8)
        answer = self.bus.Header.FromString(self.receive(int.from_bytes(prefix[:4], "little")))
        return answer, self.receive(int.from_bytes(prefix[4:], "little"))

    def receive(self, size):
        out = b""
        while len(out) < size:
            part = self.socket.recv(size - len(out))
            if not part:
                raise SystemExit("the agent closed its control socket")
            out += part
        return out

    def call(self, method, request, response):
        self.correlation += 1
        header = self.bus.Header(protocol=1, type=self.bus.REQUEST, correlation=self.correlation, target="core",
                                 method=f"control/1/{method}", deadline_ms=20000)
        answer, body = self.exchange(header, request.SerializeToString())
        if answer.status.code != 0:
            raise SystemExit(f"{method} was refused: {answer.status.message}")
        return response.FromString(body)

    def begin(self, name, template):
        """A service of its own, of which write() makes new versions."""
        spec = self.call("get_service", self.control.GetServiceRequest(ref=template),
                         self.control.GetServiceResponse).service.spec
        spec.name = name
        self.name = name
        self.version = self.call("create_service", self.control.CreateServiceRequest(spec=spec),
                                 self.control.CreateServiceResponse).service.meta.version
        self.spec, self.number = spec, 0

    def write(self):
        self.number += 1
        self.spec.labels["value"] = f"{self.number}-{self.label}"
        answer = self.call("update_service", self.control.UpdateServiceRequest(
            ref=self.name, version=self.version, spec=self.spec), self.control.UpdateServiceResponse)
        self.version = answer.service.meta.version
