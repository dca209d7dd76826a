"""`python -m envctl`."""

from envctl.cli import main

main()
