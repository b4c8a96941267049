"""Certificate authorities outside the swarm: a real cfssl signs for nodes, and keeps the key of a root."""
import glob
import json
import os
import re

from lab import eventually, main, run
from netlab import ClusterTest

# Shorter than anything that the swarm signs: what has this life, cfssl signed.
LIFE = "3h"
POLICY = {"signing": {
    "default": {"expiry": LIFE, "usages": ["digital signature", "server auth", "client auth"]},
    "profiles": {"CA": {"expiry": "8760h", "usages": ["cert sign", "crl sign"],
                        "ca_constraint": {"is_ca": True, "max_path_len": 0, "max_path_len_zero": True}}}}}
NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]


class Authority:
    """cfssl with a root of its own, on a machine of the lab. It answers only who shows a certificate of the swarm."""

    def __init__(self, test, name):
        self.test = test
        self.dir = f"{test.directory}/{name}"
        os.mkdir(self.dir)
        self.host = test.net.add()
        self.ip = test.net.ip(self.host)
        self.process = None
        run("openssl", "req", "-x509", *NEW_KEY, "-keyout", self.key, "-out", self.root, "-days", "3650",
            "-subj", f"/O={name}/CN=the root of {name}", "-addext", "basicConstraints=critical,CA:TRUE",
            "-addext", "keyUsage=critical,keyCertSign,cRLSign")
        with open(f"{self.dir}/policy.json", "w", encoding="utf-8") as file:
            json.dump(POLICY, file)
        with open(f"{self.dir}/names", "w", encoding="utf-8") as file:
            file.write(f"subjectAltName=IP:{self.ip}\n")
        run("openssl", "req", *NEW_KEY, "-keyout", f"{self.dir}/server.key", "-out", f"{self.dir}/server.csr",
            "-subj", "/CN=cfssl")
        run("openssl", "x509", "-req", "-in", f"{self.dir}/server.csr", "-CA", self.root, "-CAkey", self.key,
            "-CAcreateserial", "-days", "30", "-extfile", f"{self.dir}/names", "-out", f"{self.dir}/server.pem")

    @property
    def root(self):
        return f"{self.dir}/root.pem"

    @property
    def key(self):
        return f"{self.dir}/root.key"

    @property
    def flag(self):
        return f"protocol=cfssl,url=https://{self.ip}:8888/api/v1/cfssl/sign"

    def start(self, *swarm_roots):
        """Lets in whoever has a certificate of one of these."""
        with open(f"{self.dir}/let-in.pem", "w", encoding="utf-8") as file:
            file.write("".join(swarm_roots))
        self.process = self.test.background(
            "sh", "-c", 'exec "$@" 2>>"$0"', f"{self.dir}/log", *self.test.net.enter(self.host), "cfssl", "serve",
            "-address", self.ip, "-port", "8888", "-ca", self.root, "-ca-key", self.key, "-config",
            f"{self.dir}/policy.json", "-tls-cert", f"{self.dir}/server.pem", "-tls-key", f"{self.dir}/server.key",
            "-mutual-tls-ca", f"{self.dir}/let-in.pem")
        eventually("cfssl listens", lambda: "Now listening with mutual TLS" in self.log(), 10)
        return self

    def stop(self):
        self.process.kill()
        self.process.wait()

    def log(self):
        return read(f"{self.dir}/log") if os.path.exists(f"{self.dir}/log") else ""

    def signed(self):
        """Serial numbers."""
        return {int(serial) for serial in re.findall(r"signed certificate with serial number (\d+)", self.log())}


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


class ExternalCa(ClusterTest):
    def certificate(self, agent):
        """(serial number, hours it holds, issuer) of its node's certificate."""
        text = run("openssl", "x509", "-noout", "-serial", "-issuer", "-dates", "-dateopt", "iso_8601",
                   "-in", f"{agent.root}/var/lib/skep/node.crt").stdout
        serial = int(re.search(r"serial=(\w+)", text).group(1), 16)
        hours = [int(run("date", "-u", "-d", when, "+%s").stdout) for when in re.findall(r"not\w+=(.*)", text)]
        return serial, (hours[1] - hours[0]) / 3600, re.search(r"issuer=(.*)", text).group(1)

    def signed_by(self, authority, agent):
        serial, hours, _ = self.certificate(agent)
        self.assertIn(serial, authority.signed())
        self.assertEqual(hours, 3)

    def test_cfssl_signs_for_the_swarm_and_keeps_a_root(self):
        ours, theirs = Authority(self, "ours"), Authority(self, "theirs")
        first = self.first_manager()
        # The swarm and cfssl share the key of one root.
        first.ctl("swarm", "ca", "--rotate", "-q", "--ca-cert", ours.root, "--ca-key", ours.key)
        worker = self.worker(first)
        self.assertNotEqual(self.certificate(worker)[1], 3, "the swarm signed")
        self.refused(first, None, "no certificate in PEM", "swarm", "update", "--external-ca",
                     f"{ours.flag},cacert={ours.key}")
        first.ctl("swarm", "update", "--external-ca", ours.flag)
        self.assertIn(f"cfssl: https://{ours.ip}:8888/api/v1/cfssl/sign", first.out("info"))

        # It is down: a joiner is told so, and no node comes of it. The swarm does not sign in its place.
        stranger = self.machine()
        token = first.out("swarm", "join-token", "-q", "worker")
        self.refused(stranger, None, ["no external certificate authority signed", f"https://{ours.ip}:8888", "refused"],
                     "swarm", "join", "--token", token, first.address)
        self.assertEqual(len(self.nodes(first)), 2)
        ours.start(read(ours.root))
        self.join(stranger, first, "worker")
        self.signed_by(ours, stranger)
        self.wait_ready(first, 3)

        # A promotion needs a certificate too.
        first.ctl("node", "promote", worker.node_id())
        eventually("the promoted node manages", lambda: worker.ctl("node", "ls", check=False).returncode == 0)
        self.signed_by(ours, worker)

        # To a root whose key the swarm never has: its authority must be there, and then every node comes over.
        rotate = ["swarm", "ca", "--rotate", "--ca-cert", theirs.root, "--external-ca", theirs.flag]
        self.refused(first, None, ["no external certificate authority signed", theirs.ip], *rotate)
        self.assertEqual(first.out("swarm", "ca"), read(ours.root).strip())
        theirs.start(read(ours.root), read(theirs.root))
        said = first.out(*rotate, timeout=60)
        self.assertIn("rotated CA certificates:   3/3 nodes", said)
        self.assertEqual(first.out("swarm", "ca"), read(theirs.root).strip())
        for agent in (first, worker, stranger):
            self.signed_by(theirs, agent)
        self.assertNotIn(read(theirs.key).splitlines()[1], "".join(self.open_files()))
        late = self.worker(worker)
        self.signed_by(theirs, late)
        self.wait_ready(first, 4)
        self.refused(first, None, "no external certificate authority signs for it", "swarm", "update", "--external-ca", "")

        # And back to a root of the swarm's own, which the authority vouches for; then it is needed no more.
        first.ctl("swarm", "ca", "--rotate", "-q", timeout=60)
        theirs.stop()
        ours.stop()
        last = self.worker(first)
        self.wait_ready(first, 5)
        for agent in (first, worker, late, last):
            serial, hours, issuer = self.certificate(agent)
            self.assertNotIn(serial, theirs.signed() | ours.signed())
            self.assertGreater(hours, 24)
            self.assertEqual(issuer, "CN = swarm-ca")

    def open_files(self):
        for agent in self.agents:
            for path in glob.glob(f"{agent.root}/var/lib/skep/*"):
                if os.path.isfile(path):
                    with open(path, encoding="latin-1") as file:
                        yield file.read()


if __name__ == "__main__":
    main()
