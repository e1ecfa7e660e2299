"""Messages that say nothing but what they were given."""

from __future__ import annotations

from typing import ClassVar

from . import _masep, communication
from ._exceptions import CallerError, LimitError


class Message(communication.Message):
    """A message between an engine and an interface.

    Parameters are None, ``bool``, ``int``, ``float``, ``str``, ``bytes``, ``list``, ``tuple``, ``set``
    and ``dict`` with ``str`` as keys, classes, elements of ``xml.etree.ElementTree``, objects with a
    method ``to_xml()`` that gives one, and arrays: whatever has a buffer, such as an array of numpy or an
    ``array.array``, and tensors of torch. A scalar of numpy is sent as the number that it is; a
    ``bytearray``, and a ``memoryview`` of one dimension whose format is ``"B"``, as its bytes. All else
    is refused, with its place and what can be sent instead; ``masep.communication.Message`` sends its
    ``str``, as pymasep does.

    Only protocol 2 has arrays. They arrive as writable arrays of numpy, or as :class:`masep.Array` where
    numpy cannot be imported. numpy is imported for the first array that arrives, and not before.

    Two messages are equal if their parameters are, or go over the wire as the same bytes.

    :param msg_type: what is said, one of ``MESSAGE_TYPE_…`` (any text is taken)
    :param param_dict: parameters; None for none
    :param src_sub_app_id: the id of the one who sends it
    """

    _as_text = None

    def to_cbor(self) -> bytes:
        """The message in the form of protocol 2, in which it can have arrays: to keep it, or for other
        programs. To send it, give the message itself to the connection.

        :raises CallerError: for a parameter that cannot be sent
        """
        decoded = self._unread()
        if decoded is not None:
            return decoded.to_cbor()
        return _masep.encode_cbor(
            self.msg_type, self.params, self.src_sub_app_id, type(self)._as_text
        )

    def from_cbor(self, b: bytes) -> None:
        """Takes over what the message says that these bytes are: the body of a frame of protocol 2.

        :raises PeerError: if it is none; this message is unchanged then
        :raises LimitError: if it is over a limit
        """
        self._take(_masep.decode_cbor(b))

    def __eq__(self, other: object) -> bool:
        try:
            equal = super().__eq__(other)
        except ValueError:
            # Arrays of numpy have no single answer.
            equal = False
        if equal is not False or not isinstance(other, Message):
            return equal
        heads = [(one.msg_type, one.src_sub_app_id) for one in (self, other)]
        if heads[0] != heads[1]:
            return False
        try:
            # Here arrays are equal if their types, shapes and bytes are, and elements if they are the same in XML.
            return self.to_cbor() == other.to_cbor()
        except (CallerError, LimitError):
            return False

    __hash__: ClassVar[None] = None
