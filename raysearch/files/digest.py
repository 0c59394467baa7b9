"""Digests of content: what is filed under its content, or compared by it, is named by one of these.

Their values stand in folder names, search records and MLflow, so none of them may ever change.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

DIGITS = 16
"""Hexadecimal digits of a digest, 64 bits: among a million contents two share one with a chance of 3 in 100 million."""


def content_digest(content: str | bytes | Iterable[str], digits: int = DIGITS) -> str:
    """The first hexadecimal digits of the content's sha256; of several texts, that of their concatenation.

    Texts count as UTF-8.
    """
    sha = hashlib.sha256()
    for part in [content] if isinstance(content, str | bytes) else content:
        sha.update(part.encode() if isinstance(part, str) else part)
    return sha.hexdigest()[:digits]


def document_digest(document: object, digits: int = DIGITS) -> str:
    """The digest of what JSON can hold; the order of keys does not count."""
    return content_digest(json.dumps(document, sort_keys=True), digits)
