"""What a step of a remote environment takes, beside bare sockets of Python: interleaved rounds, the median of their
ratios. The environment itself costs nothing."""

from __future__ import annotations

import argparse
import multiprocessing
import socket
import statistics
import time

import gymnasium
import numpy as np

from masep.gymnasium import EnvironmentServer, RemoteEnv

SHAPES = {"16 B": ((4,), np.float32), "28 kB": ((84, 84, 4), np.uint8), "101 kB": ((210, 160, 3), np.uint8)}


class Still(gymnasium.Env):
    """The same observation for each step."""

    def __init__(self, shape, dtype):
        dtype = np.dtype(dtype)
        high = np.inf if dtype.kind == "f" else 255
        low = -np.inf if dtype.kind == "f" else 0
        self.observation_space = gymnasium.spaces.Box(low, high, shape, dtype.type)
        self.action_space = gymnasium.spaces.Discrete(4)
        self.observation = np.ones(shape, dtype)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.observation, {}

    def step(self, action):
        return self.observation, 1.0, False, False, {}


class Make:
    def __init__(self, size):
        self.shape = SHAPES[size]

    def __call__(self, **arguments):
        return Still(*self.shape, **arguments)


def bare_server(listener, size):
    """Bytes of an action in, bytes of an observation out."""
    connection, _ = listener.accept()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    shape, dtype = SHAPES[size]
    observation = np.ones(shape, dtype)
    rest = b"\0" * 16
    while connection.recv(16):
        connection.sendall(b"".join((memoryview(observation).cast("B"), rest)))


class Bare:
    def __init__(self, size):
        listener = socket.create_server(("127.0.0.1", 0))
        context = multiprocessing.get_context("spawn")
        self.process = context.Process(target=bare_server, args=(listener, size), daemon=True)
        self.process.start()
        self.socket = socket.create_connection(listener.getsockname())
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.close()
        self.shape, self.dtype = SHAPES[size]
        self.bytes = int(np.prod(self.shape)) * np.dtype(self.dtype).itemsize + 16

    def step(self, action):
        self.socket.sendall(action.to_bytes(16, "little"))
        whole = bytearray(self.bytes)
        view, at = memoryview(whole), 0
        while at < self.bytes:
            at += self.socket.recv_into(view[at:])
        return np.frombuffer(view[:-16], self.dtype).reshape(self.shape)

    def close(self):
        self.socket.close()
        self.process.join()


def timed(step, count):
    begun = time.perf_counter()
    for _ in range(count):
        step(1)
    return (time.perf_counter() - begun) / count


def compare(size, rounds, steps):
    bare = Bare(size)
    with EnvironmentServer(Make(size), "127.0.0.1:0", envs=1) as server:
        env = RemoteEnv(server.target)
        env.reset(seed=1)
        timed(bare.step, steps), timed(env.step, steps)
        pairs = [(timed(bare.step, steps), timed(env.step, steps)) for _ in range(rounds)]
        env.close()
    bare.close()
    ratio = statistics.median(remote / alone for alone, remote in pairs)
    alone, remote = (statistics.median(side) * 1e6 for side in zip(*pairs))
    print(f"{size:>7}: bare {alone:6.1f} µs, remote {remote:6.1f} µs, ratio {ratio:.2f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--size", choices=SHAPES, action="append")
    given = parser.parse_args()
    for size in given.size or SHAPES:
        compare(size, given.rounds, given.steps)


if __name__ == "__main__":
    main()
