"""`python -m unitscope`: the command line."""

from unitscope.cli.command import main

main()
