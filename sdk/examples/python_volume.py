#!/usr/bin/env python3
"""A volume driver in Python, serving volume/pydir: `python_volume.py BUS_SOCKET PROTO_DIR`.

PROTO_DIR: made by `protoc -I sdk/proto --python_out=PROTO_DIR sdk/proto/skep/*.proto`. Needs python3-zmq and
python3-protobuf. Runs until it is ended; the agent may come and go meanwhile.
"""
import os, re, shutil, sys
sys.path.insert(0, sys.argv[2])
import zmq
from skep import bus_pb2 as bus, plugin_pb2 as plugin, volume_pb2 as volume

state, holders = None, {}


class Refused(Exception):
    """(code, message): codes are those of skep/result.h."""


def path(name):
    if not re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}", name):
        raise Refused(1, f"'{name}' is no volume name")
    return os.path.join(state, name)

def found(name):
    if not os.path.isdir(path(name)):
        raise Refused(2, f"no volume '{name}' here")
    return volume.Volume(name=name, driver="pydir", mountpoint=path(name), mounts=len(holders.get(name, ())))

def create(r):
    os.makedirs(path(r.name), exist_ok=True)
    return volume.CreateResponse(volume=found(r.name))

def remove(r):
    if holders.get(r.name):
        raise Refused(5, f"volume '{r.name}' is in use")
    shutil.rmtree(path(r.name), ignore_errors=True)
    return volume.RemoveResponse()

def mount(r):
    mountpoint = found(r.name).mountpoint
    holders.setdefault(r.name, set()).add(r.mount_id)
    return volume.MountResponse(mountpoint=mountpoint)

def unmount(r):
    holders.get(r.name, set()).discard(r.mount_id)
    return volume.UnmountResponse()

def recover(r):
    holders.clear()
    for one in r.mounts:
        holders.setdefault(one.name, set()).add(one.mount_id)
    return volume.RecoverResponse()

METHODS = {
    "plugin/1/status": (plugin.StatusRequest, lambda r: plugin.StatusResponse(healthy=True)),
    "volume/1/capabilities": (volume.CapabilitiesRequest, lambda r: volume.CapabilitiesResponse(scope="local")),
    "volume/1/create": (volume.CreateRequest, create), "volume/1/remove": (volume.RemoveRequest, remove),
    "volume/1/mount": (volume.MountRequest, mount), "volume/1/unmount": (volume.UnmountRequest, unmount),
    "volume/1/get": (volume.GetRequest, lambda r: volume.GetResponse(volume=found(r.name))),
    "volume/1/list": (volume.ListRequest, lambda r: volume.ListResponse(volumes=map(found, os.listdir(state)))),
    "volume/1/recover": (volume.RecoverRequest, recover),
}

def answer(header, body):
    reply, out = bus.Header(protocol=1, type=bus.RESPONSE, correlation=header.correlation), b""
    try:
        if header.method not in METHODS:
            raise Refused(12, f"no method '{header.method}' here")
        request, handler = METHODS[header.method]
        out = handler(request.FromString(body)).SerializeToString()
    except Refused as error:
        reply.status.code, reply.status.message = error.args
    except Exception as error:  # a malformed message, a disk that refuses: the caller hears of it
        reply.status.code, reply.status.message = (1 if "pars" in str(error).lower() else 14), str(error)
    return reply, out

socket = zmq.Context().socket(zmq.DEALER)
socket.connect("ipc://" + sys.argv[1])
send = lambda header, body=b"": socket.send_multipart([header.SerializeToString(), body])
hello = bus.Hello(protocol=1, id="pydir", version="1.0.0", instance=str(os.getpid()),
                  drivers=[bus.DriverName(kind="volume", major=1, name="pydir")])
welcome = False
while True:
    if not welcome or not socket.poll(10_000):  # silence: the agent restarted, so say hello again
        send(bus.Header(protocol=1, type=bus.HELLO), hello.SerializeToString())
        if not socket.poll(1_000):
            continue
    header, body = socket.recv_multipart()[-2:]
    header = bus.Header.FromString(header)
    if header.type == bus.WELCOME:
        welcome = True
        state = plugin.StartRequest.FromString(bus.Welcome.FromString(body).start_request).state_dir
    elif header.type == bus.REJECT:
        sys.exit(f"refused: {header.status.message}")
    elif header.type == bus.PING:
        send(bus.Header(protocol=1, type=bus.PONG, correlation=header.correlation))
    elif header.type == bus.BYE:
        welcome = False
    elif header.type == bus.REQUEST:
        send(*answer(header, body))
