"""What segments offer: the open offers of a bank, and whether a segment's offer is one of them with a risk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from lakehouse.settings.yaml_files import did_you_mean

if TYPE_CHECKING:
    from segments.language.spec import Segment

TABLE = "trusted.offers"
# The tag that says up to which risk a person may be offered something.
OFFER_TAG = "max_sellable_risk"
COLUMNS = ["offer_id", "version", "risk_level", "valid_to"]
# ``offer_id@version`` → its risk level, None where it has none.
Offers = Mapping[str, str | None]


def open_offers(rows: Iterable[Mapping[str, Any]]) -> Offers:
    """Give the offers of rows of ``trusted.offers`` that hold now; of two sources' risks the higher one counts."""
    risks: dict[str, list[str | None]] = {}
    for row in rows:
        if row["valid_to"] is None:
            risks.setdefault(f"{row['offer_id']}@{row['version']}", []).append(row["risk_level"])
    return {
        offer: None if None in levels else max(level for level in levels if level)
        for offer, levels in risks.items()
    }


def offer_fault(segment: Segment, offers: Offers) -> str | None:
    """Give what is wrong with the offer of a segment, None where nothing is or it offers nothing."""
    offer = segment.spec.offer
    if offer is None or offers.get(offer):
        return None
    if offer in offers:
        return f"the offer '{offer}' has no risk level, so nobody can be said to suit it"
    return f"there is no offer '{offer}'{did_you_mean(offer, list(offers))}"


def offer_faults(segments: Iterable[Segment], offers: Offers) -> Iterator[tuple[Segment, str]]:
    """Give every segment whose offer is at fault, with the fault."""
    for segment in segments:
        fault = offer_fault(segment, offers)
        if fault:
            yield segment, fault
