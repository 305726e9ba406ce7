"""`python -m convgrad_cli` is the command `convgrad`."""

from convgrad_cli.cli.main import main

main()
