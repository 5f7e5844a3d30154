"""The leaves of a segment, by what is asked of them: all, those of the rule, those that must be answered."""

from __future__ import annotations

from segments.language.conditions import Leaf, Node, SegmentLeaf, leaves, person_leaves
from segments.language.leaves.members import MembersLeaf
from segments.language.spec import Segment


def all_leaves(segment: Segment) -> list[Leaf]:
    """Give every leaf about people of a segment's rule, in the order of the file's sections, and those of its addressee."""
    parts = (*chosen_parts(segment), *segment.exclude, *addressee_parts(segment))
    return [leaf for part in parts for leaf, _ in person_leaves(part)]


def rule_leaves(segment: Segment) -> list[Leaf]:
    """Give every leaf that the rule itself joins: about people, or about companies and households."""
    return [leaf for part in (*chosen_parts(segment), *segment.exclude) for leaf, _ in leaves(part)]


def read_leaves(segment: Segment) -> list[Leaf]:
    """Give every leaf that must be answered: those of the rule and the whitelist of the roll-out."""
    leaf = segment.spec.rollout.list_leaf
    return [*all_leaves(segment), *([leaf] if leaf is not None else [])]


def entity_leaves(segment: Segment) -> list[MembersLeaf]:
    """Give every leaf about companies or households, each once."""
    every = {leaf.column: leaf for leaf in rule_leaves(segment) if isinstance(leaf, MembersLeaf)}
    return list(every.values())


def measured_tags(segment: Segment) -> list[str]:
    """Give the tags whose values are added up, or put people in order, for a company or household."""
    tags = {tag for leaf in entity_leaves(segment) for tag in leaf.tags}
    if segment.addressee is not None and segment.addressee.tag is not None:
        tags.add(segment.addressee.tag)
    return sorted(tags)


def nested_leaves(segment: Segment) -> list[SegmentLeaf]:
    """Give every leaf that asks for the members of another segment."""
    return [leaf for leaf in all_leaves(segment) if isinstance(leaf, SegmentLeaf)]


def nested_segments(segment: Segment) -> set[str]:
    """Give the codes of the segments whose members a segment asks for."""
    return {leaf.segment for leaf in nested_leaves(segment)}


def chosen_parts(segment: Segment) -> list[Node]:
    """Give the conditions that choose: base, where, include."""
    return [node for node in (segment.base, segment.where, *segment.include) if node is not None]


def addressee_parts(segment: Segment) -> list[Node]:
    """Give the conditions by which a person is chosen for a company or household."""
    addressee = segment.addressee
    if addressee is None:
        return []
    return [node for node in (addressee.where, addressee.prefer) if node is not None]
