"""Guards of the project itself: packaging, ignore files, imports, sizes, addresses, contracts."""
