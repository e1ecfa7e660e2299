"""The rules of a game: an agent counts down from three."""

from xml.etree.ElementTree import Element


class Move:
    """The only action there is."""

    def to_xml(self) -> Element:
        """The XML that an engine is sent."""
        return Element("Action", type="2")


class Countdown:
    """Three turns."""

    def __init__(self) -> None:
        self.left = 3

    def play(self, action: object) -> None:
        """One turn, if it is an action of this game."""
        if isinstance(action, Element) and action.get("type") == "2":
            self.left -= 1

    def to_xml(self) -> Element:
        """The XML that an agent sees."""
        return Element("State", name="State", left=str(self.left))
