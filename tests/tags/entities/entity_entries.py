"""Entries of tags about products, branches, employees, companies and households, and drafts of those that nobody asks about."""

from __future__ import annotations

from tags import REGISTRY
from tags.compile.entry_texts import population_inputs
from vocabulary.entities import PERSON
from vocabulary.registry import load_registry

TAG = """\
  - code: {code}
    name: {{zh: "{code} 测试", en: "{code} test"}}
    definition: {{zh: 测试, en: Test}}
    entity: {entity}
    kind: {kind}
    value: {value}
    null_rule: {null_rule}
    level: {level}
    purposes: [service]
    inputs: [{inputs}]
    compute: {{{compute}}}
    owner: data
    version: 1.0.0
    status: online
{more}"""
DEFAULTS = {
    "code": "site_tag", "entity": "branch", "kind": "fact", "value": "{type: int}", "null_rule": "Z", "level": "C2",
    "inputs": "trusted.accounts.status", "compute": "aggregate: {from: trusted.accounts, measure: count, where: status = 'open'}",
    "more": "",
}  # fmt: skip


def tags(*entries):
    return "family: site\ntags:\n" + "".join(TAG.format(**{**DEFAULTS, **entry}) for entry in entries)


def drafts_of_others(*codes):
    """Give a file that makes drafts of the shipped tags of people that nobody here asks about: they take most of a night."""
    registry = load_registry(shipped=REGISTRY)
    read = [*codes, *(entry.code for entry in registry.online() if entry.about != PERSON)]
    for one in read:
        others = (*registry[one].tag_inputs, *population_inputs(registry[one]))
        read += [other for other in others if other not in read]
    drafts = [
        f"  - {{code: {entry.code}, status: draft}}" for entry in registry.online() if entry.code not in read
    ]
    return "\n".join(["family: others", "tags:", *drafts]) + "\n"
