"""Reads texts with PyYAML's pure Python SafeLoader, for comparison.

Argument: a file with one JSON string a line. Output: one JSON object a line, {"value": ...} or {"error": ...}.
"""

import datetime
import json
import struct
import sys

import yaml

# A small text can mean an astronomically large value; what passes this is not compared.
MOST_NODES = 100_000


class TooLarge(Exception):
    pass


def plain(value, budget):
    """A value as JSON that tells Python's types apart."""
    budget[0] -= 1
    if budget[0] < 0:
        raise TooLarge
    if value is None:
        return None
    if isinstance(value, bool):
        return ["bool", value]
    if isinstance(value, int):
        return ["int", str(value)]
    if isinstance(value, float):
        return ["float", "nan" if value != value else struct.pack(">d", value).hex()]
    if isinstance(value, str):
        value.encode("utf-8")
        return ["str", value]
    if isinstance(value, bytes):
        return ["bytes", value.hex()]
    if isinstance(value, (datetime.date, datetime.datetime)):
        return ["timestamp", value.isoformat()]
    if isinstance(value, dict):
        return ["dict", [[plain(key, budget), plain(item, budget)] for key, item in value.items()]]
    if isinstance(value, set):
        return ["set", sorted((plain(item, budget) for item in value), key=json.dumps)]
    if isinstance(value, tuple):
        return ["tuple", [plain(item, budget) for item in value]]
    return ["list", [plain(item, budget) for item in value]]


def mark(place):
    return None if place is None else [place.index, place.line]


def check(text):
    try:
        value = yaml.load(text, yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        context, problem = mark(error.context_mark), mark(error.problem_mark)
        return {"error": str(error), "place": context or problem, "problem": problem}
    except yaml.reader.ReaderError as error:
        return {"error": str(error), "position": error.position}
    except Exception as error:  # PyYAML passes on the exceptions of int(), datetime and chr()
        return {"error": repr(error)}
    try:
        return {"value": plain(value, [MOST_NODES])}
    except TooLarge:
        return {"too_large": True}
    except (RecursionError, UnicodeEncodeError, ValueError) as error:
        # A value inside itself, a lone surrogate, an integer that Python cannot print: no tool can use them.
        return {"error": "unusable: " + repr(error)}


def main():
    sys.set_int_max_str_digits(4300)
    with open(sys.argv[1], encoding="utf-8", newline="\n") as texts:
        for line in texts:
            print(json.dumps(check(json.loads(line))))


main()
