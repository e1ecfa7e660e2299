"""Options of TLS, for the extension module."""

from __future__ import annotations

import os
from typing import Literal, TypeAlias

from ._exceptions import CallerError

Path: TypeAlias = str | os.PathLike[str]
# One literal with three texts is no union where the package runs, as mypy's stubtest wants it.
Mode: TypeAlias = Literal["require"] | Literal["allow"] | Literal["off"]


def path(name: str, given: Path) -> str:
    """The path that this argument is."""
    try:
        found = os.fspath(given)
    except TypeError:
        found = None
    if not isinstance(found, str):
        raise CallerError(f"{name} is the path of a file, not a {type(given).__name__}")
    return found


def certificate(
    tls_cert: Path | None, tls_key: Path | None, tls: Mode | None
) -> tuple[str, str, str] | None:
    """The paths of a server's certificate and key, and its mode; None without TLS."""
    if tls_cert is None and tls_key is None:
        if tls not in (None, "off"):
            raise CallerError("tls needs tls_cert and tls_key")
        return None
    if tls_cert is None or tls_key is None:
        raise CallerError("tls_cert and tls_key go together")
    return path("tls_cert", tls_cert), path("tls_key", tls_key), tls or "require"


def trust(tls_ca: Path | None, tls_name: str | None) -> tuple[str | None, str | None] | None:
    """The file of the authorities that a client trusts, and the server's name; None if nothing was given."""
    if tls_ca is None and tls_name is None:
        return None
    return None if tls_ca is None else path("tls_ca", tls_ca), tls_name
