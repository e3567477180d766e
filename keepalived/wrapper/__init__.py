"""Keep sessions alive while a command runs (`clkeepalived exec`)."""
