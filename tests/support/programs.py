"""Programs that a test needs and a bare machine may lack. In CI nothing may be missing."""

from __future__ import annotations

import os
import shutil

import pytest


def needs(program: str) -> pytest.MarkDecorator:
    """Skip a test, saying why, where a program is not installed; never in CI."""
    missing = shutil.which(program) is None and "CI" not in os.environ
    return pytest.mark.skipif(missing, reason=f"{program} is not installed")
