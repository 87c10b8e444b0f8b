"""Rows of bytes per entity: their layout, and the compiled loops that read and change them."""
