"""Reads a register with a reader that is not ours, and tells number, account, amount and payer of every payment as JSON."""

import csv
import json
import sys

import dbf
import openpyxl

path, encoding = sys.argv[1:]


def text(value):
    return f"{value:.2f}" if isinstance(value, (int, float)) else str(value).strip()


if path.endswith(".xlsx"):
    cells = [[cell.value for cell in row] for row in openpyxl.load_workbook(path).worksheets[0].iter_rows()]
    rows = [dict(zip(cells[0], row)) for row in cells[1:]]
elif path.endswith(".dbf"):
    with dbf.Table(path).open(dbf.READ_ONLY) as records:
        assert records.codepage.name == encoding, records.codepage
        rows = [{name.lower(): row[name] for name in records.field_names} for row in records]
else:
    with open(path, encoding=encoding, newline="") as file:
        rows = list(csv.DictReader(file, delimiter=";", strict=True))

print(json.dumps([[text(row[name]) for name in ("number", "account", "amount", "payer")] for row in rows]))
