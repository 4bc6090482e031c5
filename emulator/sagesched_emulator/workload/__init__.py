"""A synthetic workload: own prompts, with answer lengths distributed as recorded ones are."""

from sagesched_emulator.workload.generator import generate

__all__ = ["generate"]
