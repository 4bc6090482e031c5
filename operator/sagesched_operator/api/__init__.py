"""The resource `LLMServingPool`: its fields, their bounds and defaults, written once.

Each section is a frozen dataclass; from it follow the CRD's schema (`schema.py`), the reading of a resource
(`reading.py`) and the reference page. Standard library only.
"""
