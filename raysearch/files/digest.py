"""Digests: short names for content, which is filed under its digest or compared by it.

Digests stand in names of folders, in records of searches and in MLflow. So the digest of some content may never change.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

DIGITS = 16
"""Hexadecimal digits of a digest, which make 64 bits.

The chance that any two of a million contents share a digest is 3 in 100 million.
"""


def content_digest(content: str | bytes | Iterable[str], digits: int = DIGITS) -> str:
    """The first hexadecimal digits of the content's SHA-256. Several texts count as one, put one after the other.

    Texts are encoded as UTF-8.
    """
    sha = hashlib.sha256()
    for part in [content] if isinstance(content, str | bytes) else content:
        sha.update(part.encode() if isinstance(part, str) else part)
    return sha.hexdigest()[:digits]


def document_digest(document: object, digits: int = DIGITS) -> str:
    """The digest of a document that JSON can hold. The order of keys does not matter."""
    return content_digest(json.dumps(document, sort_keys=True), digits)
