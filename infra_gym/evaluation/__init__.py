"""Judging agents and twins: evaluations on declared seeds, probes, calibrations."""
