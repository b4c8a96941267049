"""`agentctl plugin verify PROGRAM`: the example of the SDK conforms; programs that misbehave are told why, and
whatever they do, nothing of them stays."""
import glob
import os
import signal
import subprocess
import tempfile
import time
import unittest

BIN = os.environ["SKEP_BIN_DIR"]
REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
EXAMPLE = f"{REPO}/sdk/examples/python_volume.py"

# What the bad ones share: a connected socket, and frames made by hand.
PREAMBLE = """
import os, sys, time, zmq
from skep import bus_pb2 as bus
socket = zmq.Context().socket(zmq.DEALER)
socket.connect("ipc://" + os.environ["SKEP_BUS"])
def hello(**fields):
    fields = {"protocol": 1, "id": "bad", "version": "1", "drivers": [bus.DriverName(kind="volume", major=1, name="bad")], **fields}
    socket.send_multipart([bus.Header(protocol=1, type=bus.HELLO, correlation=1).SerializeToString(),
                           bus.Hello(**fields).SerializeToString()])
def header():
    return bus.Header.FromString(socket.recv_multipart()[0])
"""


class VerifyProgram(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory(prefix="skep-verify-test-")
        self.addCleanup(self.directory.cleanup)
        self.temporary = f"{self.directory.name}/t"
        os.mkdir(self.temporary)
        self.environment = dict(os.environ, TMPDIR=self.temporary)

    def tearDown(self):
        self.assertEqual(os.listdir(self.temporary), [], "directories left behind")
        deadline = time.monotonic() + 5  # a busy kernel takes its time to end what was killed
        while self.processes() and time.monotonic() < deadline:
            time.sleep(0.05)
        self.assertEqual(self.processes(), [], "processes left behind")

    def processes(self):
        """Command lines that name this test's own directory."""
        found = []
        for path in glob.glob("/proc/[0-9]*/cmdline"):
            try:
                with open(path, "rb") as file:
                    command = file.read().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if self.directory.name in command:
                found.append(command)
        return found

    def program(self, text):
        path = f"{self.directory.name}/program.py"
        with open(path, "w", encoding="utf-8") as file:
            file.write(PREAMBLE + text)
        return ["/usr/bin/python3", path]

    def verify(self, *words):
        done = subprocess.run([f"{BIN}/agentctl", "plugin", "verify", *words], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=120, env=self.environment)
        return done.returncode, done.stdout + done.stderr

    def check_bad(self, text, *expected, flags=()):
        code, output = self.verify(*flags, *self.program(text))
        self.assertEqual(code, 1, output)
        for words in expected:
            self.assertIn(words, output)
        return output

    def test_the_example_conforms_and_is_short(self):
        code, output = self.verify("--kind", "volume/1", "--", "/usr/bin/python3", EXAMPLE)
        self.assertEqual(code, 0, output)
        for words in (" 0 failed", "crash: volumes, mount points and repeats survive it",
                      "agent restart: says HELLO again", "end: SIGTERM ends it within 5 s"):
            self.assertIn(words, output)
        self.assertNotIn("skip", output.replace(" 0 skipped", ""))
        with open(EXAMPLE, encoding="utf-8") as file:
            self.assertLessEqual(len(file.readlines()), 60)

    def test_one_that_serves_another_kind_than_asked_for(self):
        code, output = self.verify("--kind", "network/1", "--", "/usr/bin/python3", EXAMPLE)
        self.assertEqual(code, 1, output)
        self.assertIn("it serves volume/1, not network/1", output)

    def test_one_that_never_says_hello(self):
        self.check_bad("time.sleep(1000)\n", "no HELLO within 15 s", "SKEP_BUS")

    def test_one_that_cannot_be_started(self):
        code, output = self.verify(f"{self.directory.name}/nothing")
        self.assertEqual(code, 1, output)
        self.assertIn("No such file or directory", output)

    def test_one_that_ends_at_once_shows_its_last_words(self):
        self.check_bad("sys.exit('the cupboard is locked')\n", "exited with code 1 before it said HELLO",
                       "the cupboard is locked")

    def test_one_that_is_ended_by_a_signal(self):
        self.check_bad("os.kill(os.getpid(), 11)\n", "was ended by signal 11")

    def test_one_that_ends_in_a_call(self):
        output = self.check_bad("hello()\nwhile header().type != bus.REQUEST: pass\nsys.exit(7)\n",
                                "its program exited with code 7", "FAIL  external  calls: the program goes on")
        self.assertNotIn("mount:", output)

    def test_one_that_speaks_nonsense(self):
        self.check_bad("socket.send_multipart([b'\\xff\\xff\\xff', b'GET / HTTP/1.1'])\ntime.sleep(2)\n",
                       "exited with code 0 before it said HELLO", "malformed bus frame")
        self.check_bad("socket.send(b'hello?')\ntime.sleep(2)\n", "wrong number of parts")

    def test_ones_whose_hello_is_refused(self):
        for fields, why in (("protocol=9", "protocol 9 is not spoken here"), ("drivers=[]", "names no driver"),
                            ("id='core'", "is not valid"), ("id='../x'", "is not valid")):
            with self.subTest(fields):
                self.check_bad(f"hello({fields})\nprint(header().status.message, flush=True)\nsys.exit(1)\n", why)

    def test_one_that_answers_everything_with_success(self):
        self.check_bad("hello()\nwhile True:\n"
                       "  one = header()\n"
                       "  if one.type == bus.REQUEST:\n"
                       "    reply = bus.Header(protocol=1, type=bus.RESPONSE, correlation=one.correlation)\n"
                       "    socket.send_multipart([reply.SerializeToString(), b''])\n"
                       "  elif one.type == bus.BYE:\n"
                       "    hello()\n",
                       "a driver that just started is healthy", "should answer unimplemented, and succeeded",
                       "ok    external  end: SIGTERM")

    def test_one_that_ignores_sigterm_and_has_children_is_ended_all_the_same(self):
        self.check_bad("import signal, subprocess\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
                       "subprocess.Popen(['/bin/sh', '-c', 'while :; do sleep 1; done', sys.argv[0]])\n"
                       "hello()\nwhile True:\n"
                       "  one = header()\n"
                       "  if one.type == bus.BYE: hello()\n"
                       "  if one.type == bus.REQUEST:\n"
                       "    reply = bus.Header(protocol=1, type=bus.RESPONSE, correlation=one.correlation)\n"
                       "    reply.status.code, reply.status.message = 12, 'not here'\n"
                       "    socket.send_multipart([reply.SerializeToString(), b''])\n",
                       "it still runs 5 s after SIGTERM")

    def test_an_interrupt_ends_the_program_too(self):
        process = subprocess.Popen([f"{BIN}/agent-plugin-host", "--verify-program", *self.program("time.sleep(1000)\n")],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                   env=self.environment)
        deadline = time.monotonic() + 20
        while len(self.processes()) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(20), 128 + signal.SIGINT)


if __name__ == "__main__":
    unittest.main(verbosity=2)
