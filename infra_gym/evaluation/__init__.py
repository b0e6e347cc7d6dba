"""Evaluation: probing a live environment, and calibrating its twin to what was measured there."""
