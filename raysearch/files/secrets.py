"""Passwords in addresses: whatever is shown, logged or told of an address goes through here."""

from __future__ import annotations

import re

HIDDEN = "***"
PRIVATE = 0o600
"""Mode of a file that only its owner reads and writes, since it holds addresses as they are."""

# The user's part of an address ends at the last @ before the host. A password may hold a colon, but no slash or blank.
_PASSWORD = re.compile(r"(://[^\s/@:]*):[^\s/]*@")
# Databases and object stores also take them behind the question mark, under names of many kinds.
_SECRET = re.compile(r"([?&][\w.-]*(?:passw|pwd|token|secret|signature|access_?key)[\w.-]*=)[^\s&#'\"]+", re.IGNORECASE)


def masked(text: object) -> str:
    """The text, with the password of every address in it replaced by stars: `http://alice:***@host`."""
    return _SECRET.sub(rf"\1{HIDDEN}", _PASSWORD.sub(rf"\1:{HIDDEN}@", str(text)))
