"""Simulators: pure transitions, without clock, files, environment variables or logging."""
