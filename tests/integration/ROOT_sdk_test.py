"""What a third-party author does: the template outside the tree, a driver in Python, broken plugins."""
import os

from lab import BUILD, SkepTest, eventually, main, run


class Authors(SkepTest):
    def serve_to_a_container(self, agent, driver):
        agent.ctl("service", "create", "--name", "user", "--no-healthcheck", "-d",
                  "--mount", f"type=volume,src=data,dst=/data,volume-driver={driver}",
                  "--entrypoint", "/bin/sh", "web:1", "-c", "echo written > /data/file; exec sleep 1000")
        agent.wait_running("user", 1)
        container = next(iter(agent.containers()))
        eventually("the file is there", lambda: "written" in agent.out(
            "container", "exec", container, "cat", "/data/file", check=False))
        agent.ctl("service", "rm", "user")
        eventually("the container is gone", lambda: not agent.containers())

    def test_the_template_builds_outside_the_tree_conforms_and_serves_a_volume(self):
        prefix, work = f"{self.directory}/sdk", f"{self.directory}/mine"
        run("cmake", "--install", BUILD, "--component", "sdk", "--prefix", prefix)
        run("cp", "-r", f"{prefix}/share/skep/template", work)
        run("cmake", "-S", work, "-B", f"{work}/build", f"-DCMAKE_PREFIX_PATH={prefix}", timeout=120)
        run("cmake", "--build", f"{work}/build", timeout=300)
        run("ctest", "--test-dir", f"{work}/build", "--output-on-failure", "--no-tests=error", timeout=120)
        agent = self.swarm(f'third_party_plugin_dirs = ["{work}/build/plugins"]\n')
        self.web_image(agent)
        listed = agent.out("plugin", "ls")
        self.assertIn("my-volumes", listed)
        self.assertIn("isolated", listed)
        done = agent.ctl("plugin", "verify", f"{work}/build/plugins/my-volumes.so", timeout=120)
        self.assertIn(" 0 failed", done.stdout)
        self.serve_to_a_container(agent, "my-volumes")
        self.refused(agent, 4, "volume 'data' exists with driver 'my-volumes'", "volume", "create", "data")
        agent.stop()
        agent.configure(f'third_party_plugin_dirs = ["{work}/build/plugins"]\n[plugin.my-volumes]\nmode = "rwx"\n')
        agent.start()
        eventually("a wrong setting is said", lambda: "mode 'rwx' is no file mode" in agent.out(
            "plugin", "inspect", "--format", "{{.Reason}}", "my-volumes"))

    def test_a_driver_in_python_serves_a_volume_and_comes_back_after_an_agent_restart(self):
        agent = self.swarm()
        self.web_image(agent)
        prefix = f"{self.directory}/sdk"
        run("cmake", "--install", BUILD, "--component", "sdk", "--prefix", prefix)
        driver = f"{prefix}/share/skep/examples/python_volume.py"
        modules = {"PYTHONPATH": f"{prefix}/share/skep/python"}
        done = agent.ctl("plugin", "verify", "--kind", "volume/1", "--", "/usr/bin/python3", driver, timeout=120, env=modules)
        self.assertIn(" 0 failed", done.stdout)
        self.background("/usr/bin/python3", driver, env=dict(os.environ, SKEP_ROOT=agent.root, **modules))
        runs = lambda: any("pydir" in line and "running" in line for line in agent.out("plugin", "ls").splitlines())
        eventually("the driver is listed", runs)
        self.serve_to_a_container(agent, "pydir")
        agent.kill()
        agent.start()
        eventually("it says hello again", runs, 40)
        self.serve_to_a_container(agent, "pydir")


if __name__ == "__main__":
    main()
