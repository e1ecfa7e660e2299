import sys
from xml.etree.ElementTree import Element

import masep

with masep.join(sys.argv[1], id=sys.argv[2], game="countdown.Countdown") as seat:
    for turn in seat:
        print(f"turn {turn.number}: {turn.view.attrib}, before: {turn.last}", flush=True)
        if not turn.final:
            turn.act(Element("Action", type="2"))
