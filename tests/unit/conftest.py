"""Fixtures of several files of unit tests."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def untouched_level() -> Iterator[None]:
    """Give the program's logger its level back after a test."""
    logger = logging.getLogger("clkeepalived")
    level = logger.level
    yield
    logger.setLevel(level)


@pytest.fixture
def untouched_root() -> Iterator[None]:
    """Give the root logger its level and its handlers back after a test."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield
    for added in set(root.handlers) - set(handlers):
        added.close()
    root.setLevel(level)
    root.handlers[:] = handlers
