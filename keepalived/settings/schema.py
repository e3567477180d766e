"""The JSON schema of the configuration, for editors: `python -m keepalived.settings.schema`."""

from __future__ import annotations

import json
import sys

from keepalived.settings.models import Settings
from keepalived.validation.json_schema import schema_of


def schema() -> str:
    """Return the JSON schema as text, ready to be written to a file."""
    generated = schema_of(Settings)
    generated = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **generated,
        "title": "Configuration of clkeepalived",
    }
    return json.dumps(generated, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(schema())
