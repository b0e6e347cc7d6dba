"""A fake DigitalOcean: what moto is to AWS, for the layers, pydo and the sweep.

Needs ``werkzeug``, which ``pip install 'moto[server]'`` brings.
"""

from infra_gym.testing.digitalocean.account import Account, Durations, Resource
from infra_gym.testing.digitalocean.bill import Bill
from infra_gym.testing.digitalocean.server import Answered, FakeDigitalOcean, Fault

__all__ = ["Account", "Answered", "Bill", "Durations", "FakeDigitalOcean", "Fault", "Resource"]
