"""From records to people: normalise, guard, connect, keep ids stable, explain."""

from __future__ import annotations

from identity.measuring.evaluate import Measures, evaluate
from identity.nights.resolve import IdentityResult, resolve
from identity.rules.rules import Rules, load_rules

__all__ = ["IdentityResult", "Measures", "Rules", "evaluate", "load_rules", "resolve"]
