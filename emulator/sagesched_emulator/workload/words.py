"""Words that sentences are filled with, and the filling."""

from __future__ import annotations

import re

import numpy as np

WORDS: dict[str, tuple[str, ...]] = {
    "person": (
        "Amara", "Benedikt", "Chiara", "Dmitri", "Elif", "Farid", "Greta", "Hugo", "Ines", "Jonas",
        "Keiko", "Luca", "Mbali", "Nadia", "Oskar", "Priya", "Quentin", "Rosa", "Samir", "Tilda", "Umar",
        "Vera", "Wen", "Yusuf",
    ),
    "place": (
        "the harbour", "the northern depot", "the old town hall", "the airport terminal",
        "the river bridge", "the science campus", "the central station", "the cold store",
        "the visitor centre", "the western suburb", "the upper valley", "the paper mill",
        "the fish market", "the solar field", "the children's clinic",
    ),
    "company": (
        "Lindholm Freight", "Arbor Textiles", "Bluewater Foods", "Castell Optics", "Drava Software",
        "Eastgate Bank", "Fjord Energy", "Granite Tools", "Halcyon Air", "Ironwood Homes",
        "Juniper Health", "Kestrel Media",
    ),
    "thing": (
        "crates of apples", "spare batteries", "library cards", "train tickets", "solar panels",
        "paper invoices", "bicycle helmets", "water filters", "school desks", "vaccine boxes",
        "steel beams", "garden chairs", "laptops", "winter coats", "cheese wheels", "sensor kits",
    ),
    "reason": (
        "a broken crane", "heavy rain", "a missing signature", "a strike at the port", "a software update",
        "higher fuel prices", "a late audit", "a power cut", "new safety rules", "a shortage of drivers",
        "an unexpected inspection", "a change of supplier",
    ),
    "action": (
        "review the contract", "repair the roof", "hire two engineers", "move the archive",
        "renew the licence", "test the backup generator", "lower the entrance fee", "translate the manual",
        "close the side gate", "publish the minutes", "replace the pumps", "call every customer back",
    ),
    "opinion": (
        "too expensive", "long overdue", "a good first step", "hard to explain", "better than expected",
        "risky without a plan", "popular with visitors", "unfair to small shops",
    ),
    "day": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    "month": ("January", "March", "April", "June", "August", "September", "October", "December"),
    "team": (
        "logistics", "finance", "support", "planning", "research", "sales", "maintenance", "legal",
    ),
    "letter": ("n", "k", "m", "x", "y", "p", "q", "t"),
    "item": (
        "stones", "cards", "towers", "lamps", "words", "islands", "robots", "coins", "trees", "segments",
    ),
    "measure": (
        "sum", "product", "maximum", "minimum", "difference", "number of pairs", "longest run", "median",
    ),
    "verb": ("moved", "merged", "removed", "swapped", "painted", "reversed", "doubled", "split"),
}  # fmt: skip

_SLOT = re.compile(r"\{(\w+)\}")


def fill(template: str, rng: np.random.Generator) -> str:
    """Replace each `{name}` by a word of that list and each `{number}` by a number from 2 to 999."""
    return _SLOT.sub(lambda slot: _word(slot.group(1), rng), template)


def _word(name: str, rng: np.random.Generator) -> str:
    if name == "number":
        return str(int(rng.integers(2, 1000)))
    words = WORDS[name]
    return words[int(rng.integers(len(words)))]
