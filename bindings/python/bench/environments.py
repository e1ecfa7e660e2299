"""The time that a step of a remote environment takes, beside bare sockets of Python: interleaved rounds, the median of their
ratios. The environment itself costs nothing. With ``--vector``, 8 remote environments beside 8 of Gymnasium's
``AsyncVectorEnv`` with shared memory, whose steps take 0 and 1 ms."""

from __future__ import annotations

import argparse
import multiprocessing
import socket
import statistics
import time

import gymnasium
import numpy as np
from gymnasium.vector import AsyncVectorEnv

from masep.gymnasium import EnvironmentServer, RemoteEnv, RemoteVectorEnv

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


class Slow(Still):
    """One whose steps take this long."""

    def __init__(self, milliseconds):
        super().__init__(*SHAPES["28 kB"])
        self.seconds = milliseconds / 1000

    def step(self, action):
        if self.seconds:
            time.sleep(self.seconds)
        return super().step(action)


class MakeSlow:
    def __init__(self, milliseconds):
        self.milliseconds = milliseconds

    def __call__(self):
        return Slow(self.milliseconds)


def compare_vectors(milliseconds, rounds, steps):
    make = MakeSlow(milliseconds)
    here = AsyncVectorEnv([make] * 8, shared_memory=True, copy=True, context="spawn")
    with EnvironmentServer(make, "127.0.0.1:0", envs=8) as server:
        there = RemoteVectorEnv(server.target, 8)
        actions = here.action_space.sample()
        for envs in (here, there):
            envs.reset(seed=1)
        pairs = [
            (timed(lambda _: here.step(actions), steps), timed(lambda _: there.step(actions), steps))
            for _ in range(rounds)
        ]
        there.close()
    here.close()
    ratio = statistics.median(there / here for here, there in pairs)
    here, there = (statistics.median(side) * 1e6 for side in zip(*pairs))
    print(f"8 of {milliseconds} ms: AsyncVectorEnv {here:.0f} µs, RemoteVectorEnv {there:.0f} µs, ratio {ratio:.2f}")


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
    parser.add_argument("--vector", action="store_true")
    given = parser.parse_args()
    if given.vector:
        for milliseconds in (0, 1):
            compare_vectors(milliseconds, given.rounds, given.steps)
        return
    for size in given.size or SHAPES:
        compare(size, given.rounds, given.steps)


if __name__ == "__main__":
    main()
