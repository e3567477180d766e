"""Prints the JSON schema of the configuration, for editors.

Run it as `python -m keepalived.settings.schema`.
"""

from __future__ import annotations

import json
import sys

from keepalived.settings.models import Settings
from keepalived.validation.json_schema import schema_of


def schema() -> str:
    """Return the JSON schema as the text of a file."""
    generated = schema_of(Settings)
    generated = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **generated,
        "title": "Configuration of clkeepalived",
    }
    return json.dumps(generated, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(schema())
