"""The parts that :mod:`masep.gymnasium` and :mod:`masep.pettingzoo` have in common."""
