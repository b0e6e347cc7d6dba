"""Environments as data: what a definition says, where they and layers lie, how they are read."""
