"""Environments as data: what a definition says, where definitions and layers lie, how they are read."""
