"""One agent that is given every broken plugin there is: it says what is wrong with each, and works."""
import json
import os
import shutil
import stat
import subprocess
import time

from lab import BIN, BUILD, SkepTest, eventually, main

BROKEN = os.path.join(BUILD, "broken-plugins")

# Refused for good: what the list says, and what it tells people to do.
REFUSED = {
    "text.so": ("is not an ELF file", "skep_add_plugin()"),
    "no-manifest.so": ("has no manifest", "build it with skep_add_plugin()"),
    "wrong-kind.so": ("this agent speaks volume/1, the plugin wants volume/9", "use a build of the plugin for volume/1"),
    "no-entry": ("does not export skep_plugin_entry_v1", "it needs SKEP_PLUGIN"),
    "exports-too-much": ("beside skep_plugin_entry_v1", "build it with skep_add_plugin()"),
    "wrong-abi": ("built for plugin ABI 9, this agent has ABI 1", "rebuild it with this agent's SDK"),
    "null-entry": ("its entry table has null fields", "rebuild it with SKEP_PLUGIN"),
    "null-functions": ("has null functions", "rebuild it with the SDK"),
    "id-mismatch": ("its code says id 'somebody-else'", "make SKEP_PLUGIN and plugin.toml agree"),
}
# Tried again and again: what the list says. Each also names `agentctl plugin logs`.
UNHEALTHY = {
    "no-instance": "it could not create an instance",
    "throws-in-start": "the storage cupboard is locked",
    "crashes-in-start": "ended by signal 6",
    "hangs-in-start": "does its start() hang?",
}


class BrokenPlugins(SkepTest):
    def plugin(self, agent, name):
        return json.loads(agent.out("plugin", "inspect", name))[0]

    def test_each_is_told_apart_while_the_agent_works(self):
        agent = self.agent(f'third_party_plugin_dirs = ["{BROKEN}"]\n').start()
        agent.ctl("swarm", "init", "--advertise-addr", "127.0.0.1")
        self.web_image(agent)
        agent.ctl("service", "create", "--name", "web", "-d", "web:1")
        agent.wait_running("web", 1)

        followed = f"{self.directory}/followed"
        with open(followed, "wb") as file:
            self.processes.append(subprocess.Popen(
                [f"{BIN}/agentctl", "plugin", "logs", "--follow", "--tail", "0", "throws-in-start"], stdout=file,
                stdin=subprocess.DEVNULL, env=dict(os.environ, SKEP_ROOT=agent.root)))

        for name, (why, what_to_do) in REFUSED.items():
            with self.subTest(name):
                eventually(f"{name} is refused", lambda: self.plugin(agent, name)["State"] == "refused")
                reason = self.plugin(agent, name)["Reason"]
                self.assertIn(why, reason)
                self.assertIn(what_to_do, reason)
        for name, why in UNHEALTHY.items():
            with self.subTest(name):
                # Between two tries it is "starting" for moments; a start that hangs takes 15 s.
                def seen(name=name):
                    plugin = self.plugin(agent, name)
                    return plugin["State"] == "unhealthy" and plugin["Reason"]
                reason = eventually(f"{name} is unhealthy", seen, 60)
                self.assertIn(why, reason)
                self.assertIn(f"agentctl plugin logs {name}", reason)
        def told():
            with open(followed, encoding="utf-8") as file:
                return file.read().count("the storage cupboard is locked") >= 2
        eventually("plugin logs --follow shows one try after the other", told, 60)
        last = agent.out("plugin", "logs", "--tail", "3", "throws-in-start")
        self.assertRegex(last, r'(?m)^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z error .*cupboard is locked"?$')
        listed = agent.out("plugin", "ls", "--no-trunc")
        for name in [*REFUSED, *UNHEALTHY]:
            self.assertIn(name, listed)
        eventually("the crash loop is told", lambda: "crash loop: it ended 5 times in 10 minutes" in
                   self.plugin(agent, "crashes-in-start")["Reason"], 90)
        self.assertEqual(len(agent.running("web")), 1)

    def test_a_crash_in_a_call_is_an_error_for_the_caller_and_a_restart(self):
        agent = self.agent(f'third_party_plugin_dirs = ["{BROKEN}"]\n').start()
        runs = lambda: self.plugin(agent, "crashes-in-call")["State"] == "running"
        eventually("it runs", runs)
        before = self.plugin(agent, "crashes-in-call")
        began = time.monotonic()
        done = agent.ctl("volume", "create", "-d", "crashes-in-call", "vol", check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("crashes-in-call", done.stderr)
        self.assertLess(time.monotonic() - began, 10)
        eventually("it runs again", lambda: runs() and
                   self.plugin(agent, "crashes-in-call")["Pid"] != before["Pid"])
        self.assertGreater(self.plugin(agent, "crashes-in-call")["Restarts"], before["Restarts"])

    def test_verify_says_what_is_wrong_without_an_agent(self):
        agent = self.agent()
        reasons = {name.removesuffix(".so"): why for name, (why, _) in REFUSED.items()}
        reasons.update(UNHEALTHY)
        reasons["crashes-in-call"] = "crashes-in-call"
        for name, why in reasons.items():
            with self.subTest(name):
                done = agent.ctl("plugin", "verify", f"{BROKEN}/{name}.so", check=False, timeout=120)
                self.assertNotEqual(done.returncode, 0)
                self.assertIn(why, done.stdout + done.stderr)
                if name == "crashes-in-call":  # a case that fails by it cannot know that
                    noticed = done.stdout.partition("---- what the agent noticed")[2]
                    self.assertIn("plugin ended", noticed)
                    self.assertIn("ended by signal", noticed)
        # What others can change is not even tried.
        open_to_all = f"{self.directory}/open"
        os.mkdir(open_to_all)
        copied = shutil.copy(f"{BROKEN}/crashes-in-call.so", open_to_all)
        for place, mode in ((copied, 0o666), (open_to_all, 0o777)):
            with self.subTest(place):
                was = stat.S_IMODE(os.stat(place).st_mode)
                os.chmod(place, mode)
                done = agent.ctl("plugin", "verify", copied, check=False)
                self.assertEqual(done.returncode, 3, done.stdout + done.stderr)
                self.assertIn(f"is writable by everybody, and its code runs as this agent: chmod o-w '{place}'", done.stderr)
                os.chmod(place, was)


if __name__ == "__main__":
    main()
