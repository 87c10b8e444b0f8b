"""Run the command line as `python -m fraud`."""

from fraud.cli import main

main()
