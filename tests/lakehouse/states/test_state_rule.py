"""The table of the state rule, line by line, as DuckDB answers its conditions."""

from __future__ import annotations

from datetime import date

import duckdb
import pytest

from lakehouse.contracts.reading import contract
from lakehouse.errors import ContractBroken
from lakehouse.states.rule import Change, StateCounts, check_state

D = date(2026, 11, 18)
MEMBERSHIPS = contract("identity.memberships")
# before, incoming, mode → the row before ends on D, a row opens on D
RULE = """
same    | yes  | snapshot | no  | no
same    | yes  | delta    | no  | no
other   | yes  | snapshot | yes | yes
other   | yes  | delta    | yes | yes
other   | none | snapshot | yes | no
other   | none | delta    | no  | no
none    | yes  | snapshot | no  | yes
none    | yes  | delta    | no  | yes
none    | none | snapshot | no  | no
none    | none | delta    | no  | no
"""


def answers(mode, before, incoming, attempt, *, ended=False, differs=True):
    """The three actions for one key: of the row before, of an earlier attempt's row, of the incoming row."""
    change = Change(MEMBERSHIPS, "feed", D, mode, ("source", "source_key"))
    ended_on = f"DATE '{D}'" if ended else "NULL::DATE"
    row = (
        f"SELECT {'NULL' if before == 'none' else f'struct_pack(valid_to := {ended_on})'}::STRUCT(valid_to DATE) AS b,"
        f" {'struct_pack(n := 1)' if attempt else 'NULL'}::STRUCT(n INTEGER) AS t,"
        f" {'struct_pack(n := 1)' if incoming == 'yes' else 'NULL'}::STRUCT(n INTEGER) AS i,"
        f" {'true' if before == 'same' and incoming == 'yes' else 'false'} AS is_same"
    )
    parts = ", ".join(
        (change.before_action(), change.attempt_action(), change.incoming_action(str(differs).lower()))
    )
    return duckdb.connect().execute(f"SELECT {parts} FROM ({row})").fetchone()


@pytest.mark.parametrize("line", RULE.strip().splitlines())
def test_a_line_of_the_rule(line):
    before, incoming, mode, ends, opens = (cell.strip() for cell in line.split("|"))
    ends, opens = ends == "yes", opens == "yes"
    first = answers(mode, before, incoming, attempt=False)
    assert first == ("update" if ends else None, None, "insert" if opens else None)
    # An earlier attempt of the night said the same: nothing is left to do.
    if before != "none":
        assert answers(mode, before, incoming, attempt=opens, ended=ends, differs=False) == (None, None, None)
        # It said the opposite: the row before ends or is open again, its own row goes.
        again = answers(mode, before, incoming, attempt=not opens, ended=not ends)
        assert again == ("update", None if opens else "delete", "insert" if opens else None)
    # It opened a row of other content.
    assert answers(mode, before, incoming, attempt=True)[1:] == (
        (None, "update") if opens else ("delete", None)
    )


def test_a_change_names_what_it_needs():
    change = Change(MEMBERSHIPS, "feed", D, "delta", ("source", "source_key"))
    assert change.day == f"DATE '{D}'"
    assert set(change.incoming_columns) == set(MEMBERSHIPS.columns) - {"_feed", "valid_from", "valid_to"}
    assert change.content_columns == [*MEMBERSHIPS.business_columns, "_file", "_row"]
    assert StateCounts() == StateCounts(0, 0, 0)


def test_what_is_no_state_or_lacks_a_column_is_refused():
    names = Change(MEMBERSHIPS, "feed", D, "delta", ()).incoming_columns
    check_state(MEMBERSHIPS, names)
    with pytest.raises(ContractBroken, match=rf"rows for identity\.memberships lack column '{names[0]}'"):
        check_state(MEMBERSHIPS, names[1:])
    with pytest.raises(ContractBroken, match=r"trusted\.balances is a fact, not a state table"):
        check_state(contract("trusted.balances"), [])
