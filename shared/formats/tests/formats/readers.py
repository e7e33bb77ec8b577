"""Reads a register with a reader that is not ours, and tells number, account and amount of every payment as JSON."""

import csv
import datetime
import json
import pathlib
import sys
import xml.etree.ElementTree

import dbf
import openpyxl

path = pathlib.Path(sys.argv[1])


def table(encoding, separator, number, account, amount, skip=0, drop=0, quoting=csv.QUOTE_NONE):
    with open(path, encoding=encoding, newline="") as file:
        rows = list(csv.reader(file, delimiter=separator, quoting=quoting, strict=True))
    rows = rows[skip : len(rows) - drop]
    assert len({len(row) for row in rows}) == 1, "rows differ in length"
    return [[row[number], row[account], row[amount]] for row in rows]


def one_c():
    documents, current = [], None
    for line in path.read_text(encoding="windows-1251").splitlines():
        key, _, value = line.partition("=")
        if key == "СекцияДокумент":
            current = {}
        elif key == "КонецДокумента":
            documents.append([current["Номер"], current["НазначениеПлатежа"].split()[-1], current["Сумма"]])
        elif current is not None:
            current[key] = value
    return documents


def book():
    rows = list(openpyxl.load_workbook(path).worksheets[0].iter_rows())
    names = [cell.value for cell in rows[0]]
    assert all(cell.data_type != "f" for row in rows for cell in row), "a cell is a formula"
    at = [names.index(name) for name in ("number", "account", "amount")]
    assert isinstance(rows[1][names.index("paid_at")].value, datetime.datetime)
    return [[row[at[0]].value, row[at[1]].value, f"{row[at[2]].value:.2f}"] for row in rows[1:]]


def records():
    with dbf.Table(str(path)).open(dbf.READ_ONLY) as records:
        assert records.codepage.name == "cp866", records.codepage
        assert records[0].paid_date == datetime.date(2026, 11, 23)
        assert records[0].payer.strip() == "Иванов И. И."
        return [[row.number.strip(), row.account.strip(), f"{row.amount:.2f}"] for row in records]


def elements():
    root = xml.etree.ElementTree.parse(path).getroot()
    assert (root.get("count"), root.get("total")) == ("3", "1400.45")
    return [[one.findtext(name) for name in ("number", "account", "amount")] for one in root]


def own_elements():
    root = xml.etree.ElementTree.parse(path).getroot()
    assert (root.get("count"), root.get("total")) == ("3", "1400.45")
    names = [one.find("client").get("name") for one in root]
    assert names == ["Иванов И. И.", "ООО «Ёлка»; склад № 2", '"Ромашка", кафе'], names
    return [[one.get("id"), one.find("client").get("account"), one.get("sum")] for one in root]


def objects():
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [[line["number"], line["account"], line["amount"]] for line in lines]


def fixed():
    lines = path.read_text(encoding="cp866").splitlines()
    return [[str(int(line[0:10])), line[31:51].strip(), line[51:63].strip()] for line in lines[:-1]]


rows = {
    "csv.csv": lambda: table("utf-8", ";", 0, 3, 4, skip=1, quoting=csv.QUOTE_MINIMAL),
    "csv-excel.csv": lambda: table("utf-8-sig", ";", 0, 3, 4, skip=1, quoting=csv.QUOTE_MINIMAL),
    "pipes-koi8.txt": lambda: table("koi8-r", "|", 0, 3, 4, skip=1),
    "qiwi.txt": lambda: table("utf-8", "\t", 0, 3, 4, skip=2, drop=1),
    "lanbilling.txt": lambda: table("utf-8", "\t", 1, 0, 3, skip=1),
    "sberbank.txt": lambda: table("windows-1251", ";", 3, 4, 6, drop=1),
    "1c.txt": one_c,
    "text.xml": own_elements,
    "fixed.txt": fixed,
    "dbf.dbf": records,
    "xlsx.xlsx": book,
    "xml.xml": elements,
    "jsonl.jsonl": objects,
}[path.name]()
print(json.dumps([[number, account, amount.replace(",", ".")] for number, account, amount in rows]))
