"""Where the path runs: sources, sinks, codecs, clocks and wiring."""
