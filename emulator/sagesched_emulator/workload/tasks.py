"""All tasks that users ask for."""

from __future__ import annotations

from sagesched_emulator.workload.tasks_code import CODE
from sagesched_emulator.workload.tasks_talk import TALK
from sagesched_emulator.workload.tasks_texts import ON_TEXTS

TASKS = (*TALK, *ON_TEXTS, *CODE)
