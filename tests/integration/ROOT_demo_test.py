"""`make demo` as a newcomer runs it, from start to stop."""
import os

from lab import BUILD, REPO, SkepTest, main, run


class Demo(SkepTest):
    def test_the_demo_shows_the_main_job_and_ends_clean(self):
        done = run(f"{REPO}/tools/demo", BUILD, "--stop", timeout=240,
                   env=dict(os.environ, SKEP_DEMO_ROOT=f"{self.directory}/demo"))
        self.assertIn("3/3", done.stdout)
        self.assertIn("non-zero exit (137)", done.stdout)
        self.assertEqual(done.stdout.count("text v1"), 3, "the page of each task")
        self.assertIn("web scaled to 5", done.stdout)
        self.assertIn("overall progress: 5 out of 5 tasks", done.stdout)
        self.assertRegex(done.stdout, r"web\.3 .*\*:\d+->80/tcp")
        for step in ("agentctl service logs web", "Stop it", "agentctl swarm leave --force && kill"):
            self.assertIn(step, done.stdout)


if __name__ == "__main__":
    main()
