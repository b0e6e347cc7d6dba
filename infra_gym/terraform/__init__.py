"""Terraform and OpenTofu: running them, reading what they say, and where their state lies."""
