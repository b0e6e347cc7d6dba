"""What users test their own environments and programs with: doubles, and the conformance suite."""

from infra_gym.testing.conformance import Check, Conformance, check_environment
from infra_gym.testing.fake_prometheus import FakePrometheus
from infra_gym.testing.object_store import ObjectStore

__all__ = ["Check", "Conformance", "FakePrometheus", "ObjectStore", "check_environment"]
