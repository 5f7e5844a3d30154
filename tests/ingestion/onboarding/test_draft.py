"""Drafting a feed: what a file looks like, what it may fill, and that the draft is a feed a night takes."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest

from ingestion.feeds.feeds import Feed, feed_of
from ingestion.onboarding.data_dictionary import ColumnMeaning, read_dictionary
from ingestion.onboarding.draft import draft_feed
from ingestion.onboarding.sampling import read_sample
from ingestion.onboarding.shapes import identifier_of, is_luhn, is_national_id, shape_of
from ingestion.onboarding.suggestions import identifier_named, score_of, suggestions
from lakehouse.errors import InputInvalid, SettingsInvalid, UsageError
from lakehouse.settings.yaml_files import parse_yaml

CUSTOMERS = """\
客户号,姓名,性别,出生日期,证件号码,手机号码,邮箱,开户日期,支付密码
K001,张三,男,1990年03月07日,11010519491231002X,13812345671,a@b.cn,2020-01-02,x1
K002,李四,女,1991年12月30日,440524188001010014,13912345672,b@b.cn,2021-02-03,x2
K003,王五,男,1985年07月15日,320311770706001,15012345673,c@b.cn,2022-03-04,x3
K004,赵六,女,1979年01月01日,11010519491231002X,18612345674,d@b.cn,2023-04-05,x4
K005,钱七,男,2001年10月09日,440524188001010014,13712345675,e@b.cn,2024-05-06,x5
"""
# Five more of each sex, so that the codes of a column are shared by enough people to be shown.
CUSTOMERS += "".join(
    f"K1{n:02d},人{n},{'男女'[n % 2]},1990年03月{n + 10}日,320311770706001,138123456{n:02d},f{n}@b.cn,2020-01-{n + 10},y{n}\n"
    for n in range(10)
)


@pytest.fixture
def delivered(tmp_path):
    """A function that writes a delivered file (text or bytes) and gives its path."""

    def write(content: str | bytes, name: str = "customers.csv", encoding: str = "utf-8") -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
        return path

    return write


def feed_in(text: str) -> Feed:
    return feed_of(parse_yaml(text, file="drafted.yml"), Path("drafted.yml"))


# --- how a file is written ------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16", "utf-16-le", "utf-16-be"])
def test_the_encoding_of_chinese_text_is_found(delivered, encoding):
    sample = read_sample(delivered(CUSTOMERS, encoding=encoding))
    assert sample.encoding == encoding.removesuffix("-sig")
    assert sample.names[:3] == ("客户号", "姓名", "性别")
    assert (sample.records, sample.is_whole, sample.columns["姓名"][0]) == (15, True, "张三")


def test_western_text_is_not_taken_for_chinese(delivered):
    text = "no;name\n" + "".join(f"{n};Müller Köln Ärger\n" for n in range(30))
    assert read_sample(delivered(text, encoding="latin-1")).encoding == "latin-1"
    assert read_sample(delivered(text.replace("Köln", "“Köln”"), encoding="cp1252")).encoding == "cp1252"


@pytest.mark.parametrize("separator", [",", ";", "\t", "|", "\x01"])
def test_the_separator_is_found_also_where_values_hold_others(delivered, separator):
    rows = [["no", "amount", "remark"]] + [[str(n), "1.5", '"a, b; c|d"'] for n in range(20)]
    sample = read_sample(delivered("\r\n".join(separator.join(row) for row in rows)))
    assert (sample.separator, sample.names, sample.records) == (separator, ("no", "amount", "remark"), 20)
    assert sample.columns["remark"][0] == "a, b; c|d"


def test_a_stray_quote_does_not_swallow_the_file(delivered):
    sample = read_sample(delivered('no|size\n1|5"\n2|7"\n3|"9\n4|1\n'))
    assert (sample.quote, sample.records, sample.columns["size"]) == (None, 4, ['5"', '7"', '"9', "1"])


def test_a_file_without_header_has_numbered_columns(delivered):
    text = "".join(f"A{n:03d},2024-01-{n % 28 + 1:02d},{n}.50\n" for n in range(50))
    sample = read_sample(delivered(text))
    assert (sample.header, sample.names, sample.records) == (False, ("c1", "c2", "c3"), 50)
    drafted = feed_in(draft_feed(delivered(text)).text)
    assert (drafted.format.header, drafted.columns) == (False, ("c1", "c2", "c3"))
    assert read_sample(delivered(text), header=True).names[0] == "A000"


def test_json_lines_are_read_with_their_paths(delivered):
    sample = read_sample(
        delivered('{"id": 1, "user": {"id": "u1"}, "ok": true}\n{"id": 2.50, "tags": [1]}\n', "e.jsonl")
    )
    assert sample.type == "json_lines"
    assert sample.columns == {
        "id": ["1", "2.50"], "user.id": ["u1", None], "ok": ["true", None], "tags": [None, '["1"]'],
    }  # fmt: skip


@pytest.mark.slow
def test_a_large_file_is_sampled_from_beginning_to_end_and_says_so(delivered):
    line = "{:09d},2024-01-{:02d},{}\n"
    text = "no,day,text\n" + "".join(line.format(n, n % 28 + 1, "x" * 80) for n in range(120_000))
    for path in (delivered(text), delivered(gzip.compress(text.encode(), 1), "customers.csv.gz")):
        sample = read_sample(path)
        assert not sample.is_whole and sample.broken_lines == 0
        assert sample.records < sample.estimated
        assert abs(sample.estimated - 120_000) < 6_000
        assert "sampled records of about" in draft_feed(path).text
    assert int(read_sample(delivered(text)).columns["no"][-1] or 0) == 119_999


# --- what values look like ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "values", "type_", "notation"),
    [
        ("d", ["2024-01-31", "1999-12-01"], "date", "yyyy-mm-dd"),
        ("open_date", ["20240131", "19991201"], "date", "yyyymmdd"),
        ("birth", ["940331", "930101"], "date", "yymmdd"),
        ("d", ["2024/1/31", "1999/12/1"], "date", "yyyy/mm/dd"),
        ("d", ["2024年1月31日", "1999年12月01日"], "date", "yyyy年mm月dd日"),
        ("d", ["31/01/2024", "01/12/1999"], "date", "dd/mm/yyyy"),
        ("d", ["01/31/2024", "12/01/1999"], "date", "mm/dd/yyyy"),
        ("t", ["2021-03-03 21:27:34.099", "2021-03-03 21:27:34"], "timestamp", "iso"),
        ("t", ["2021-03-03T21:27:34+08:00", "2021-03-03T21:27:34Z"], "timestamp", "iso with zone"),
        ("t", ["20210303212734", "20210303212735"], "timestamp", "yyyymmddhhmmss"),
        ("created_time", ["1614777600000", "1614777600001"], "timestamp", "milliseconds since 1970"),
        ("counter", ["1614777600000", "1614777600001"], "integer", ""),
        ("amount_code", ["940331", "930101"], "integer", ""),
        ("limit", ["50000", "1e+05"], "decimal", ""),
        ("CustomerID", ["17850.0", "13047.0"], "integer", "with .0 behind it"),
        ("a", ["1,234.50", "-7.00", "12"], "decimal", ""),
        ("flag", ["Y", "N"], "boolean", ""),
        ("flag", ["是", "否"], "boolean", ""),
        ("name", ["Ann", "Bob"], "text", ""),
        ("nothing", ["", " "], "empty", ""),
    ],
)
def test_types_and_ways_of_writing_days_are_told(name, values, type_, notation):
    shape = shape_of(name, list(values))
    assert (shape.type, shape.notation) == (type_, notation)


def test_identifiers_are_told_by_their_shape():
    assert is_national_id("11010519491231002X") and not is_national_id("110105194912310021")
    assert is_national_id("320311770706001") and not is_national_id("990311770706001")
    assert is_luhn("4539578763621486") and not is_luhn("4539578763621487")
    assert identifier_of(["13812345678", "+86 139 1234 5678", "15012345678"]) == ("phone", None)
    assert identifier_of(["a@b.cn", "b@c.cn", "c@d.cn"]) == ("email", None)
    assert identifier_of(["oABC" + "x" * 23 + str(n) for n in range(4)]) == ("openid", None)
    assert identifier_of(["4539578763621486", "6222021234567894", "6011111111111117"][:1] * 3) == (
        "bank_card",
        None,
    )
    assert identifier_of([f"{n:032x}" for n in range(4)]) == (None, "md5")
    assert identifier_of([f"{n:064x}" for n in range(4)]) == (None, "sha256")
    assert identifier_of(["13812345678"]) == (None, None)
    assert identifier_of([str(n) for n in range(40)]) == (None, None)


def test_codes_of_few_people_are_not_shown():
    shape = shape_of("remark", ["A"] * 30 + ["only one person has this"])
    assert shape.codes == {"A": 30}


@pytest.mark.parametrize(
    ("delivered_name", "meant"),
    [
        ("cust_no", "trusted.customers.source_key"),
        ("客户姓名", "trusted.customers.full_name"),
        ("BIRTH_DT", "trusted.customers.birth_date"),
        ("txnAmt", "trusted.transactions.amount"),
        ("交易日期", "trusted.transactions.transacted_on"),
        ("credit_limt", "trusted.cards.credit_limit"),
    ],
)
def test_names_are_recognised_in_english_and_chinese_and_with_a_slip(delivered_name, meant):
    table, column = meant.rsplit(".", 1)
    assert score_of(delivered_name, table, column) >= 0.84


def test_near_names_are_suggested_and_taken_columns_are_not():
    found = suggestions(["birthdate", "手机号", "zzz"], ["trusted.customers"])
    assert [(s.source_name, s.meaning) for s in found] == [
        ("birthdate", "trusted.customers.birth_date"),
        ("手机号", "an identifier of namespace phone"),
    ]
    assert (
        suggestions(["birthdate"], ["trusted.customers"], columns_in_use=["trusted.customers.birth_date"])
        == []
    )
    assert identifier_named("mobile_md5")[0] == "phone"


# --- the draft ------------------------------------------------------------------------------------------------


def test_a_chinese_customer_file_becomes_a_feed_that_is_valid_at_once(delivered):
    drafted = draft_feed(delivered(CUSTOMERS, encoding="gb18030"), source="core")
    assert drafted.proposal.waiting == ()
    feed = feed_in(drafted.text)
    assert (feed.feed, feed.source, feed.mode, feed.format.encoding) == (
        "customers",
        "core",
        "snapshot",
        "gb18030",
    )
    people, observed = feed.targets
    assert (people.table, people.columns) == (
        "trusted.customers",
        {
            "source_key": "`客户号`",
            "kind": "'customer'",
            "full_name": "`姓名`",
            "gender": "case `性别` when '女' then 'F' when '男' then 'M' end",
            "birth_date": "try_to_date(`出生日期`, 'yyyy年M月d日')",
            "registered_on": "try_to_date(`开户日期`, 'yyyy-M-d')",
        },
    )
    assert [(e["namespace"], e["value"]) for e in observed.each or ()] == [
        ("'customer_no@core'", "`客户号`"),
        ("'national_id'", "`证件号码`"),
        ("'phone'", "`手机号码`"),
        ("'email'", "`邮箱`"),
    ]


def test_a_draft_holds_no_value_of_a_person_and_maps_no_secret(delivered):
    text = draft_feed(delivered(CUSTOMERS)).text
    for secret in (
        "张三",
        "李四",
        "K001",
        "13812345671",
        "11010519491231002X",
        "a@b.cn",
        "1990年03月07日",
        "x1",
    ):
        assert secret not in text
    assert "like 某" in text and "99999999999" in text
    assert re.search(r"#   支付密码: C3, .*a credential", text)
    assert "支付密码" not in feed_in(text).columns


def test_a_credential_is_mapped_nowhere_even_where_it_looks_like_an_identifier(delivered):
    rows = "".join(f"K{n},1381234567{n},1391234567{n}\n" for n in range(10))
    drafted = draft_feed(delivered("客户号,查询密码,login_password\n" + rows))
    assert set(drafted.proposal.identifiers) == set()
    assert feed_in(drafted.text).columns == ("客户号",)
    assert drafted.text.count("C3, text") == 2


def test_transactions_are_drafted_with_what_is_assumed_said(delivered):
    rows = "".join(
        f'T{n},A{n % 7},2024-01-{n % 28 + 1:02d},{"CD"[n % 2]},"{n},000.50",XX\n' for n in range(1, 60)
    )
    drafted = draft_feed(
        delivered("txn_no,acct_no,txn_date,dc_flag,amount,note\n" + rows, "txn_20240131.csv")
    )
    target = feed_in(drafted.text).targets[0]
    assert target.table == "trusted.transactions"
    assert target.columns is not None
    assert target.columns["direction"] == "case dc_flag when 'C' then 'credit' when 'D' then 'debit' end"
    assert target.columns["amount"] == "try_cast(regexp_replace(amount, '[,，¥￥$€]', '') as decimal(18,2))"
    assert (target.columns["currency"], target.columns["transaction_type"]) == ("'CNY'", "'OTHER'")
    assert "# currency: assumed" in drafted.text and "# transaction_type: assumed" in drafted.text
    assert feed_in(drafted.text).files.path == "txn/{date}/txn_{yyyymmdd}.csv"
    assert str(drafted.newest_day) == "2024-01-28"


def test_a_repeated_key_keeps_the_first_and_says_how_many(delivered):
    rows = "".join(f"e{n},u{n % 9},view,2024-01-01 10:00:00\n" for n in [*range(100), 5])
    drafted = draft_feed(delivered("event_id,user_id,event_name,event_time\n" + rows, "events.csv"))
    target = feed_in(drafted.text).targets[0]
    assert (target.table, target.same_key) == ("trusted.events", "first")
    assert "1 of 101 sampled records repeat a event_id" in drafted.text


def test_codes_nobody_knows_wait_for_a_person_with_a_clear_sentence(delivered):
    rows = "".join(f"{n},A{n % 7},2024-01-01,{'QW'[n % 2]},1.5\n" for n in range(40))
    drafted = draft_feed(delivered("txn_no,acct_no,txn_date,direction,amount\n" + rows, "txn.csv"))
    assert drafted.proposal.waiting == ("trusted.transactions.direction",)
    with pytest.raises(
        SettingsInvalid, match=r"trusted.transactions.direction still waits for a person: write case dire"
    ):
        feed_in(drafted.text)
    assert "Q (20), W (20)" in drafted.text


def test_names_that_tell_nothing_are_helped_by_a_dictionary_and_named_tables(delivered, tmp_path):
    rows = "".join(f"{n},{'12'[n % 2]},{n}000\n" for n in range(1, 40))
    path = delivered("ID,X2,X1\n" + rows, "sheet.csv")
    assert draft_feed(path).proposal.targets == ()
    assert "targets: []" in draft_feed(path).text
    (tmp_path / "d.csv").write_text("column,meaning\nX1,信用额度\nX2,性别\n", encoding="utf-8")
    drafted = draft_feed(
        path, meanings=read_dictionary(tmp_path / "d.csv"), tables=("trusted.cards", "trusted.customers")
    )
    cards, people, _ = drafted.proposal.targets
    assert {m.column: m.expression for m in cards.columns if not m.waits} == {
        "card_id": "ID", "source_key": "ID", "credit_limit": "try_cast(X1 as decimal(18,2))",
    }  # fmt: skip
    assert "case X2 when '1' then 'M' when '2' then 'F' end" in [m.expression for m in people.columns]
    assert drafted.proposal.waiting == ("trusted.cards.card_type", "trusted.cards.status")


@pytest.mark.parametrize(
    ("text", "name", "codes"),
    [
        ("Gender (1 = male; 2 = female)", "Gender", {"1": "male", "2": "female"}),
        ("性别：1-男，2-女", "性别", {"1": "男", "2": "女"}),
        ("性别 1:男;2:女;9:未知", "性别", {"1": "男", "2": "女", "9": "未知"}),
        ("Amount of the given credit (NT dollar): the consumer's own", "Amount of the given credit", {}),
        ("信用额度", "信用额度", {}),
        ("(see annex)", "(see annex)", {}),
        ("non-resident flag", "non-resident flag", {}),
    ],
)
def test_a_dictionary_says_a_name_and_codes(text, name, codes):
    found = ColumnMeaning.of(text)
    assert (found.text, found.name, dict(found.codes)) == (text, name, codes)


def test_what_the_source_says_of_its_codes_goes_before_what_they_usually_mean(delivered, tmp_path):
    rows = "".join(f"{n},{'12'[n % 2]},{n % 4}\n" for n in range(1, 40))
    path = delivered("ID,X2,X4\n" + rows, "sheet.csv")
    (tmp_path / "d.csv").write_text(
        'column,meaning\nX2,"Gender (1 = female, 2 = male)"\nX4,Marital status (1 = married; 2 = single; 3 = others)\n',
        encoding="utf-8",
    )
    drafted = draft_feed(path, meanings=read_dictionary(tmp_path / "d.csv"), tables=("trusted.customers",))
    found = {m.column: m for m in drafted.proposal.targets[0].columns}
    assert found["gender"].expression == "case X2 when '1' then 'F' when '2' then 'M' end"
    assert found["marital_state"].expression == "case X4 when '1' then 'MARRIED' when '2' then 'SINGLE' end"
    assert found["marital_state"].note.endswith("0 (9), 3 others (10)")


def test_the_path_follows_where_the_file_lies(delivered, tmp_path):
    inbox = tmp_path / "inbox"
    (inbox / "cust" / "2024-01-31").mkdir(parents=True)
    path = inbox / "cust" / "2024-01-31" / "c_20240131.csv"
    path.write_text(CUSTOMERS, encoding="utf-8")
    drafted = draft_feed(path, inbox=inbox)
    assert (drafted.pattern, drafted.delivered_to) == ("cust/{date}/c_{yyyymmdd}.csv", "")
    elsewhere = draft_feed(delivered(CUSTOMERS), inbox=inbox)
    assert (elsewhere.pattern, elsewhere.delivered_to) == (
        "customers/{date}/customers*.csv",
        "customers/<date>",
    )


# --- files nobody can draft from ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty; have it delivered again"),
        (b"\xef\xbb\xbf\r\n\r\n", "is empty; have it delivered again"),
        (b"no,name,born\n", "holds a header and no record"),
        (b"name\nAnn\nBob\n", "has one column only under every usual separator"),
        (b"a,a,b\n1,2,3\n", "names the column 'a' twice in its header"),
        (bytes(range(256)) * 20, "is no text"),
        (b"PAR1" + b"\x15\x04" * 40, "is a Parquet file"),
        (b"PK\x03\x04" + b"\x15\x04" * 40, "is a zip archive"),
        (gzip.compress(b"a,b\n1,2\n", mtime=0)[:-9], "is a damaged or cut gzip archive"),
        (b'{\n  "a": 1,\n  "b": 2\n}\n', "its lines are no JSON objects"),
    ],
)
def test_a_file_that_cannot_be_drafted_from_is_refused_in_one_sentence(delivered, content, said):
    path = delivered(content, "x.csv")
    with pytest.raises(InputInvalid) as refused:
        draft_feed(path)
    assert said in str(refused.value) and str(refused.value).startswith(f"{path}: ")


def test_wrong_wishes_are_refused(delivered, tmp_path):
    path = delivered(CUSTOMERS)
    with pytest.raises(
        UsageError, match=r"unknown table 'trusted.customer'; did you mean 'trusted.customers'"
    ):
        draft_feed(path, tables=("trusted.customer",))
    with pytest.raises(UsageError, match="the dictionary names 'X9', which the file does not have"):
        draft_feed(path, meanings={"X9": ColumnMeaning.of("limit")})
    with pytest.raises(UsageError, match="--feed 'Kunden' is no name"):
        draft_feed(path, feed="Kunden")
    with pytest.raises(UsageError, match=r"no feed can be named after '客户.csv'.*name it with --feed"):
        draft_feed(delivered(CUSTOMERS, "客户.csv"))
    with pytest.raises(InputInvalid, match="the dictionary does not exist"):
        read_dictionary(tmp_path / "none.csv")
    with pytest.raises(InputInvalid, match=r"bad.csv:2: a line of the dictionary is not 'column,meaning'"):
        (tmp_path / "bad.csv").write_text("a,b\nc\n")
        read_dictionary(tmp_path / "bad.csv")


# --- real files -----------------------------------------------------------------------------------------------


def test_real_web_events_are_drafted_as_events_of_visitors(shared_data):
    path = shared_data / "snowplow-web-0.15.2" / "source" / "snowplow_web_events.csv"
    if not path.is_file():
        pytest.skip("the Snowplow events are not beside the checkout")
    drafted = draft_feed(path, feed="web_events", source="web", utc=True)
    assert (drafted.sample.records, len(drafted.sample.names), drafted.proposal.waiting) == (160, 135, ())
    feed = feed_in(drafted.text)
    events, visitors = feed.targets
    assert (events.table, events.same_key, visitors.table) == ("trusted.events", "first", "trusted.customers")
    assert events.columns is not None
    assert {
        name: events.columns[name] for name in ("event_id", "source_key", "event_name", "occurred_at")
    } == {
        "event_id": "event_id",
        "source_key": "domain_userid",
        "event_name": "event_name",
        "occurred_at": "try_to_timestamp(concat(derived_tstamp, 'Z'))",
    }
    # One record names no visitor: it is kept as an event and makes no profile.
    assert (events.where, visitors.where) == (None, "domain_userid is not null")
    assert "3 of 160 sampled records repeat a event_id" in drafted.text


def test_real_card_holders_need_only_what_their_names_do_not_tell(shared_data):
    path = shared_data / "credit-default-taiwan" / "UCI_Credit_Card.csv"
    if not path.is_file():
        pytest.skip("the Taiwan card file is not beside the checkout")
    assert draft_feed(path).proposal.targets == ()
    drafted = draft_feed(
        path,
        source="cards",
        currency="TWD",
        meanings={"X1": ColumnMeaning.of("credit limit"), "X2": ColumnMeaning.of("sex")},
        tables=("trusted.cards", "trusted.customers"),
    )
    assert drafted.sample.records == 30_000
    assert drafted.proposal.waiting == ("trusted.cards.card_type", "trusted.cards.status")
    assert 'credit_limit: "try_cast(X1 as decimal(18,2))"' in drafted.text


def test_the_files_of_a_real_bank_are_drafted_into_the_tables_a_person_chose(shared_data):
    if not (shared_data / "berka").is_dir():
        pytest.skip("the Berka files are not beside the checkout")
    found = {
        name: [target.table for target in draft_feed(shared_data / "berka" / f"{name}.asc").proposal.targets]
        for name in ("account", "client", "loan", "trans", "district", "order")
    }
    assert found == {
        "account": ["trusted.accounts"],
        "client": ["trusted.customers", "trusted.identifier_observations"],
        "loan": ["trusted.loans"],
        "trans": ["trusted.transactions"],
        # Demographic figures and standing orders fill no trusted table.
        "district": [],
        "order": [],
    }


# --- keys of any name, dated files, line ends -----------------------------------------------------------------

MEMBERS = "member_code,name,mobile,birth\n" + "".join(
    f"M{n:02d},Ann,138123456{n:02d},1990-01-{n:02d}\n" for n in range(1, 20)
)
BOOKINGS = "account,date,amount,currency,belegnr\n" + "".join(
    f"K{n % 3},2026-01-{n % 9 + 1:02d},{n}.50,CNY,B{n:04d}\n" for n in range(40)
)


def test_the_key_is_a_unique_column_whatever_its_name(delivered):
    people = draft_feed(delivered(MEMBERS, "members.csv"))
    assert people.proposal.waiting == ()
    keys = {t.table: t.columns["source_key"] for t in feed_in(people.text).targets if t.columns}
    assert keys["trusted.customers"] == "member_code"
    booked = draft_feed(delivered(BOOKINGS, "transactions.csv"))
    key = next(m for m in booked.proposal.targets[0].columns if m.column == "transaction_id")
    assert (key.source_name, "is it?" in key.note) == ("belegnr", True)


def test_a_phone_or_a_name_is_no_key(delivered):
    drafted = draft_feed(delivered(MEMBERS.replace("member_code", "mobile_2").replace("M", "139123456"), "m.csv"), tables=("trusted.customers",))  # fmt: skip
    assert "trusted.customers.source_key" in drafted.proposal.waiting


def test_order_lines_without_a_price_are_drafted_with_what_waits(delivered):
    text = "order_no,sku,qty\n" + "".join(f"A{n},S{n % 3},{n % 4 + 1}\n" for n in range(20))
    drafted = draft_feed(delivered(text, "lines.csv"), tables=("trusted.order_lines",))
    assert {"trusted.order_lines.unit_price", "trusted.order_lines.amount"} <= set(drafted.proposal.waiting)


@pytest.mark.parametrize(
    ("name", "mode"),
    [("members.csv", "snapshot"), ("members_20260104.csv", "delta"), ("members-2026-01-04.csv", "delta")],
)
def test_a_file_whose_name_has_a_day_is_taken_for_changes(delivered, name, mode):
    assert feed_in(draft_feed(delivered(MEMBERS, name)).text).mode == mode


def test_a_draft_states_whether_the_last_line_ends(delivered):
    for text, line_end in ((MEMBERS, "required"), (MEMBERS[:-1], "optional")):
        for encoding in ("utf-8", "utf-16"):
            drafted = draft_feed(delivered(text, "members.csv", encoding=encoding))
            assert feed_in(drafted.text).format.line_end == line_end
