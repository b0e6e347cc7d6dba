"""The Gymnasium environment over any world and task, and its registration."""
