"""What `clkeepalived demo` plays: uploads with gaps, with and without a keeper, and the proof."""
