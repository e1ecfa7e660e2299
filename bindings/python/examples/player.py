import sys
from xml.etree.ElementTree import Element

import masep

with masep.join(sys.argv[1], id=sys.argv[2], game="countdown.Countdown") as seat:
    for turn in seat:
        if not turn.final:
            turn.act(Element("Action", type="2"))  # turn.last tells whether the one before counted
