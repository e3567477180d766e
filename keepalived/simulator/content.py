"""Keep the content of files in memory, up to a limit."""

from __future__ import annotations

import hashlib
from weakref import WeakSet

DEFAULT_CONTENT_LIMIT = 256 << 20
"""The most bytes of content to keep, in all files together."""

CHECKSUM_ALGORITHM = "SHA256"


class Content:
    """The received part of a file. `size` is in bytes; `chunks` is None if it was not kept."""

    def __init__(self, store: ContentStore | None = None, size: int = 0) -> None:
        self.size = size
        self.chunks: list[bytes] | None = None if store is None else []
        self._store = store
        self._hash = hashlib.sha256()

    def write(self, chunk: bytes) -> None:
        """Add a chunk. Without room for it, only the size is counted and all chunks are dropped."""
        if self.chunks is not None:
            if self._store is not None and len(chunk) <= self._store.room:
                self.chunks.append(chunk)
            else:
                self.chunks = None
        self._hash.update(chunk)
        self.size += len(chunk)

    @property
    def checksum(self) -> str:
        """The SHA-256 of the received bytes, in hexadecimal digits."""
        return self._hash.hexdigest()


class ContentStore:
    """Keeps at most `limit` bytes, each only while its content is referenced."""

    def __init__(self, limit: int = DEFAULT_CONTENT_LIMIT) -> None:
        self.limit = limit
        self._contents: WeakSet[Content] = WeakSet()

    @property
    def room(self) -> int:
        """The number of bytes that can still be kept."""
        return self.limit - sum(each.size for each in self._contents if each.chunks is not None)

    def receive(self) -> Content:
        """Return an empty content for writing."""
        content = Content(self)
        self._contents.add(content)
        return content
