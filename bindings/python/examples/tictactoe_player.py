import sys

import masep.pettingzoo

with masep.pettingzoo.join(sys.argv[1], agent=sys.argv[2]) as player:
    for turn in player:
        if turn.final:
            print(f"episode {turn.episode}: {turn.reward}", flush=True)
        else:
            turn.act(turn.action_space.sample(turn.mask))
