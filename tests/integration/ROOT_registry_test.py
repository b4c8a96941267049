"""Images from a real docker-registry: open, with credentials, with wrong ones, and behind TLS of its own."""
import base64
import json
import os
import socket
import stat

from lab import REPO, SkepTest, eventually, main, run


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Registry(SkepTest):
    def registry(self, name, auth=False, tls=False):
        port, home = free_port(), f"{self.directory}/{name}"
        os.makedirs(home)
        lines = ["version: 0.1", "storage:", "  filesystem:", f"    rootdirectory: {home}/data",
                 "http:", f"  addr: 127.0.0.1:{port}"]
        if tls:
            run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test",
                "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", f"{home}/key.pem", "-out", f"{home}/ca.crt")
            lines += ["  tls:", f"    certificate: {home}/ca.crt", f"    key: {home}/key.pem"]
        if auth:
            with open(f"{home}/htpasswd", "w", encoding="utf-8") as file:
                file.write(run("htpasswd", "-Bbn", "ann", "secret").stdout.strip() + "\n")
            lines += ["auth:", "  htpasswd:", "    realm: test", f"    path: {home}/htpasswd"]
        with open(f"{home}/config.yml", "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
        self.background("docker-registry", "serve", f"{home}/config.yml")
        scheme = "https" if tls else "http"
        eventually("the registry answers", lambda: run(
            "curl", "-sk", "-o", "/dev/null", "-m", "2", f"{scheme}://127.0.0.1:{port}/v2/", check=False).returncode == 0)
        archive = self.web_image()
        run("skopeo", "copy", "-q", "--dest-tls-verify=false", *(["--dest-creds", "ann:secret"] if auth else []),
            f"docker-archive:{archive}", f"docker://127.0.0.1:{port}/web:1")
        return f"127.0.0.1:{port}"

    def test_an_open_registry_needs_nothing(self):
        host = self.registry("open")
        agent = self.swarm()
        agent.ctl("service", "create", "--name", "web", "--no-healthcheck", "-d", f"{host}/web:1")
        agent.wait_running("web", 1)
        self.assertIn("web", agent.out("image", "ls"))

    def test_a_private_registry_wants_the_right_credentials(self):
        host = self.registry("private", auth=True)
        agent = self.swarm()
        create = ("service", "create", "--no-healthcheck", "-d", "--restart-condition", "none")
        agent.ctl(*create, "--name", "without", f"{host}/web:1")
        rejected = eventually("it is rejected", lambda: [
            t for t in agent.tasks("without", all_states=True) if t["state"] == "rejected"])
        for words in ("without credentials, or has no such image", f"run 'agentctl login {host}'"):
            self.assertIn(words, rejected[0]["error"])
        self.refused(agent, 6, f"registry '{host}' refused user 'ann'",
                     "login", "-u", "ann", "--password-stdin", host, stdin="wrong")
        agent.ctl("login", "-u", "ann", "--password-stdin", host, stdin="secret")
        auth_file = f"{agent.root}/.skep/auth.json"
        self.assertEqual(stat.S_IMODE(os.stat(auth_file).st_mode), 0o600)
        agent.ctl(*create, "--name", "with", "--with-registry-auth", f"{host}/web:1")
        agent.wait_running("with", 1)
        self.assertNotIn("secret", agent.out("service", "inspect", "with"))
        self.assertNotIn("secret", agent.log())
        self.assertNotIn("secret", agent.out("service", "inspect", "with"))
        # Credentials that were right once: the registry says no only when a node pulls.
        with open(auth_file, "w", encoding="utf-8") as file:
            json.dump({"auths": {host: {"auth": base64.b64encode(b"ann:outdated").decode()}}}, file)
        agent.ctl("image", "rm", "--force", f"{host}/web:1")
        agent.ctl(*create, "--name", "wrong", "--with-registry-auth", f"{host}/web:1")
        self.assertIn(f"registry '{host}' refused access to image '{host}/web:1': wrong user, password or rights",
                      self.ended(agent, "wrong"))
        self.assertNotIn("outdated", agent.log())
        agent.ctl("logout", host)
        with open(auth_file, encoding="utf-8") as file:
            self.assertNotIn(host, file.read())

    def test_a_registry_with_its_own_ca_works_through_certs_d(self):
        host = self.registry("tls", tls=True)
        agent = self.swarm()
        # Like Docker, the agent asks no certificate of a registry on loopback, unless certs.d names one.
        certs = f"{agent.root}/etc/skep/certs.d/{host}"
        os.makedirs(certs)
        run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=other",
            "-keyout", f"{self.directory}/other.key", "-out", f"{certs}/ca.crt")
        # The registry's certificate is not from that authority.
        self.refused(agent, 5, (f"registry '{host}' is not trusted", "certificate", f"{certs}/ca.crt"),
                     "image", "pull", f"{host}/web:1")
        run("cp", f"{self.directory}/tls/ca.crt", certs)
        agent.ctl("image", "pull", f"{host}/web:1")
        self.assertIn("web", agent.out("image", "ls"))


if __name__ == "__main__":
    main()
