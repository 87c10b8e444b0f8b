"""Run the command line as `python -m fraud.cli`."""

from fraud.cli import main

main()
