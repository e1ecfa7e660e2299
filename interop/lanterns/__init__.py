"""A small game for the real pymasep engine: players light lanterns, a keeper snuffs them.

It exists to put many kinds of values on the wire (see `scene.py`) over a whole game whose every step
follows from its seed, so that what masep receives can be compared with what pymasep receives.
"""
