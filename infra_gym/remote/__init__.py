"""Environments for other languages and other machines: a TCP protocol, its server and clients."""
