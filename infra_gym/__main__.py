"""``python -m infra_gym``: the command line."""

from infra_gym.cli.main import main

main()
