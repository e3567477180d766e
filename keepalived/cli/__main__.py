"""`python -m keepalived.cli` is the same as the `clkeepalived` command."""

from keepalived.cli.main import main

main(prog_name="clkeepalived")
