"""What clients see of a leader that is cut off, hangs or dies is linearizable: nothing stale, nothing lost.

SKEP_FAULT_SEED=1 chooses what the clients ask; a failure shows the whole history.
"""
import contextlib
import os
import random
import signal
import time

from lab import eventually, main
from netlab import ManagersTest
from registers import Registers, check_history

SEED = int(os.environ.get("SKEP_FAULT_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 30)
AROUND_MIN = 6  # writes that are acknowledged without the leader of old ...
ASKED_MIN = 4   # ... and what it is asked meanwhile


class LostLeaders(ManagersTest):
    @contextlib.contextmanager
    def cut_off(self, leader):
        self.net.cut(leader.host)
        since = time.monotonic_ns()
        yield
        until = time.monotonic_ns()
        self.net.join(leader.host)
        answered = [o.line() for o in self.registers.done([leader], since) if o.returned < until]
        self.assertEqual(answered, [], "cut off, it cannot know what it was asked")

    @contextlib.contextmanager
    def hanging(self, leader):
        """When it wakes it believes to lead, and finds questions in its socket."""
        leader.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            leader.process.send_signal(signal.SIGCONT)

    @contextlib.contextmanager
    def dead(self, leader):
        leader.kill()
        yield
        leader.start()

    def lose_leader(self, managers, how):
        leader, others = eventually("somebody leads", lambda: self.leader(managers))
        since = time.monotonic_ns()
        with how(leader):
            eventually("changes go on without it", lambda: len(self.registers.done(
                others, since, kinds=("create", "update", "remove"))) >= AROUND_MIN, 60)
            eventually("it was asked meanwhile", lambda: len(self.registers.asked([leader], since)) >= ASKED_MIN, 60)
        self.wait_managers(others[0], 3, seconds=60)

    def test_what_clients_see_of_lost_leaders_is_linearizable(self):
        managers = self.managers(3)
        self.remember_ids(managers)
        self.registers = Registers(managers, random.Random(SEED), each=2)
        try:
            with self.subTest(SKEP_FAULT_SEED=SEED):
                for how in (self.cut_off, self.hanging, self.dead):
                    self.lose_leader(managers, how)
        finally:
            self.registers.stop()
        self.check_same_state(managers)
        check_history(self, self.registers, f"{self.directory}/history", operations_min=100, updates_min=10)


if __name__ == "__main__":
    main()
