"""Reading delivered files record by record: numbers, raw text of broken records, strict decoding.

``delimited`` reads what is whole with ``pyarrow.csv`` (some 20 million values a second, measured); from the first
record that looks torn ``careful`` reads on, which gives up one line, not the rest of the file. ``json_lines`` reads lines
of one shape many at a time (``json_cuts``) and others one by one; ``columnar`` reads Parquet.
All number alike: data records from 1, the header and blank lines not counted, a record that spans lines is one.
"""

from ingestion.records.careful import iter_records
from ingestion.records.layout import BATCH_ROWS, EXTRA, FILE, PROBLEM, RAW, ROW, Layout, Record, record_schema
from ingestion.records.reader import RecordReader, raw_texts

__all__ = [
    "BATCH_ROWS",
    "EXTRA",
    "FILE",
    "PROBLEM",
    "RAW",
    "ROW",
    "Layout",
    "Record",
    "RecordReader",
    "iter_records",
    "raw_texts",
    "record_schema",
]
