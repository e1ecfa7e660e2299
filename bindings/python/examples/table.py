import sys
from xml.etree.ElementTree import Element

import masep

RULES = {"deadline": 2.0, "late": Element("Action", type="0"), "grace": 30.0, "rejoins_by_id": True}

with masep.Table("countdown.Countdown", ["red", "blue"], sys.argv[1], **RULES) as table:
    print(f"listening on {table.target}", flush=True)
    table.filled()
    for left in range(10, 0, -1):
        state = Element("State", name="State", left=str(left))
        for move in table.ask_all(lambda seat: state):
            print(f"{left} left: {move.seat} {move.how} {move.action.get('type')}", flush=True)
        table.show(state)  # to spectators
    print("over", flush=True)
