"""Every kind of file in the state directory is deleted, cut and changed in one bit, one at a time. The agent
heals it, or refuses and names the file and the way out. It never crashes or hangs, no service and no volume
is lost in silence, and containers keep running."""
import glob
import os
import shutil

from lab import SkepTest, eventually, main, run


def delete(path):
    os.unlink(path)


def cut(path):
    os.truncate(path, used_bytes(path) // 2)


def flip(path):
    """One bit in the middle of what is written."""
    with open(path, "r+b") as file:
        file.seek(used_bytes(path) // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 4]))


def used_bytes(path):
    with open(path, "rb") as file:
        return len(file.read().rstrip(b"\0"))


class Damage(SkepTest):
    def web(self):
        """An agent with a service that has a volume and a port."""
        agent = self.swarm()
        self.web_image(agent)
        agent.ctl("service", "create", "-d", "--no-healthcheck", "--name", "web", "--restart-delay", "0s",
                  "--mount", "type=volume,src=data,dst=/data", "-p", "mode=host,target=80", "web:1")
        agent.wait_running("web", 1)
        self.port = agent.host_ports("web")[0]
        self.before = agent.containers()
        with open(agent.out("volume", "inspect", "--format", "{{.Mountpoint}}", "data") + "/kept", "w",
                  encoding="utf-8") as file:
            file.write("kept")
        return agent

    def answers(self):
        return run("curl", "-fsS", "-m", "5", f"http://127.0.0.1:{self.port}/text", check=False).stdout.strip() == "v1"

    def check_all_there(self, agent):
        agent.wait_running("web", 1)
        self.assertEqual(agent.containers(), self.before, "the same container, the same process")
        self.assertEqual(agent.out("volume", "ls", "-q"), "data")
        container = next(iter(self.before))
        self.assertEqual(agent.out("container", "exec", container, "cat", "/data/kept"), "kept")
        self.assertTrue(self.answers())

    def files(self, agent, *patterns):
        found = [path for pattern in patterns for path in sorted(glob.glob(f"{agent.root}/{pattern}"))
                 if os.path.isfile(path) and os.path.getsize(path) > 0]
        self.assertGreaterEqual(len(found), len(patterns), found)
        return found

    def damage_both(self, agent, name, damage):
        """A file of the state directory and its copy: (its path, what it held)."""
        path = f"{agent.root}/var/lib/skep/{name}"
        with open(path, "rb") as file:
            whole = file.read()
        damage(path)
        damage(f"{path}.copy")
        return path, whole

    def test_what_can_be_made_again_heals(self):
        agent = self.web()
        names = [os.path.relpath(path, agent.root) for path in self.files(
            agent, "var/lib/skep/installation.id", "var/lib/skep/swarm.pb", "var/lib/skep/data.key", "var/lib/skep/local.key",
            "var/lib/skep/manager.db/CURRENT", "var/lib/skep/manager.db/MANIFEST-*", "var/lib/skep/manager.db/*.log",
            "var/lib/skep/node.db/CURRENT", "var/lib/skep/node.db/MANIFEST-*", "var/lib/skep/node.db/*.log")]
        for name in names:
            for damage in (delete, cut, flip):
                with self.subTest(f"{damage.__name__} {name}"):
                    agent.kill()
                    # LevelDB's files change their numbers.
                    pattern = name.rstrip("0123456789") + "*" if "MANIFEST" in name else name
                    if name.endswith(".log"):
                        pattern = os.path.dirname(name) + "/*.log"
                    damage(max(self.files(agent, pattern), key=os.path.getsize))
                    agent.start()
                    self.check_all_there(agent)

    def test_a_damaged_log_is_refused_and_loses_nothing(self):
        agent = self.web()
        log = os.path.dirname(self.files(agent, "var/lib/skep/plugins/raft/log/*.wal")[0])
        for damage in (delete, cut, flip):
            with self.subTest(damage.__name__):
                agent.kill()
                shutil.rmtree(f"{self.directory}/saved", ignore_errors=True)
                shutil.copytree(log, f"{self.directory}/saved")
                path = self.files(agent, "var/lib/skep/plugins/raft/log/*.wal")[0]
                damage(path)
                agent.start()
                eventually("it tells its trouble", lambda: agent.out("info", "--format", "{{.Swarm.LocalNodeState}}") == "error")
                way_out = "is empty though it was made before" if damage is delete else "restore this manager from a backup"
                said = self.refused(agent, 11, ("plugins/raft/log", way_out), "service", "ls")
                if damage is not delete:
                    self.assertIn(path, said)
                self.assertEqual(agent.containers(), self.before, "tasks go on")
                self.assertTrue(self.answers())
                agent.kill()
                shutil.rmtree(log)
                shutil.copytree(f"{self.directory}/saved", log)
                agent.start()
                self.check_all_there(agent)

    def test_a_torn_write_at_the_end_of_the_log_is_cut(self):
        agent = self.web()
        agent.kill()
        path = self.files(agent, "var/lib/skep/plugins/raft/log/*.wal")[0]
        end = (used_bytes(path) + 63) // 64 * 64
        with open(path, "r+b") as file:  # the first half of a record that never came to its end
            file.seek(end)
            file.write(b"\x40\x02\x00\x00\x01\x00\x00\x00")
        agent.start()
        self.check_all_there(agent)

    def test_files_of_the_drivers_take_no_container_with_them(self):
        agent = self.web()
        archive = self.web_image()
        for pattern, says in (("plugins/oci/images/names.json", "pulled or loaded again"),
                              ("plugins/oci/images/images/sha256/*", "pull"),
                              ("plugins/oci/images/version", "start again"),
                              ("plugins/local/volumes/data/volume.pb", "volume")):
            for damage in (delete, cut, flip):
                with self.subTest(f"{damage.__name__} {pattern}"):
                    agent.kill()
                    path = self.files(agent, f"var/lib/skep/{pattern}")[0]
                    with open(path, "rb") as file:
                        whole = file.read()
                    damage(path)
                    told = len(agent.log())
                    agent.start()
                    eventually("the container is known", lambda: len(agent.running("web")) == 1)
                    self.assertTrue(self.answers())
                    if damage is cut:
                        agent.ctl("volume", "ls")
                        said = agent.ctl("image", "ls", check=False).stderr
                        eventually("it is told", lambda: says in said + agent.log()[told:])
                    agent.kill()
                    with open(path, "wb") as file:  # the backup
                        file.write(whole)
                    agent.start()
                    self.check_all_there(agent)
        self.assertIn("web", agent.out("image", "ls"))
        agent.ctl("image", "load", "--input", archive)

    def test_a_lost_record_of_a_container_replaces_its_task_and_says_why(self):
        agent = self.web()
        agent.kill()
        delete(self.files(agent, "var/lib/skep/plugins/oci/containers/*/container.json")[0])
        agent.start()
        self.assertIn("its record is damaged", self.ended(agent, "web", "failed"))
        agent.wait_running("web", 1)
        self.assertEqual(len(agent.containers()), 1, "the old one does not stay beside it")
        self.assertEqual(agent.out("container", "exec", next(iter(agent.containers())), "cat", "/data/kept"), "kept")

    def test_a_manager_whose_data_key_is_gone_says_so_and_loses_nothing(self):
        agent = self.web()
        for name in ("data.key", "local.key"):
            for damage in (delete, cut, flip):
                with self.subTest(f"{damage.__name__} {name}"):
                    agent.kill()
                    path, whole = self.damage_both(agent, name, damage)
                    agent.start()
                    self.assertEqual(agent.out("info", "--format", "{{.Swarm.LocalNodeState}}"), "error")
                    said = agent.out("info", "--format", "{{.Swarm.Error}}")
                    self.assertIn(path, said)
                    self.assertIn("restore the file from a backup", said)
                    refused = agent.ctl("service", "ls", check=False)
                    self.assertNotEqual(refused.returncode, 0)
                    self.assertIn(path, refused.stderr)
                    self.assertEqual(agent.containers(), self.before, "tasks go on")
                    self.assertTrue(self.answers())
                    agent.kill()
                    with open(path, "wb") as file:  # the backup
                        file.write(whole)
                    agent.start()
                    self.check_all_there(agent)

    def test_both_copies_of_an_identity_file(self):
        agent = self.web()
        for name, way_out in (("swarm.pb", "remove swarm.pb, swarm.pb.copy, manager.db"),
                              ("installation.id", "restore the file from a backup")):
            for damage in (delete, cut, flip):
                with self.subTest(f"{damage.__name__} {name}"):
                    agent.kill()
                    path, whole = self.damage_both(agent, name, damage)
                    code, said = agent.start_refused()
                    self.assertEqual(code, 11, said)
                    self.assertIn(path, said)
                    self.assertIn(way_out, said)
                    self.assertTrue(self.answers(), "its container goes on")
                    with open(path, "wb") as file:  # the backup
                        file.write(whole)
                    agent.start()
                    self.check_all_there(agent)


if __name__ == "__main__":
    main()
