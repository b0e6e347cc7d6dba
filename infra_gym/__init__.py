"""Reinforcement-learning agents run real infrastructure, and are judged on it.

Importing this registers every environment, so that ``gym.make("SimpleK8sWebApp-v0")`` finds it.
"""

from infra_gym.environments.registration import register_all

__version__ = "0.1.0"

register_all()
