"""Reads a spreadsheet with a reader that is not ours, and tells its cells with their types as JSON."""

import datetime
import json
import sys

import openpyxl


def told(cell):
    value = cell.value
    if isinstance(value, bool):
        return {"flag": value}
    if isinstance(value, (int, float)):
        return {"number": value, "format": cell.number_format}
    if isinstance(value, datetime.datetime):
        return {"moment": value.isoformat(), "format": cell.number_format}
    return {"text": value, "type": cell.data_type} if value is not None else None


book = openpyxl.load_workbook(sys.argv[1])
sheet = book.worksheets[0]
print(
    json.dumps(
        {
            "sheets": book.sheetnames,
            "frozen": sheet.freeze_panes,
            "widths": [sheet.column_dimensions[letter].width for letter in "ABC"],
            "bold": [row[0].font.b for row in sheet.iter_rows()],
            "rows": [[told(cell) for cell in row] for row in sheet.iter_rows()],
        }
    )
)
