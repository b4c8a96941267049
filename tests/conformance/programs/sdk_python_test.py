"""skep_plugin.py, the SDK's helper for drivers in Python, against a hand-made agent: it answers heartbeats while a
call runs, says HELLO again when the agent restarts or falls silent, bounds what waits, and turns exceptions into
answers."""
import os
import subprocess
import sys
import tempfile
import textwrap
import time
import unittest

import zmq
from skep import bus_pb2 as bus, plugin_pb2 as plugin, volume_pb2 as volume

DRIVER = textwrap.dedent("""
    import os, sys, time
    from skep_plugin import Code, Refused, serve, volume
    class Driver:
        def start(self, request):
            print("state", request.state_dir, flush=True)
        def status(self, request):
            return {"healthy": True, "description": "fine"}
        def create(self, request):
            if request.name == "slow":
                while not os.path.exists(sys.argv[1]):
                    time.sleep(0.02)
            if request.name == "refused":
                raise Refused(Code.ALREADY_EXISTS, "there is one")
            if request.name == "defect":
                raise KeyError("oops")
            return volume.CreateResponse(volume=volume.Volume(name=request.name))
        def remove(self, request):
            pass
        def logs(self, request):
            raise AssertionError("not a call of volume/1")
    serve(Driver(), id="mine", version="1.2", kind="volume", name="disk", capabilities=["scope:local"])
""")


class Agent:
    """A ROUTER socket that speaks as the bus does."""

    def __init__(self, path):
        self.socket = zmq.Context.instance().socket(zmq.ROUTER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.bind("ipc://" + path)
        self.peer = None

    def receive(self, wanted, seconds=15):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.socket.poll(100):
                self.peer, header, body = self.socket.recv_multipart()
                header = bus.Header.FromString(header)
                if header.type == wanted:
                    return header, body
        raise AssertionError(f"no {bus.MessageType.Name(wanted)} within {seconds} s")

    def send(self, kind, body=b"", **fields):
        header = bus.Header(protocol=1, type=kind, **fields)
        self.socket.send_multipart([self.peer, header.SerializeToString(), body])

    def welcome(self, heartbeat_ms=2000):
        header, body = self.receive(bus.HELLO)
        start = plugin.StartRequest(state_dir="/nowhere").SerializeToString()
        self.send(bus.WELCOME, bus.Welcome(protocol=1, heartbeat_ms=heartbeat_ms, start_request=start).SerializeToString(),
                  correlation=header.correlation)
        return header, bus.Hello.FromString(body)

    def call(self, method, message, correlation=7):
        self.send(bus.REQUEST, message.SerializeToString(), correlation=correlation, method=method)

    def answer(self, response, correlation=7):
        header, body = self.receive(bus.RESPONSE)
        assert header.correlation == correlation, header
        return header.status, response.FromString(body)


class Helper(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="skep-python-")
        self.addCleanup(directory.cleanup)
        self.socket, self.go = f"{directory.name}/bus.sock", f"{directory.name}/go"
        self.agent = Agent(self.socket)
        self.process = subprocess.Popen([sys.executable, "-c", DRIVER, self.go], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                        env=dict(os.environ, SKEP_BUS=self.socket))
        self.addCleanup(self.end)

    def end(self):
        self.process.kill()
        self.process.communicate()
        self.agent.socket.close()

    def test_its_hello_and_its_start(self):
        _, hello = self.agent.welcome()
        self.assertEqual((hello.protocol, hello.id, hello.version), (1, "mine", "1.2"))
        self.assertEqual([(d.kind, d.major, d.name, list(d.capabilities)) for d in hello.drivers],
                         [("volume", 1, "disk", ["scope:local"])])
        self.assertEqual(self.process.stdout.readline(), "state /nowhere\n")

    def test_calls_and_their_errors(self):
        self.agent.welcome()
        cases = (("create", volume.CreateRequest(name="v"), volume.CreateResponse, 0, ""),
                 ("remove", volume.RemoveRequest(name="v"), volume.RemoveResponse, 0, ""),
                 ("create", volume.CreateRequest(name="refused"), volume.CreateResponse, 3, "there is one"),
                 ("create", volume.CreateRequest(name="defect"), volume.CreateResponse, 14, "KeyError: 'oops'"),
                 ("mount", volume.MountRequest(), volume.MountResponse, 12, "no method 'volume/1/mount' here"),
                 ("logs", volume.MountRequest(), volume.MountResponse, 12, "no method 'volume/1/logs' here"))
        for verb, request, response, code, message in cases:
            with self.subTest(verb=verb, code=code):
                self.agent.call(f"volume/1/{verb}", request)
                status, _ = self.agent.answer(response)
                self.assertEqual((status.code, status.message), (code, message))
        self.agent.send(bus.REQUEST, b"\xff\xff\xff", correlation=8, method="volume/1/create")
        self.assertEqual(self.agent.answer(volume.CreateResponse, 8)[0].code, 1)
        self.agent.call("plugin/1/status", plugin.StatusRequest())
        self.assertEqual(self.agent.answer(plugin.StatusResponse)[1].description, "fine")

    def test_a_call_that_takes_long_delays_no_heartbeat(self):
        self.agent.welcome()
        self.agent.call("volume/1/create", volume.CreateRequest(name="slow"))
        for number in range(3):
            self.agent.send(bus.PING, correlation=100 + number)
            self.assertEqual(self.agent.receive(bus.PONG)[0].correlation, 100 + number)
        with open(self.go, "w", encoding="utf-8"):
            pass
        self.assertEqual(self.agent.answer(volume.CreateResponse)[1].volume.name, "slow")

    def test_more_calls_than_it_keeps_are_refused_at_once(self):
        self.agent.welcome()
        for number in range(1200):
            self.agent.call("volume/1/create", volume.CreateRequest(name="slow"), correlation=number + 1)
        header, _ = self.agent.receive(bus.RESPONSE)
        self.assertEqual((header.status.code, header.status.message), (8, "1024 calls wait already"))

    def test_it_comes_back_after_a_bye_after_silence_and_after_another_agent_took_the_socket(self):
        first, _ = self.agent.welcome(heartbeat_ms=100)
        self.agent.send(bus.BYE)
        second, _ = self.agent.welcome(heartbeat_ms=100)
        self.assertGreater(second.correlation, first.correlation)
        third, _ = self.agent.welcome()  # five heartbeats without a word
        self.assertGreater(third.correlation, second.correlation)
        self.agent.socket.close()
        self.agent = Agent(self.socket)
        self.agent.receive(bus.HELLO, 40)

    def test_it_says_hello_again_when_told_so_and_ends_when_refused(self):
        self.agent.receive(bus.HELLO)
        self.agent.send(bus.REJECT, status=bus.Status(code=5, reason="HELLO_REQUIRED", message="say HELLO first"))
        self.agent.receive(bus.HELLO)
        self.agent.send(bus.REJECT, status=bus.Status(code=6, reason="NOT_ADMITTED", message="not you"))
        _, stderr = self.process.communicate(timeout=15)
        self.assertEqual(self.process.returncode, 1)
        self.assertIn("the agent refused this plugin: not you", stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
