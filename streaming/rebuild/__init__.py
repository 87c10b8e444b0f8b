"""State made anew from the log: all of it, or the histories of another model."""
