"""Judging agents: episodes on declared seeds, their summary and their log."""
