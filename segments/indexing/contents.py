"""What stands in an index under which name. A name says what was asked, so that an answer to another question cannot be taken for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date

from lakehouse.query.hashing import text_hash
from segments.choosing.compile import compile_leaves
from segments.choosing.leaves.ranks import hash_duckdb_sql, rank_sql
from segments.choosing.suppression import Use, facts_of_uses
from segments.language.conditions import Leaf, ListLeaf, SegmentLeaf, TagLeaf, definition_hash, leaves
from segments.language.leaves.people import RankLeaf, SampleLeaf
from segments.language.lists import StaticList
from segments.language.spec import Segment
from vocabulary.policy import Policy

ONE_ID = "one_id"
BRANCH, EMPLOYEE = "group:branch", "group:employee"


def tag_name(tag: str) -> str:
    """Give the name of the values of a tag."""
    return f"tag:{tag}"


def fact_name(column: str) -> str:
    """Give the name of a fact that suppression asks for, by its column of the leaf table."""
    return f"fact:{column}"


def facts_meaning(uses: Iterable[Use], policy: Policy, business_date: date) -> str:
    """Give a hash of the query of the facts: of policy, day and rules."""
    facts = facts_of_uses(sorted(uses), policy=policy, business_date=business_date)
    return text_hash(*facts.parts, *facts.joins, *facts.columns)


def asks_one_value(leaf: Leaf) -> bool:
    """Tell whether a leaf is answered by the value that one tag has on the business date."""
    return isinstance(leaf, TagLeaf) and all(test.operator != "changed_since" for test in leaf.tests)


def leaf_name(leaf: Leaf, business_date: date, lists: Mapping[str, StaticList]) -> str:
    """Give the name of the answers to a leaf: a hash of its query, and of the list that it names."""
    if isinstance(leaf, SampleLeaf):
        return f"leaf:{text_hash(leaf.salt, leaf.buckets)}"
    entries = [lists[leaf.reference].sha256] if isinstance(leaf, ListLeaf) else []
    sql = compile_leaves({leaf.column: leaf}, (), None, business_date, "one leaf").sql
    return f"leaf:{text_hash(definition_hash(leaf.normal()), sql, *entries)}"


def rank_name(
    leaf: RankLeaf, segment: Segment, business_date: date, lists: Mapping[str, StaticList]
) -> str | None:
    """Give the name of the answers to a rank within a segment's base; None where the base names another segment."""
    group = segment.ranked_group(leaf)
    parts = [] if group is None else [part for part, _ in leaves(group)]
    if any(isinstance(part, SegmentLeaf | RankLeaf) for part in parts):
        return None
    sql = rank_sql([leaf], segment.ranked_group, "people", lambda part: part.column, hash_duckdb_sql)
    names = [leaf_name(part, business_date, lists) for part in parts if not asks_one_value(part)]
    return f"rank:{text_hash(sql, *names)}"
