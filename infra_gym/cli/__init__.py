"""The command line: ``infra-gym envs | layers | backend | run | doctor``."""
