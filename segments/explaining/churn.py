"""How many people came into an audience and left it in a night, beside what its own nights before were like.

Who pauses because of contact policy has not left: caps let an audience take turns on purpose.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from lakehouse.query.words import literal

if TYPE_CHECKING:
    from lakehouse.query.desk import Desk

# How many nights before are looked at, at most.
NIGHTS = 14

_SIZES = """
SELECT code, as_of, count(*) AS people FROM segments.members
WHERE holdout = 'NONE' AND variant IS DISTINCT FROM 'CONTAMINATED' GROUP BY ALL
"""
_CHANGES = """
SELECT code, as_of, count(*) FILTER (op = 'ENTER') AS entering, count(*) FILTER (op = 'EXIT') AS leaving
FROM segments.changes WHERE cause <> 'contact' GROUP BY ALL
"""


# What chooses other people by intent when it changes.
_RULE = "definition_hash || tag_versions::VARCHAR || coalesce(json_extract_string(params, '$.stage'), '')"


@dataclass(frozen=True)
class AudienceChurn:
    """One audience of a night: people who entered and left, as counts and as shares.

    ``entering_ratio`` is of the people who are in it now, ``leaving_ratio`` of those who were in it on its night before. The
    highest of both on earlier nights of the same definition and tags are ``..._before``; ``nights`` counts those.
    """

    code: str
    entering: int
    leaving: int
    entering_ratio: float
    leaving_ratio: float
    entering_before: float
    leaving_before: float
    nights: int


def audience_churn(desk: Desk, business_date: date) -> list[AudienceChurn]:
    """Give the churn of each audience of ``business_date`` that ran before with the same definition, sorted by code.

    A changed definition or stage, or a tag of another version, chooses other people by intent: its history begins anew.
    """
    rows = desk.rows(
        f"""
        WITH nights AS (
            SELECT code, as_of, definition_hash, tag_versions, coalesce(people, 0) AS people, {_RULE} AS rule,
                coalesce(entering, 0) AS entering, coalesce(leaving, 0) AS leaving,
                lag({_RULE}) OVER of_code AS rule_before,
                row_number() OVER (PARTITION BY code ORDER BY as_of DESC) AS age
            FROM segments.runs LEFT JOIN ({_SIZES}) USING (code, as_of) LEFT JOIN ({_CHANGES}) USING (code, as_of)
            WHERE as_of <= {literal(business_date)}
            WINDOW of_code AS (PARTITION BY code ORDER BY as_of)
        ), shares AS (
            SELECT *, entering / greatest(people, 1) AS entering_ratio,
                leaving / greatest(people - entering + leaving, 1) AS leaving_ratio
            FROM nights WHERE rule_before = rule
        ), rules AS (
            SELECT code, rule AS rule_now FROM nights
            WHERE as_of = {literal(business_date)}
        )
        SELECT now.code, now.entering, now.leaving, now.entering_ratio, now.leaving_ratio,
            coalesce(max(was.entering_ratio), 0), coalesce(max(was.leaving_ratio), 0), count(was.as_of)
        FROM shares now JOIN rules USING (code)
        LEFT JOIN shares was ON was.code = now.code AND was.as_of < now.as_of AND was.age <= {NIGHTS} + 1
            AND was.rule = rule_now
        WHERE now.as_of = {literal(business_date)} GROUP BY ALL ORDER BY now.code
        """
    )
    return [AudienceChurn(*row) for row in rows]
