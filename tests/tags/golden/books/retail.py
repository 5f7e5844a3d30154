"""Golden cases of shops: orders at the edges of windows, returns, cancelled orders, large lines, RFM, lifecycle."""

from __future__ import annotations

from itertools import product

from tests.tags.drawn import rows_of
from tests.tags.golden.cases import cases_of

# High or low in spend, recency and frequency: one person for each cell.
CELLS = {f"shop{m}{r}{f}": (m, r, f) for m, r, f in product((0, 1), repeat=3)}
PEOPLE = (
    *CELLS, "s364", "s365", "sends_back", "returned", "cancels", "whole", "whole_two", "whole_less", "big_less", "s30", "s31", "s90", "s91", "s180", "s181",
    "cheap", "lines", "s_foreign", "s_none", "only_returns", "sent_back",
)  # fmt: skip
PROFILES: list[tuple[str, str, str]] = []
ORDERS = """
    | order_id | source_key   | ordered_on | status    | is_return |
    | o364     | s364         | 2023-04-02 | completed | -         |
    | o365     | s365         | 2023-04-01 | completed | -         |
    | ob1      | sends_back   | 2024-03-01 | completed | false     |
    | ob2      | sends_back   | 2024-03-05 | completed | true      |
    | ob3      | sends_back   | 2024-03-06 | shipped   | -         |
    | or1      | returned     | 2024-03-01 | completed | -         |
    | or2      | returned     | 2024-03-02 | completed | true      |
    | oo1      | only_returns | 2024-03-02 | completed | true      |
    | oc1      | cancels      | 2024-03-01 | cancelled | -         |
    | os1      | sent_back    | 2024-03-01 | returned  | -         |
    | os2      | sent_back    | 2024-03-05 | returned  | true      |
    | ow1      | whole        | 2024-01-01 | completed | -         |
    | ow2      | whole        | 2024-01-02 | completed | -         |
    | ow3      | whole        | 2024-01-03 | completed | -         |
    | ot1      | whole_two    | 2024-01-01 | completed | -         |
    | ot2      | whole_two    | 2024-01-02 | completed | -         |
    | ol1      | whole_less   | 2024-01-01 | completed | -         |
    | ol2      | whole_less   | 2024-01-02 | completed | -         |
    | ol3      | whole_less   | 2024-01-03 | completed | -         |
    | og1      | big_less     | 2024-01-01 | completed | -         |
    | og2      | big_less     | 2024-01-02 | completed | -         |
    | og3      | big_less     | 2024-01-03 | completed | -         |
    | o30      | s30          | 2024-03-01 | paid      | -         |
    | o31      | s31          | 2024-02-29 | paid      | -         |
    | o90      | s90          | 2024-01-01 | placed    | -         |
    | o91      | s91          | 2023-12-31 | placed    | -         |
    | o180     | s180         | 2023-10-03 | completed | -         |
    | o181     | s181         | 2023-10-02 | completed | -         |
    | och      | cheap        | 2024-03-31 | completed | -         |
    | oln      | lines        | 2024-03-31 | completed | -         |
    | ofo      | s_foreign    | 2024-03-31 | completed | -         |
    | onn      | -            | 2024-03-31 | completed | -         |
"""
LINES = """
    | order_id | line_number | product_id | quantity | amount  | amount_base | ordered_on |
    | o364     | 1           | p1         | 1        | 10.50   | -           | 2023-04-02 |
    | o365     | 1           | p1         | 1        | 10.50   | -           | 2023-04-01 |
    | ob1      | 1           | p1         | 2        | 100     | -           | 2024-03-01 |
    | ob1      | 2           | p2         | 1        | 0.01    | -           | 2024-03-01 |
    | ob2      | 1           | p1         | -1       | -50     | -           | 2024-03-05 |
    | ob3      | 1           | p1         | 1        | 50      | -           | 2024-03-06 |
    | ob3      | 2           | p9         | -1       | -10     | -           | 2024-03-06 |
    | or1      | 1           | p1         | 1        | 100     | -           | 2024-03-01 |
    | os1      | 1           | p1         | 1        | 100     | -           | 2024-03-01 |
    | os2      | 1           | p1         | -1       | -100    | -           | 2024-03-05 |
    | or2      | 1           | p1         | -2       | -150    | -           | 2024-03-02 |
    | oo1      | 1           | p1         | -1       | -20     | -           | 2024-03-02 |
    | oc1      | 1           | p1         | 99       | 900     | -           | 2024-03-01 |
    | ow1      | 1           | p1         | 48       | 10      | -           | 2024-01-01 |
    | ow2      | 1           | p1         | 47.9999  | 10      | -           | 2024-01-02 |
    | ow3      | 1           | p1         | 100      | 10      | -           | 2024-01-03 |
    | ow3      | 2           | p2         | 1        | 10      | -           | 2024-01-03 |
    | ot1      | 1           | p1         | 48       | 10      | -           | 2024-01-01 |
    | ot2      | 1           | p1         | 48       | 10      | -           | 2024-01-02 |
    | ol1      | 1           | p1         | 48       | 10      | -           | 2024-01-01 |
    | ol2      | 1           | p1         | 1        | 10      | -           | 2024-01-02 |
    | ol3      | 1           | p1         | 1        | 10      | -           | 2024-01-03 |
    | og1      | 1           | p1         | 47       | 10      | -           | 2024-01-01 |
    | og2      | 1           | p1         | 47       | 10      | -           | 2024-01-02 |
    | og3      | 1           | p1         | 47       | 10      | -           | 2024-01-03 |
    | och      | 1           | p1         | 1        | 999.99  | -           | 2024-03-31 |
    | oln      | 1           | p1         | 1        | 10      | -           | 2024-03-31 |
    | oln      | 2           | p1         | 1        | 10      | -           | 2024-03-31 |
    | oln      | 3           | -          | 1        | 10      | -           | 2024-03-31 |
    | ofo      | 1           | p1         | 1        | 10      | 72.30       | 2024-03-31 |
    | onn      | 1           | p1         | 1        | 7000    | -           | 2024-03-31 |
"""


def _cells() -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """Give the orders of the cells: 4 or 3, the last 90 or 91 days ago, 1,000 in all or a cent less."""
    orders, lines = [], []
    for name, (is_rich, is_recent, is_frequent) in CELLS.items():
        amounts = ["100"] * (2 + is_frequent) + [
            f"{(1000 if is_rich else 999.99) - 100 * (2 + is_frequent):.2f}"
        ]
        for at, amount in enumerate(amounts):
            day = ("2024-01-01" if is_recent else "2023-12-31") if at else "2023-07-01"
            orders.append({"order_id": f"{name}{at}", "source_key": name, "ordered_on": day})
            lines.append({"order_id": f"{name}{at}", "product_id": "p1", "amount": amount, "ordered_on": day})
    return orders, lines


ROWS = [
    ("trusted.orders", [*rows_of(ORDERS), *_cells()[0]]),
    ("trusted.order_lines", [*rows_of(LINES), *_cells()[1]]),
]
CASES = cases_of(
    """
    | tag                | person       | kind     | answer | why |
    | order_count_365d   | sends_back   | positive | 2      | two orders and a return |
    |                    | s364         | boundary | 1      | the first day of 365 |
    |                    | s365         | boundary | 0      | a day earlier |
    |                    | sent_back    | boundary | 1      | sent back later, and placed all the same; the return is none |
    |                    | cancels      | negative | 0      | cancelled |
    |                    | only_returns | negative | 0      | a return |
    |                    | s_none       | default  | 0      | no order |
    | net_spend_365d     | sends_back   | positive | 90.01  | 100.01, 50 back, 50 and 10 back |
    |                    | s_foreign    | positive | 72.30  | in the money of the workspace |
    |                    | s364         | boundary | 10.50  | the first day of 365 |
    |                    | s365         | boundary | 0      | a day earlier |
    |                    | only_returns | positive | -20    | returned only |
    |                    | cancels      | negative | 0      | cancelled |
    |                    | s_none       | default  | 0      | no order |
    | average_order_value | sends_back  | boundary | 75.01  | 150.01 over two orders is 75.005, rounded away from 0 |
    |                    | sent_back    | positive | 100    | of the one order that order_count_365d counts |
    |                    | lines        | positive | 30     | three lines of one order |
    |                    | s364         | boundary | 10.50  | the first day of 365 |
    |                    | s365         | boundary | null not_applicable | a day earlier |
    |                    | only_returns | negative | null not_applicable | a return |
    |                    | s_none       | null     | null not_applicable | no order |
    | return_ratio_365d  | sends_back   | positive | 0.399973 | 60 of 150.01 |
    |                    | sent_back    | positive | 1      | all of it came back |
    |                    | returned     | boundary | 1.5    | more came back than was bought |
    |                    | lines        | positive | 0      | nothing came back |
    |                    | only_returns | negative | null not_applicable | nothing bought to divide by |
    |                    | s365         | boundary | null not_applicable | a day before the window |
    |                    | s_none       | null     | null not_applicable | no order |
    | days_since_last_order | sends_back | positive | 25    | the order of 6 March |
    |                    | sent_back    | boundary | 30     | the order of 1 March, though it came back |
    |                    | lines        | boundary | 0      | today |
    |                    | s365         | boundary | 365    | no window |
    |                    | returned     | negative | 30     | the return a day later is no order |
    |                    | cancels      | negative | null not_applicable | cancelled |
    |                    | s_none       | null     | null not_applicable | no order |
    | first_order_on     | sends_back   | positive | 2024-03-01 | the first of two |
    |                    | s365         | boundary | 2023-04-01 | no window |
    |                    | only_returns | negative | null not_applicable | a return |
    |                    | cancels      | negative | null not_applicable | cancelled |
    |                    | s_none       | null     | null not_applicable | no order |
    | distinct_product_count_365d | sends_back | positive | 2 | p1 twice and p2; p9 was only returned |
    |                    | lines        | boundary | 1      | p1 twice, one line names no product |
    |                    | s364         | boundary | 1      | the first day of 365 |
    |                    | s365         | boundary | 0      | a day earlier |
    |                    | only_returns | negative | 0      | returned only |
    |                    | s_none       | default  | 0      | no order |
    | large_line_ratio_365d | whole     | positive | 0.5    | 48 and 100 of four lines |
    |                    | big_less     | boundary | 0      | 47 is too few |
    |                    | whole_less   | boundary | 0.333333 | one of three |
    |                    | cancels      | negative | null not_applicable | cancelled |
    |                    | s_none       | null     | null not_applicable | no order |
    | is_wholesale       | whole        | positive | true   | 3 orders, half of the lines |
    |                    | whole        | boundary | true   | exactly half |
    |                    | whole_two    | boundary | false  | 2 orders |
    |                    | whole_less   | boundary | false  | a third of the lines |
    |                    | big_less     | negative | false  | no large line |
    |                    | s_none       | default  | false  | no order |
    | shop_rfm_group     | shop111      | positive | IMPORTANT_VALUE   | 1,000, 90 days, 4 orders |
    |                    | shop110      | boundary | IMPORTANT_DEV     | 3 orders |
    |                    | shop101      | boundary | IMPORTANT_KEEP    | 91 days |
    |                    | shop100      | boundary | IMPORTANT_WINBACK | 91 days, 3 orders |
    |                    | shop011      | boundary | GEN_VALUE         | 999.99 |
    |                    | shop010      | boundary | GEN_DEV           | 999.99, 3 orders |
    |                    | shop001      | boundary | GEN_KEEP          | 999.99, 91 days |
    |                    | shop000      | negative | GEN_WINBACK       | all low |
    |                    | cancels      | null     | null not_applicable | no order that counts |
    | lifecycle_shop     | s30          | boundary | NEW    | first order 30 days ago |
    |                    | s31          | boundary | ACTIVE | 31 days |
    |                    | s90          | boundary | ACTIVE | 90 days |
    |                    | s91          | boundary | LAPSING | 91 days |
    |                    | s180         | boundary | LAPSING | 180 days |
    |                    | s181         | positive | LOST   | 181 days |
    |                    | only_returns | negative | null not_applicable | a return is no order |
    |                    | s_none       | null     | null not_applicable | no order |
"""
)
