"""YAML that attacks its reader: one sentence with file and line, within a second, whoever reads the file."""

from __future__ import annotations

import os
import time
import tracemalloc

import pytest

from jobs.cli import run
from jobs.workspace.make import make_workspace
from lakehouse.errors import SettingsInvalid
from lakehouse.settings.yaml_files import line_of, load_plain_yaml, load_yaml
from lakehouse.settings.yaml_limits import MOST_BYTES, MOST_LEVELS, MOST_NODES

LAUGHS = "l0: &l0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]\n" for n in range(1, 10)
)
MERGES = "m0: &m0 {k0: 0, k1: 1, k2: 2}\n" + "".join(
    f"m{n}: &m{n} {{<<: [{', '.join([f'*m{n - 1}'] * 10)}], a{n}: 1}}\n" for n in range(1, 9)
)
ATTACKS = {
    "alias bomb": (LAUGHS, r":5: holds more than 50,000 values"),
    "bomb of merges": (MERGES, r": holds more than 50,000 values"),
    "an anchor that holds itself": ("a: 1\nb: &b [*b]\n", r":2: the alias '\*b' stands inside what it names$"),
    "an unknown alias": ("a: *b\n", r":1: found undefined alias"),
    "NUL": ("a: 1\nb: x\0y\n", r":2: the sign U\+0000 cannot stand in YAML$"),
    "lists in lists": ("a: 1\nb: " + "[" * 5_000 + "]" * 5_000, r":2: is nested more than 64 levels deep$"),
    "blocks in blocks": ("".join(f"{' ' * n}k:\n" for n in range(1_000)), r":65: is nested more than 64 levels deep$"),
    "Python object": ("a: !!python/object/apply:os.system [id]\n", r":1: the tag '!!python/object/apply:os.system' is not for settings"),
    "a tag of its own": ("a: !secret x\n", r":1: the tag '!secret' is not for settings; write the plain value$"),
    "binary": ("a: !!binary aGVsbG8=\n", r":1: the tag '!!binary' is not for settings"),
    "many bytes": ("#" * (MOST_BYTES + 1), r": has 1,000,001 bytes; a YAML file has at most 1,000,000$"),
    "many values": ("a:\n" + "- x\n" * (MOST_NODES + 1), r": holds more than 50,000 values"),
    "a key twice": ("a: 1\nb: 2\na: 3\n", r":3: "),
    "not UTF-8": (b"a: 1\nb: \xff\xfe\n", r":2: the file is not UTF-8 text; save it as UTF-8$"),
    "a mapping as key": ("a: 1\n? {b: 1}\n: 2\n", r":2: a key is a word, not a list or a mapping$"),
    "a number of 5,000 digits": (f"a: {'9' * 5_000}\n", r":1: a number has more than 400 digits$"),
    "a chain of sixties": (f"a: {'1:' * 5_000}1\n", r":1: a number has more than 400 digits$"),
    "a day that is none": ("a: 1\nb: 2026-02-30\n", r":2: a value is neither text nor a date or number; quote it$"),
    "half a surrogate": ('a: "\\ud800"\n', r":1: found invalid Unicode character escape code"),
    "two documents": ("a: 1\n---\nb: 2\n", r":2: "),
    "tab": ("a:\n\tb: 1\n", r":2: found character that cannot start any token$"),
}  # fmt: skip
READERS = (load_yaml, load_plain_yaml)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_is_one_sentence_within_a_second_and_little_memory(tmp_path, attack, reader):
    text, sentence = ATTACKS[attack]
    file = tmp_path / "a.yml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    tracemalloc.start()
    start = time.process_time()
    try:
        with pytest.raises(SettingsInvalid, match=sentence) as refusal:
            reader(file)
        assert tracemalloc.get_traced_memory()[1] < 60_000_000
    finally:
        tracemalloc.stop()
    assert time.process_time() - start < 20, "it would not end"
    assert str(refusal.value).startswith(str(file))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_file_is_one_sentence_and_nobody_waits_for_it(tmp_path, reader):
    os.mkfifo(tmp_path / "pipe.yml")
    (tmp_path / "folder.yml").mkdir()
    (tmp_path / "link.yml").symlink_to(tmp_path / "nothing")
    with (tmp_path / "large.yml").open("wb") as file:
        file.truncate(100_000_000)
    for name, sentence in (
        ("pipe.yml", "is a pipe or a device, where a YAML file is expected"),
        ("folder.yml", "is a folder, where a YAML file is expected"),
        ("link.yml", "the file does not exist"),
        ("large.yml", "has 100,000,000 bytes; a YAML file has at most 1,000,000"),
    ):
        with pytest.raises(SettingsInvalid, match=sentence):
            reader(tmp_path / name)


def test_what_files_of_workspaces_use_is_read_as_before(tmp_path):
    file = tmp_path / "a.yml"
    file.write_text(
        "# 注释\nbase: &base {a: 1, b: [x, 2026-01-31]}\nmore:\n  <<: *base\n  c: '1'\nlast: *base\n",
        encoding="utf-8",
    )
    tree = load_yaml(file)
    assert (tree["more"]["a"], tree["more"]["c"], tree["last"]["b"][0], line_of(tree, "last")) == (
        1,
        "1",
        "x",
        6,
    )
    assert load_plain_yaml(file)["more"] == {"a": 1, "b": tree["base"]["b"], "c": "1"}
    deep = "a: " + "[" * (MOST_LEVELS - 1) + "]" * (MOST_LEVELS - 1)
    file.write_text(deep)
    assert load_yaml(file)["a"] == load_plain_yaml(file)["a"]


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("cdp.yml", "feeds list"), ("feeds/members.yml", "feeds list"), ("identity.yml", "nightly --date 2026-01-05"),
        ("tags/own.yml", "tags list"), ("tags/own.yml", "segments check"), ("consent.yml", "segments check"),
        ("destinations.yml", "segments check"), ("segments/members_below_40.yml", "segments check"),
        ("models/own.yml", "tags compile --check"),
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "attack", ["alias bomb", "Python object", "lists in lists", "NUL", "not UTF-8", "pipe", "folder"]
)
def test_every_file_of_a_workspace_is_read_by_these_rules(tmp_path, capsys, name, command, attack):
    make_workspace(tmp_path / "shop", "minimal")
    file = tmp_path / "shop" / name
    file.unlink(missing_ok=True)
    if attack == "pipe":
        os.mkfifo(file)
    elif attack == "folder":
        file.mkdir()
    else:
        text = ATTACKS[attack][0]
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert run([*command.split(), "--workspace", str(tmp_path / "shop")]) == 2
    message = capsys.readouterr().err.strip()
    assert "\n" not in message
    assert name.rpartition("/")[2] in message


MERGED = """\
first: &base {code: a, level: C1, owner: data}
second: &next
  <<: *base
  code: b
third:
  <<: [*next, *base]
  level: C2
"""


def test_a_mapping_takes_over_another_and_what_it_says_itself_counts(tmp_path):
    file = tmp_path / "merged.yml"
    file.write_text(MERGED)
    for read in READERS:
        tree = read(file)
        assert dict(tree["second"]) == {"code": "b", "level": "C1", "owner": "data"}
        assert dict(tree["third"]) == {"code": "b", "level": "C2", "owner": "data"}


@pytest.mark.parametrize("read", READERS)
def test_a_key_that_a_mapping_gives_twice_beside_what_it_takes_over_is_one_sentence(tmp_path, read):
    file = tmp_path / "twice.yml"
    file.write_text(MERGED + "  level: C1\n")
    with pytest.raises(SettingsInvalid, match="the key 'level' is written twice") as refused:
        read(file)
    assert refused.value.line == 8
