"""Learns FrozenLake on an environment that runs elsewhere: ``q_learner.py 127.0.0.1:60000``, which
``python -m masep.gymnasium serve FrozenLake-v1 127.0.0.1:60000 --arg is_slippery=false`` serves."""

import sys

import numpy as np

from masep.gymnasium import RemoteEnv

EPISODES = 1_500


def best(values: np.ndarray, random: np.random.Generator) -> int:
    return int(random.choice(np.flatnonzero(values == values.max())))


def main(address: str) -> None:
    env = RemoteEnv(address)
    random = np.random.default_rng(0)
    values = np.zeros((env.observation_space.n, env.action_space.n))  # type: ignore[attr-defined]

    def play(explores: float, seed: int) -> float:
        state, _ = env.reset(seed=seed)
        total, done = 0.0, False
        while not done:
            explored = random.random() < explores
            action = int(random.integers(len(values[0]))) if explored else best(values[state], random)
            after, reward, terminated, truncated, _ = env.step(action)
            target = reward + 0.95 * values[after].max() * (not terminated)
            values[state, action] += 0.2 * (target - values[state, action])
            state, total, done = after, total + reward, terminated or truncated
        return total

    for episode in range(EPISODES):
        play(max(0.05, 1.0 - episode / 800), episode)
    won = sum(play(0.0, seed) for seed in range(100))
    print(f"won {won:.0f} of 100")
    env.close()


if __name__ == "__main__":
    main(sys.argv[1])
