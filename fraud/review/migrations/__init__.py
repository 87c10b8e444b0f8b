"""The steps from one shape of the console's database to the next, forward and back; `migrating.py` takes them."""
