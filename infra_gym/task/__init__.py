"""Tasks turn actions into controls, and metrics into observation, reward and cost. All pure."""
