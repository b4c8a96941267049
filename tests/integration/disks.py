"""Agents whose state directory is a small file system of its own, to be filled and freed."""
import contextlib
import os

from lab import SkepTest, run


def fill(disk):
    """Not one block is left, until free()."""
    with open(f"{disk}/filler", "wb", buffering=0) as file:
        for size in (1 << 20, 4096):
            with contextlib.suppress(OSError):
                while file.write(bytes(size)) == size:
                    pass


def free(disk):
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{disk}/filler")


class DiskTest(SkepTest):
    """Tests with such disks; they are freed, made writable and unmounted at the end."""

    def setUp(self):
        super().setUp()
        self.disks = []

    def tearDown(self):
        for disk in self.disks:
            free(disk)
            run("mount", "-o", "remount,rw", disk, check=False)
        super().tearDown()

    def leftovers(self):
        return [thing for thing in super().leftovers() if thing.removeprefix("mount ") not in self.disks]

    def sweep(self):
        for disk in self.disks:
            run("umount", "-l", disk, check=False)
        super().sweep()

    def give_disk(self, agent, megabytes):
        """The new file system, mounted where an agent that was never started keeps its state."""
        disk = f"{agent.root}/var/lib/skep"
        os.makedirs(disk)
        run("mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0711", "tmpfs", disk)
        self.disks.append(disk)
        return disk
