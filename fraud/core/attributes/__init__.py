"""Own columns: what a site declares beside the fields that everybody has, and what a message says of them."""
