import sys
from xml.etree.ElementTree import Element

import masep

STAY = Element("Action", type="0")  # the action of a player that is late

with masep.Table("countdown.Countdown", ["red", "blue"], sys.argv[1], deadline=2, late=STAY, rejoins_by_id=True) as table:
    print(f"listening on {table.target}", flush=True)
    table.filled()
    for left in range(10, 0, -1):
        state = Element("State", name="State", left=str(left))
        for move in table.ask_all(lambda seat: state):
            print(f"{left} left: {move.seat} {move.how} {move.action.get('type')}", flush=True)
        table.show(state)  # to spectators
