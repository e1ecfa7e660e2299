"""The little of IPv4 that a link must know: addresses, and what a router reports to a sender (RFC 792, RFC 1191)."""

from __future__ import annotations

import ipaddress
import struct

_NET = ipaddress.ip_network("10.77.0.0/24")
_ROUTER = _NET[254]
_ICMP = 1
_UNREACHABLE, _HOST, _FRAGMENTATION_NEEDED = 3, 1, 4


def address(host: int) -> str:
    """The address of the host with this number, from 1."""
    return str(_NET[host])


def is_ipv4(packet: bytes) -> bool:
    """True if it has the header of an IPv4 packet."""
    return len(packet) >= 20 and packet[0] >> 4 == 4


def source(packet: bytes) -> bytes:
    """The address of the sender."""
    return packet[12:16]


def destination(packet: bytes) -> bytes:
    """For whom it is."""
    return packet[16:20]


def is_for_all(target: bytes) -> bool:
    """True if it is the address of a multicast group, or of everybody on the LAN."""
    return target[0] >= 224 or target == _NET.broadcast_address.packed


def unreachable(packet: bytes) -> bytes:
    """A router's report that it cannot reach the packet's destination."""
    return _report(packet, _HOST, 0)


def too_large(packet: bytes, mtu: int) -> bytes:
    """A router's report that the packet is larger than the way ahead takes."""
    return _report(packet, _FRAGMENTATION_NEEDED, mtu)


def _report(packet: bytes, code: int, mtu: int) -> bytes:
    header_size = (packet[0] & 0x0F) * 4
    icmp = struct.pack("!BBHHH", _UNREACHABLE, code, 0, 0, mtu) + packet[: header_size + 8]
    icmp = icmp[:2] + struct.pack("!H", _checksum(icmp)) + icmp[4:]
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(icmp), 0, 0, 64, _ICMP, 0, _ROUTER.packed, source(packet))
    return header[:10] + struct.pack("!H", _checksum(header)) + header[12:] + icmp


def _checksum(data: bytes) -> int:
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
