"""State stores behind one port."""
