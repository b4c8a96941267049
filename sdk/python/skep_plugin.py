"""Serve a Skep driver from Python: a plain class whose methods are the calls of its kind.

    from skep_plugin import Code, Refused, serve, volume

    class MyVolumes:
        def start(self, request): self.directory = request.state_dir
        def create(self, request): return {"volume": {"name": request.name}}
        ...

    serve(MyVolumes(), id="my-volumes", version="1.0.0", kind="volume")

serve() says HELLO, answers heartbeats while a call runs, comes back when the agent restarts, and turns
exceptions into answers. Calls come one at a time, in order, on one thread that is not the heartbeat's.
Needs python3-zmq, python3-protobuf and the messages: PYTHONPATH=PREFIX/share/skep/python of the installed SDK
has them beside this file. Calls that stream (logs, exec) are not served: use the C++ SDK for those.
"""
import enum
import importlib
import os
import queue
import re
import sys
import threading
import time
import traceback

try:
    import zmq
    from google.protobuf.message import DecodeError, Message
except ImportError as missing:
    sys.exit(f"{missing}: apt-get install python3-zmq python3-protobuf, and run it with /usr/bin/python3")
try:
    from skep import bus_pb2 as bus, network_pb2 as network, plugin_pb2 as plugin, volume_pb2 as volume
except ImportError as missing:
    sys.exit(f"{missing}: set PYTHONPATH to share/skep/python of the installed SDK, or make the messages with "
             "protoc -I sdk/proto --python_out=DIR sdk/proto/skep/*.proto and set PYTHONPATH=DIR")

__all__ = ["Code", "Refused", "serve", "bus", "network", "plugin", "volume"]
WAITING_MAX = 1024  # calls that wait for the driver
STATUS = "plugin/1/status"


class Code(enum.IntEnum):
    """Why a call fails; the numbers of skep/result.h."""
    INVALID_ARGUMENT, NOT_FOUND, ALREADY_EXISTS, CONFLICT, FAILED_PRECONDITION, PERMISSION_DENIED = range(1, 7)
    UNAUTHENTICATED, RESOURCE_EXHAUSTED, UNAVAILABLE, TIMEOUT, CANCELLED, UNIMPLEMENTED = range(7, 13)
    DATA_LOSS, INTERNAL = 13, 14


RETRYABLE = (Code.RESOURCE_EXHAUSTED, Code.UNAVAILABLE, Code.TIMEOUT)


class Refused(Exception):
    """Raise it in a driver: the caller gets `code` and `message` (what, why, what to do)."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code, self.message = Code(code), message


def serve(driver, id, version, kind, name=None, major=1, capabilities=(), bus_socket=None):
    """Serves `driver` as "KIND/NAME" (name: the plugin's id) until the process is ended.

    The socket: bus_socket, else SKEP_BUS, else run/skep/bus.sock below SKEP_ROOT (default /). The driver's
    methods are named as the kind's calls ("mount"), get its request message and answer its response message, a
    dict of its fields, or None; a missing method answers "unimplemented". Optional: start(StartRequest), called
    at every WELCOME before any call, and status(). Ends the process when the agent refuses the plugin.
    """
    path = bus_socket or os.environ.get("SKEP_BUS") or os.path.join(os.environ.get("SKEP_ROOT", "/"), "run/skep/bus.sock")
    hello = bus.Hello(protocol=1, id=id, version=version, instance=os.urandom(8).hex(),
                      drivers=[bus.DriverName(kind=kind, major=major, name=name or id, capabilities=capabilities)])
    _Connection(path, hello, _Calls(driver, kind, major)).run()


class _Calls:
    """Turns a request frame into an answer by calling the driver."""

    def __init__(self, driver, kind, major):
        self.driver = driver
        self.methods = {STATUS: (plugin.StatusRequest, plugin.StatusResponse, getattr(driver, "status", self.healthy))}
        messages = importlib.import_module(f"skep.{kind}_pb2")
        for service in messages.DESCRIPTOR.services_by_name.values():
            for call in service.methods:
                verb = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", call.name).lower()
                handler = getattr(driver, verb, None)
                if handler and not call.client_streaming and not call.server_streaming:
                    self.methods[f"{kind}/{major}/{verb}"] = (
                        getattr(messages, call.input_type.name), getattr(messages, call.output_type.name), handler)

    @staticmethod
    def healthy(_request):
        return {"healthy": True}

    def start(self, request):
        if hasattr(self.driver, "start"):
            self.driver.start(plugin.StartRequest.FromString(request))

    def answer(self, header, body):
        reply = bus.Header(protocol=1, type=bus.RESPONSE, correlation=header.correlation)
        try:
            if header.method not in self.methods:
                raise Refused(Code.UNIMPLEMENTED, f"no method '{header.method}' here")
            request, response, handler = self.methods[header.method]
            out = handler(request.FromString(body))
            out = out if isinstance(out, Message) else response(**(out or {}))
            return reply, out.SerializeToString()
        except Refused as error:
            code, message = error.code, error.message
        except DecodeError as error:
            code, message = Code.INVALID_ARGUMENT, f"malformed message of '{header.method}': {error}"
        except Exception as error:  # a defect or a disk that refuses: the caller hears of it, we go on
            traceback.print_exc()
            code, message = Code.INTERNAL, f"{type(error).__name__}: {error}"
        reply.status.code, reply.status.message = code, message
        return reply, b""


class _Connection:
    """The participant's end: this thread owns the socket, another calls the driver."""

    def __init__(self, path, hello, calls):
        self.hello, self.calls = hello, calls
        context = zmq.Context()
        self.socket = context.socket(zmq.DEALER)
        self.socket.setsockopt(zmq.IMMEDIATE, 1)  # nothing waits for an agent that is not there
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.SNDTIMEO, 1000)
        self.socket.connect("ipc://" + path)
        self.answers = context.socket(zmq.PULL)
        self.answers.bind("inproc://answers")
        self.context = context
        self.work = queue.Queue(WAITING_MAX)
        self.attempt, self.welcome, self.silence_max, self.heard = 1, False, 10.0, 0.0

    def run(self):
        threading.Thread(target=self.serve_calls, daemon=True).start()
        poller = zmq.Poller()
        poller.register(self.socket, zmq.POLLIN)
        poller.register(self.answers, zmq.POLLIN)
        while True:
            if self.welcome and time.monotonic() - self.heard > self.silence_max:
                self.lose()
            if not self.welcome:
                self.send(bus.Header(type=bus.HELLO, correlation=self.attempt), self.hello.SerializeToString())
            for ready, _ in poller.poll(1000):
                frames = ready.recv_multipart()
                if ready is self.answers:
                    self.send_frames(frames)
                elif len(frames) == 2:
                    self.on_frame(bus.Header.FromString(frames[0]), frames[1])

    def serve_calls(self):
        answers = self.context.socket(zmq.PUSH)
        answers.connect("inproc://answers")
        while True:
            header, body = self.work.get()
            if header.type == bus.WELCOME:
                try:
                    self.calls.start(body)
                except Exception:  # a driver that cannot start must not look as if it could
                    traceback.print_exc()
                    os._exit(3)
                continue
            reply, out = self.calls.answer(header, body)
            answers.send_multipart([reply.SerializeToString(), out])

    def on_frame(self, header, body):
        self.heard = time.monotonic()
        if header.type == bus.WELCOME and not self.welcome and header.correlation == self.attempt:
            welcome = bus.Welcome.FromString(body)
            self.welcome, self.silence_max = True, 5 * max(welcome.heartbeat_ms, 100) / 1000
            self.work.put((header, welcome.start_request))
        elif header.type == bus.PING:
            self.send(bus.Header(type=bus.PONG, correlation=header.correlation))
        elif header.type == bus.REQUEST:
            self.enqueue(header, body)
        elif header.type == bus.BYE:
            self.lose()
        elif header.type == bus.REJECT:
            if header.status.reason != "HELLO_REQUIRED" and header.status.code not in RETRYABLE:
                sys.exit(f"the agent refused this plugin: {header.status.message}")
            self.lose()

    def enqueue(self, header, body):
        try:
            self.work.put_nowait((header, body))
        except queue.Full:
            reply = bus.Header(type=bus.RESPONSE, correlation=header.correlation)
            reply.status.code, reply.status.message = Code.RESOURCE_EXHAUSTED, f"{WAITING_MAX} calls wait already"
            self.send(reply)

    def lose(self):
        self.welcome, self.attempt = False, self.attempt + 1

    def send(self, header, body=b""):
        header.protocol = 1
        self.send_frames([header.SerializeToString(), body])

    def send_frames(self, frames):
        try:
            self.socket.send_multipart(frames)
        except zmq.Again:
            time.sleep(0.1)  # no agent there: the loop says HELLO again
