"""Messages that say nothing but what they were given."""

from __future__ import annotations

from . import communication


class Message(communication.Message):
    """A message between an engine and an interface.

    Parameters are None, ``bool``, ``int``, ``float``, ``str``, ``bytes``, ``list``, ``tuple``, ``set``
    and ``dict`` with ``str`` as keys, classes, elements of ``xml.etree.ElementTree`` and objects with a
    method ``to_xml()`` that gives one. A scalar of numpy is sent as the number that it is, a
    ``bytearray`` or ``memoryview`` as its bytes. All else is refused by :meth:`to_bytes`, with its place
    and what can be sent instead; ``masep.communication.Message`` sends its ``str``, as pymasep does.

    :param msg_type: what is said, one of ``MESSAGE_TYPE_…`` (any text is taken)
    :param param_dict: parameters; None for none
    :param src_sub_app_id: the id of the one who sends it
    """

    _as_text = None
