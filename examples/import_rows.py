"""Rows that a notebook has already, into a Label Studio project; run it twice, and nothing is there twice.

python examples/import_rows.py PROJECT
"""

import argparse
import sys

import prelabel

ROWS = [
    {"id": "m-1", "text": "where is my parcel?", "channel": "mail"},
    {"id": "m-2", "text": "I want my money back", "channel": "chat"},
    {"id": "m-3", "text": "the courier never came", "channel": "chat"},
]

arguments = argparse.ArgumentParser()
arguments.add_argument("project", type=int, help="its number in Label Studio")

done = prelabel.import_records(ROWS, project=arguments.parse_args().project)
sys.stdout.write(f"{done.new} new, {done.known} known, {done.changed} changed, {done.rejected} rejected\n")
