"""Class ``Frame``: a frame sent at TCP level."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize("body", [b"", b"hi", bytes(range(256)), bytes(65_535)], ids=len)
def test_a_frame_has_its_bytes_and_their_number(communication, body):
    """``msg``: bytes to send; ``message`` is them, ``size`` their number."""
    frame = communication.Frame(body)
    assert (frame.message, frame.size) == (body, len(body))


def test_parameters_by_name(communication):
    """All parameters can be given by name."""
    assert communication.Frame(msg=b"hi").message == b"hi"
    assert communication.Frame.hello_frame(ident="agent").message == b"agent"


def test_equality(communication):
    """``==`` tells whether two frames are equal: whether they have the same bytes."""
    assert communication.Frame(b"hi") == communication.Frame(b"hi")
    assert not communication.Frame(b"hi") == communication.Frame(b"ho")
    assert communication.Frame(b"hi") != communication.Frame(b"")


@pytest.mark.parametrize("other", [None, b"hi", "hi", 2], ids=repr)
@pytest.mark.pymasep_fails("takes the other for a frame and asks for its message: AttributeError")
def test_a_frame_equals_nothing_else(communication, other):
    """Nor is a frame equal to what is no frame; asking is no error."""
    assert not communication.Frame(b"hi") == other


@pytest.mark.parametrize("ident", ["agent", "", "engine-é", "actor-漢", "\U0001f600"])
def test_the_hello(communication, ident):
    """``hello_frame``: the first frame to send at connection, with the id of who sends it."""
    frame = communication.Frame.hello_frame(ident)
    assert isinstance(frame, communication.Frame)
    assert frame == communication.Frame(ident.encode())


def test_the_bye(communication):
    """``bye_frame``: the frame that closes the thread which receives it."""
    frame = communication.Frame.bye_frame()
    assert isinstance(frame, communication.Frame)
    assert (frame.message, frame.size) == (b"BYE", 3)
