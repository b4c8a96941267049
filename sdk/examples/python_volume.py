#!/usr/bin/env python3
"""A volume driver in Python: serves volume/pydir on the bus socket of SKEP_BUS or SKEP_ROOT, until it is ended.

Run it with PYTHONPATH=PREFIX/share/skep/python (the installed SDK); `agentctl plugin verify -- ./python_volume.py`
judges it. A volume is a directory below the state directory that the agent gives this plugin.
"""
import os, re, shutil
from skep_plugin import Code, Refused, serve


class Directories:
    holders = {}  # volume name -> mount ids; the agent names them again with recover()

    def start(self, request):
        self.root = request.state_dir

    def path(self, name):
        if not re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}", name):
            raise Refused(Code.INVALID_ARGUMENT, f"'{name}' is no volume name")
        return os.path.join(self.root, name)

    def found(self, name):
        if not os.path.isdir(self.path(name)):
            raise Refused(Code.NOT_FOUND, f"no volume '{name}' here")
        return {"name": name, "driver": "pydir", "mountpoint": self.path(name), "mounts": len(self.holders.get(name, ()))}

    def capabilities(self, request):
        return {"scope": "local"}

    def create(self, request):
        os.makedirs(self.path(request.name), exist_ok=True)
        return {"volume": self.found(request.name)}

    def remove(self, request):
        if self.holders.get(request.name):
            raise Refused(Code.FAILED_PRECONDITION, f"volume '{request.name}' is in use")
        shutil.rmtree(self.path(request.name), ignore_errors=True)

    def mount(self, request):
        volume = self.found(request.name)
        self.holders.setdefault(request.name, set()).add(request.mount_id)
        return {"mountpoint": volume["mountpoint"]}

    def unmount(self, request):
        self.holders.get(request.name, set()).discard(request.mount_id)

    def get(self, request):
        return {"volume": self.found(request.name)}

    def list(self, request):
        return {"volumes": [self.found(name) for name in os.listdir(self.root)]}

    def recover(self, request):
        self.holders = {mount.name: set() for mount in request.mounts}
        for mount in request.mounts:
            self.holders[mount.name].add(mount.mount_id)


serve(Directories(), id="pydir", version="1.0.0", kind="volume")
