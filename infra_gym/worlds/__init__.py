"""Worlds apply controls and yield named metrics: a live stack, or a simulator."""
