"""Every kept plugin, loaded by today's loader isolated and in-process, passes the suite of its kind:
`abi_test.py AGENT_PLUGIN_HOST`. See README.md."""
import glob
import lzma
import os
import platform
import subprocess
import sys
import tempfile
import unittest

HOST = sys.argv.pop(1)
KEPT = sorted(glob.glob(os.path.join(os.path.dirname(os.path.abspath(__file__)), "*.so.xz")))


class Abi(unittest.TestCase):
    def test_there_is_a_kept_plugin(self):
        self.assertTrue(KEPT, "no *.so.xz here: tools/make-abi-fixture makes one")

    @unittest.skipUnless(platform.machine() == "x86_64", "the kept plugins are for x86_64")
    def test_each_loads_and_conforms(self):
        for kept in KEPT:
            with self.subTest(os.path.basename(kept)), tempfile.TemporaryDirectory(prefix="skep-abi-") as directory:
                plugin = os.path.join(directory, "plugin.so")
                with lzma.open(kept) as packed, open(plugin, "wb") as file:
                    file.write(packed.read())
                done = subprocess.run([HOST, "--kind", "volume/1", "--verify", plugin], stdin=subprocess.DEVNULL,
                                      capture_output=True, text=True, timeout=200)
                output = done.stdout + done.stderr
                self.assertEqual(done.returncode, 0, output)
                for words in ("ok    isolated  start: loads", "ok    inproc    start: loads", " 0 failed"):
                    self.assertIn(words, output)


if __name__ == "__main__":
    unittest.main(verbosity=2)
