"""Messages."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, ClassVar
from weakref import WeakSet
from xml.etree import ElementTree

from .. import _live, _masep

_taking = _live.Lock()
"""Held while parameters become Python objects. One for all messages: a conversion may look at another message."""

_warned: WeakSet[type[Any]] = WeakSet()
"""The classes of objects that were sent as their ``str``: one warning each."""


def _sent_as_text(value: object, place: str) -> None:
    """Warns of an object of the parameters that is sent as its ``str``, as pymasep does.

    :param place: where it stands, such as ``params['o'][3]``
    """
    kind = type(value)
    if kind in _warned:
        return
    _warned.add(kind)
    warnings.warn(
        f"{place} is of {kind.__module__}.{kind.__qualname__}, which has no form of its own: what "
        f"arrives, as in pymasep, is an element <{kind.__name__}> with its str(). Send the plain "
        "objects that it consists of, or give its class a method to_xml().",
        # The caller of `to_bytes`, `to_xml` or `str`.
        stacklevel=3,
    )


def _is_own(method: object, function: object) -> bool:
    """True if this method of a message is that function of this file, and nobody's override."""
    return getattr(method, "__func__", None) is function


class Message:
    """A message between an engine and an interface.

    :param msg_type: the type, one of ``MESSAGE_TYPE_…`` (any text is taken)
    :param param_dict: parameters; None for none
    :param src_sub_app_id: the id of the one who sends it
    """

    MESSAGE_TYPE_DEFINE = "define"
    """Interface to engine: which game to play; ``game`` is its class."""

    MESSAGE_TYPE_OBSERVATION = "observation"
    """Engine to interface: ``observation`` and ``additional_information``."""

    MESSAGE_TYPE_ACTION = "action"
    """Interface to engine: ``action``."""

    MESSAGE_TYPE_QUIT_GAME = "quit"
    """Interface to engine: the user ends the game."""

    MESSAGE_TYPE_REGISTER = "register"
    """Interface to engine: an interface joins, with ``id``, ``queue_id`` and ``role``."""

    MESSAGE_TYPE_END_GAME = "end"
    """Engine to interface: the game is over."""

    msg_type: str
    src_sub_app_id: str

    _failure: Exception | None = None
    """The error of the first look at parameters that cannot be had; each look raises it."""

    _as_text: ClassVar[Callable[[object, str], object] | None] = staticmethod(_sent_as_text)
    """Told of each object, and where it stands, that is sent as its ``str`` because it has no form of
    its own; None where such objects are refused."""

    def __init__(self, msg_type: str, param_dict: dict[str, Any] | None, src_sub_app_id: str) -> None:
        self.msg_type = msg_type
        self._params = param_dict
        self._decoded: _masep.Decoded | None = None
        """The message that the parameters are read from, until somebody looks at them."""
        self.src_sub_app_id = src_sub_app_id

    @property
    def params(self) -> dict[str, Any] | None:
        """The parameters. Those of a message that was read become Python objects when somebody looks
        at them for the first time; what is wrong with them, ``from_bytes`` has said before."""
        if self._decoded is not None:
            with _taking.lock:
                self._take_params()
        return self._params

    @params.setter
    def params(self, params: dict[str, Any] | None) -> None:
        self._decoded = None
        self._failure = None
        self._params = params

    def _take_params(self) -> None:
        """To be called with the lock: another thread may look at them too."""
        decoded = self._decoded
        if decoded is None:
            return
        if self._failure is not None:
            raise self._failure
        try:
            self._params = decoded.take_params()
        except Exception as error:
            self._failure = error
            raise
        self._decoded = None

    def to_xml(self) -> ElementTree.Element:
        """The message as an element."""
        element = _masep.message_to_xml(
            self.msg_type, self.params, self.src_sub_app_id, type(self)._as_text
        )
        element.tag = type(self).__name__
        return element

    def from_xml(self, xml_node: ElementTree.Element) -> None:
        """Takes over what the message says that this element is.

        :raises PeerError: if it is none; this message is unchanged then
        """
        self._take(_masep.decode_element(xml_node))

    def to_bytes(self) -> bytes:
        """The bytes of the message, those that pymasep 0.2 sends for it. A :meth:`to_xml` of a
        subclass is called.

        :raises CallerError: for a parameter that cannot be sent
        :raises LimitError: for one that no receiver would take
        """
        if self._has_own_xml():
            return ElementTree.tostring(self.to_xml())
        decoded = self._unread()
        if decoded is not None:
            return decoded.to_bytes()
        return _masep.encode_message(
            self.msg_type, self.params, self.src_sub_app_id, type(self)._as_text
        )

    def _has_own_xml(self) -> bool:
        """True if a subclass says how it looks."""
        return type(self).__name__ != "Message" or not _is_own(self.to_xml, _TO_XML)

    def _has_own_bytes(self) -> bool:
        """True if what is sent is what :meth:`to_bytes` gives, in every protocol."""
        return self._has_own_xml() or not _is_own(self.to_bytes, _TO_BYTES)

    def _unread(self) -> _masep.Decoded | None:
        """The message that was read, if this is still that message."""
        decoded = self._decoded
        if (
            decoded is not None
            and self._failure is None
            and decoded.msg_type == self.msg_type
            and decoded.src_sub_app_id == self.src_sub_app_id
        ):
            return decoded
        return None

    def from_bytes(self, b: bytes) -> None:
        """Takes over what the message says that these bytes are. Elements in it become
        ``xml.etree.ElementTree.Element``. Without parameters in it, this message keeps its own. A
        :meth:`from_xml` of a subclass is called.

        :raises PeerError: if it is none; this message is unchanged then
        :raises LimitError: if it is over a limit
        """
        if _is_own(self.from_xml, _FROM_XML):
            self._take(_masep.decode_message(b))
        else:
            self.from_xml(xml_node=_masep.parse_element(b))

    def _take(self, decoded: _masep.Decoded) -> None:
        msg_type, src_sub_app_id, has_params, names_a_class = decoded.head()
        if names_a_class:
            # This call fails if the class may not be had.
            self.params = decoded.take_params()
        elif has_params:
            self._decoded, self._failure = decoded, None
        self.msg_type = msg_type
        self.src_sub_app_id = src_sub_app_id

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Message):
            return NotImplemented
        return (
            self.msg_type == other.msg_type
            and self.src_sub_app_id == other.src_sub_app_id
            and self.params == other.params
        )

    # Messages can be changed.
    __hash__: ClassVar[None] = None  # type: ignore[assignment]

    def __getstate__(self) -> dict[str, Any]:
        _ = self.params
        return self.__dict__.copy()

    def __str__(self) -> str:
        """The message as XML. A :meth:`to_xml` of a subclass is called, as in pymasep; a
        :meth:`to_bytes` is not."""
        return Message.to_bytes(self).decode()

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.msg_type!r}, {self.params!r}, {self.src_sub_app_id!r})"
        )


_TO_XML = Message.to_xml
_TO_BYTES = Message.to_bytes
_FROM_XML = Message.from_xml
