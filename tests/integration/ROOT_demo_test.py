"""`make demo` as a newcomer runs it, from start to stop."""
import os

from lab import BUILD, REPO, SkepTest, main, run


class Demo(SkepTest):
    def test_the_demo_shows_the_main_job_and_ends_clean(self):
        done = run(f"{REPO}/tools/demo", BUILD, "--stop", timeout=240,
                   env=dict(os.environ, SKEP_DEMO_ROOT=f"{self.directory}/demo"))
        self.assertIn("3/3", done.stdout)
        self.assertIn("non-zero exit (137)", done.stdout)
        self.assertIn("text v1", done.stdout)


if __name__ == "__main__":
    main()
