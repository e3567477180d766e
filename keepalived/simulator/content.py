"""The content of files: kept in memory as it arrived, as far as there is room for it."""

from __future__ import annotations

import hashlib
from weakref import WeakSet

DEFAULT_CONTENT_LIMIT = 256 << 20
"""Bytes of content that are kept, all files together."""

CHECKSUM_ALGORITHM = "SHA256"


class Content:
    """What arrived of a file. `size` is in bytes; `chunks` is None where it was not kept."""

    def __init__(self, store: ContentStore | None = None, size: int = 0) -> None:
        self.size = size
        self.chunks: list[bytes] | None = None if store is None else []
        self._store = store
        self._hash = hashlib.sha256()

    def write(self, chunk: bytes) -> None:
        """Add what arrived; what there is no room for is counted, and the whole no longer kept."""
        if self.chunks is not None:
            if self._store is not None and len(chunk) <= self._store.room:
                self.chunks.append(chunk)
            else:
                self.chunks = None
        self._hash.update(chunk)
        self.size += len(chunk)

    @property
    def checksum(self) -> str:
        """The SHA-256 of what arrived, in hexadecimal digits."""
        return self._hash.hexdigest()


class ContentStore:
    """Keeps at most `limit` bytes, and no longer than somebody refers to them."""

    def __init__(self, limit: int = DEFAULT_CONTENT_LIMIT) -> None:
        self.limit = limit
        self._contents: WeakSet[Content] = WeakSet()

    @property
    def room(self) -> int:
        """How many bytes more can be kept."""
        return self.limit - sum(each.size for each in self._contents if each.chunks is not None)

    def receive(self) -> Content:
        """Return an empty content to write to."""
        content = Content(self)
        self._contents.add(content)
        return content
