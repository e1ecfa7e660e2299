"""One way to step an environment in another process: ``python environment_peers.py NAME SIZE``.

It starts the server as a process of its own, and says ``ready`` when a client has stepped. For each line with a number
it takes so many steps and says the seconds of one. The environment is that of ``still.py``. Each observation has to be a
fresh array.
"""

from __future__ import annotations

import base64
import multiprocessing
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager

import numpy as np
from still import SHAPES, Make

SPAWN = multiprocessing.get_context("spawn")


def arrays_of(size):
    """The observation, and the number of its bytes."""
    shape, dtype = SHAPES[size]
    return np.ones(shape, dtype), int(np.prod(shape)) * np.dtype(dtype).itemsize


@contextmanager
def server(function, *arguments):
    """A process that serves, and what it says first: where."""
    ours, theirs = SPAWN.Pipe()
    process = SPAWN.Process(target=function, args=(theirs, *arguments), daemon=True)
    process.start()
    theirs.close()
    try:
        yield ours
    finally:
        process.kill()
        process.join()


# --- bare sockets: the bytes of an action, and those of an observation with 16 bytes for all else


def serve_sockets(control, size, certificate=None):
    listener = socket.create_server(("127.0.0.1", 0))
    control.send(listener.getsockname())
    connection, _ = listener.accept()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate["tls_cert"], certificate["tls_key"])
        connection = context.wrap_socket(connection, server_side=True)
    observation, _ = arrays_of(size)
    rest = bytes(16)
    while connection.recv(16):
        connection.sendall(b"".join((memoryview(observation).cast("B"), rest)))


@contextmanager
def sockets(size, certificate=None):
    with server(serve_sockets, size, certificate) as control:
        connection = socket.create_connection(control.recv())
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if certificate is not None:
            context = ssl.create_default_context(cafile=certificate["tls_cert"])
            connection = context.wrap_socket(connection, server_hostname="127.0.0.1")
        observation, count = arrays_of(size)
        shape, dtype, count = observation.shape, observation.dtype, count + 16

        def step(action):
            connection.sendall(action.to_bytes(16, "little"))
            whole = bytearray(count)
            view, at = memoryview(whole), 0
            while at < count:
                at += connection.recv_into(view[at:])
            return np.frombuffer(view[:-16], dtype).reshape(shape)

        with connection:
            yield step


@contextmanager
def certificate():
    """A certificate of 127.0.0.1, which is its own authority: the files."""
    with tempfile.TemporaryDirectory() as folder:
        cert, key = f"{folder}/cert.pem", f"{folder}/key.pem"
        name = ("-subj", "/CN=bench", "-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=CA:FALSE")
        kind = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
        command = ["openssl", "req", "-x509", *kind, *name, "-keyout", key, "-out", cert]
        subprocess.run(command, check=True, capture_output=True)
        yield {"tls_cert": cert, "tls_key": key}


@contextmanager
def sockets_in_tls(size):
    with certificate() as files, sockets(size, files) as step:
        yield step


# --- the pipe of multiprocessing, as Gymnasium's AsyncVectorEnv uses it without shared memory


def serve_pipe(control, size):
    env = Make(size)()
    control.send(None)
    while True:
        control.send(env.step(control.recv()))


@contextmanager
def pipe(size):
    with server(serve_pipe, size) as control:
        control.recv()

        def step(action):
            control.send(action)
            return control.recv()[0]

        yield step


# --- masep


@contextmanager
def masep(size, certificate=None):
    from masep.gymnasium import EnvironmentServer, RemoteEnv

    files = certificate or {}
    with EnvironmentServer(Make(size), "127.0.0.1:0", envs=1, **files) as serving:
        env = RemoteEnv(serving.target, tls_ca=files.get("tls_cert"))
        env.reset(seed=1)
        yield lambda action: env.step(action)[0]
        env.close()


@contextmanager
def masep_in_tls(size):
    with certificate() as files, masep(size, files) as step:
        yield step


# --- dm_env_rpc, without its adaptor to dm_env


def serve_dm_env_rpc(control, size):
    from concurrent import futures

    import grpc
    from dm_env_rpc.v1 import dm_env_rpc_pb2, dm_env_rpc_pb2_grpc, tensor_utils

    env = Make(size)()

    class Servicer(dm_env_rpc_pb2_grpc.EnvironmentServicer):
        def Process(self, requests, context):
            for request in requests:
                response = dm_env_rpc_pb2.EnvironmentResponse()
                kind = request.WhichOneof("payload")
                if kind == "step":
                    observation, *_ = env.step(tensor_utils.unpack_tensor(request.step.actions[1]))
                    response.step.state = dm_env_rpc_pb2.RUNNING
                    response.step.observations[1].CopyFrom(tensor_utils.pack_tensor(observation))
                    response.step.observations[2].CopyFrom(tensor_utils.pack_tensor(np.float64(1.0)))
                else:
                    getattr(response, kind).SetInParent()
                yield response

    serving = grpc.server(futures.ThreadPoolExecutor(1))
    dm_env_rpc_pb2_grpc.add_EnvironmentServicer_to_server(Servicer(), serving)
    port = serving.add_insecure_port("127.0.0.1:0")
    serving.start()
    control.send(port)
    serving.wait_for_termination()


@contextmanager
def dm_env_rpc(size):
    import grpc
    from dm_env_rpc.v1 import connection as connections
    from dm_env_rpc.v1 import dm_env_rpc_pb2, tensor_utils

    with server(serve_dm_env_rpc, size) as control:
        with grpc.insecure_channel(f"127.0.0.1:{control.recv()}") as channel:
            grpc.channel_ready_future(channel).result()
            connection = connections.Connection(channel)

            def step(action):
                packed = {1: tensor_utils.pack_tensor(np.int64(action))}
                request = dm_env_rpc_pb2.StepRequest(actions=packed, requested_observations=[1, 2])
                return tensor_utils.unpack_tensor(connection.send(request).observations[1])

            yield step
            connection.close()


# --- rlmesh


def serve_rlmesh(control, size, port):
    import rlmesh

    serving = rlmesh.EnvServer(Make(size)(), f"127.0.0.1:{port}")
    control.send(None)
    serving.serve()


@contextmanager
def rlmesh(size):
    from rlmesh.numpy import RemoteEnv

    port = free_port()
    with server(serve_rlmesh, size, port) as control:
        control.recv()
        env = patiently(lambda: RemoteEnv(f"127.0.0.1:{port}"))
        env.reset(seed=1)
        yield lambda action: env.step(action)[0]


# --- openenv-core: an observation as base64, its own form would be a list of numbers


def serve_openenv(control, size, port):
    import uvicorn
    from openenv.core.env_server.http_server import create_app

    action, observation, environment, _ = openenv_classes(size)
    app = create_app(environment, action, observation, env_name="still", max_concurrent_envs=1)
    control.send(None)
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error")


def openenv_classes(size):
    from openenv.core import EnvClient
    from openenv.core.client_types import StepResult
    from openenv.core.env_server.interfaces import Environment
    from openenv.core.env_server.types import Action, Observation, State

    class StillAction(Action):
        action: int

    class StillObservation(Observation):
        pixels: str

    class StillEnvironment(Environment):
        SUPPORTS_CONCURRENT_SESSIONS = True

        def __init__(self):
            super().__init__()
            self.env = Make(size)()

        def observed(self, observation):
            pixels = base64.b64encode(observation).decode()
            return StillObservation(pixels=pixels, done=False, reward=1.0)

        def reset(self, seed=None, episode_id=None, **options):
            return self.observed(self.env.reset(seed=seed)[0])

        def step(self, action, timeout_s=None, **options):
            return self.observed(self.env.step(action.action)[0])

        @property
        def state(self):
            return State()

    class StillClient(EnvClient):
        def _step_payload(self, action):
            return {"action": action.action}

        def _parse_result(self, payload):
            observed = payload["observation"]["pixels"]
            return StepResult(observation=observed, reward=payload.get("reward"), done=False)

        def _parse_state(self, payload):
            return State()

    return StillAction, StillObservation, StillEnvironment, StillClient


@contextmanager
def openenv(size):
    import asyncio

    shape, dtype = SHAPES[size]
    port = free_port()
    with server(serve_openenv, size, port) as control:
        control.recv()
        action_class, _, _, client_class = openenv_classes(size)
        loop = asyncio.new_event_loop()

        def connected():
            client = client_class(base_url=f"http://127.0.0.1:{port}")
            loop.run_until_complete(client.connect())
            return client

        client = patiently(connected)
        loop.run_until_complete(client.reset())

        def step(action):
            result = loop.run_until_complete(client.step(action_class(action=action)))
            whole = bytearray(base64.b64decode(result.observation))
            return np.frombuffer(whole, dtype).reshape(shape)

        yield step
        loop.run_until_complete(client.close())


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def patiently(attempt, seconds=20.0):
    """The result of an attempt that is repeated until the server listens."""
    until = time.monotonic() + seconds
    while True:
        try:
            return attempt()
        except Exception:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


PEERS = {
    "sockets": sockets,
    "pipe": pipe,
    "masep": masep,
    "sockets, TLS": sockets_in_tls,
    "masep, TLS": masep_in_tls,
    "dm_env_rpc": dm_env_rpc,
    "rlmesh": rlmesh,
    "openenv": openenv,
}


def main():
    name, size = sys.argv[1:]
    expected, _ = arrays_of(size)
    with PEERS[name](size) as step:
        observation = step(1)
        assert observation.dtype == expected.dtype and np.array_equal(observation, expected), name
        print("ready", flush=True)
        for line in sys.stdin:
            count = int(line)
            begun = time.perf_counter()
            for _ in range(count):
                step(1)
            print((time.perf_counter() - begun) / count, flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
