"""Documents for `validate_differential.rs`, with what the cloud-init of this machine says of them.

    generate.py DIRECTORY COUNT SEED

writes COUNT documents into DIRECTORY and prints one JSON object: cloud-init's version, and of each document its verdict
and the key paths of errors and deprecations. The documents are made from cloud-init's own schema as it is installed:
every key present, missing, mistyped, out of range, unknown. PYTHONPATH chooses another cloud-init.
"""
import datetime
import json
import logging
import os
import random
import sys
import warnings

warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)

import yaml
from cloudinit import version
from cloudinit.config import schema as judge

MISFITS = [
    None, True, False, 0, 1, -1, 5, 1.0, 1.5, 10**20, "", "a", "x y", "now", "+5", "1G", "yes", "a\nb", "a\n", "a:b",
    "rsa_public", "2021-02-30", b"ab", datetime.date(2021, 2, 3), [], ["a"], ["a", "a"], [1], [None], [["a", "b"]],
    [True, 1], [1, 1.0], [{"a": 1}, {"a": 1.0}], {}, {"a": "b"}, {"a": None}, {"name": "x"}, {"type": "log"},
    {"type": 5}, {"name": "x", "type": "text"},
]
TEXTS = ["a", "b", "x y", "1", "0644", "true", "", "é", "1G", ".5M", "+5", "5", "a:b", "a,b", "auto"]
DATES = ["2021-02-03", "2021-02-30", "20210203", "x", "2021-W01"]
NAMES = ["g1", "g2", "rsa_public", "dsa_private", "a-b", "a b", "", "x\n"]
UNKNOWN = ["unknown", "nme", "path", "type", "x-y", "it's"]


class Generator:
    def __init__(self, schema, seed):
        self.schema = schema
        self.random = random.Random(seed)

    def resolved(self, shape):
        while "$ref" in shape:
            target = self.schema
            for step in shape["$ref"][2:].split("/"):
                target = target[step]
            shape = {**target, **{key: value for key, value in shape.items() if key != "$ref"}}
        return shape

    def value(self, shape):
        pick = self.random
        shape = self.resolved(shape)
        if pick.random() < 0.07:
            return pick.choice(MISFITS)
        if "allOf" in shape and pick.random() < 0.9:
            joined = {}
            for part in shape["allOf"]:
                if "not" not in part:
                    joined.update(self.resolved(part))
            shape = {**joined, **{key: value for key, value in shape.items() if key != "allOf"}}
        branches = shape.get("oneOf") or shape.get("anyOf")
        if branches:
            base = {key: value for key, value in shape.items() if key not in ("oneOf", "anyOf")}
            branch = self.resolved(pick.choice(branches))
            joined = {**base, **branch}
            if "properties" in base and "properties" in branch:
                joined["properties"] = {**base["properties"], **branch["properties"]}
            shape = joined
            if "oneOf" in branch or "anyOf" in branch:
                return self.value(shape)
        if isinstance(shape.get("enum"), list) and pick.random() < 0.9:
            return pick.choice(shape["enum"])
        kind = shape.get("type")
        if isinstance(kind, list):
            kind = pick.choice(kind)
        if kind is None:
            if any(key in shape for key in ("properties", "patternProperties", "required")):
                kind = "object"
            elif "items" in shape:
                kind = "array"
        return self.of_kind(kind, shape)

    def of_kind(self, kind, shape):
        pick = self.random
        if kind == "string":
            return pick.choice(DATES if shape.get("format") == "date" else TEXTS)
        if kind == "integer":
            return pick.choice([0, 1, -1, -2, 5, 1000, 10**20])
        if kind == "number":
            return pick.choice([0, 1.5, -1, -0.5])
        if kind == "boolean":
            return pick.random() < 0.5
        if kind == "null":
            return None
        if kind == "array":
            count = pick.choice([0, 1, 1, 2, 2, 3, 6, 7])
            return [self.value(shape.get("items", {})) for _ in range(count)]
        if kind == "object":
            return self.mapping(shape)
        return pick.choice(MISFITS)

    def mapping(self, shape):
        pick = self.random
        out = {}
        known = shape.get("properties", {})
        for key, value in known.items():
            likely = 0.85 if key in shape.get("required", []) else 0.35 if len(known) < 12 else 0.12
            if pick.random() < likely:
                out[key] = self.value(value)
        for value in shape.get("patternProperties", {}).values():
            for _ in range(pick.choice([0, 1, 1, 2])):
                out[pick.choice(NAMES)] = self.value(value)
        if isinstance(shape.get("additionalProperties"), dict):
            for _ in range(pick.choice([0, 1, 2])):
                out[pick.choice(["k1", "k2"])] = self.value(shape["additionalProperties"])
        if pick.random() < 0.06:
            out[pick.choice(UNKNOWN)] = pick.choice(MISFITS)
        return out

    def top_level(self):
        keys = {}
        for part in self.schema["allOf"]:
            keys.update(self.resolved(part).get("properties", {}))
        return {**self.schema.get("properties", {}), **keys}

    def document(self, keys):
        pick = self.random
        chosen = pick.sample(sorted(keys), pick.choice([1, 1, 1, 2, 3]))
        out = {key: self.value(keys[key]) for key in chosen}
        if pick.random() < 0.05:
            out[pick.choice(["network", "x-a", "it's", "Packages", "packges"])] = 1
        if pick.random() < 0.01:
            out["datasource"] = 1
        return out


def said(text, schema):
    """The verdict, and the paths of errors and deprecations; None where cloud-init itself dies."""
    try:
        judge.validate_cloudconfig_schema(yaml.safe_load(text), schema, strict=True)
    except judge.SchemaValidationError as found:
        paths = [sorted({problem[0] for problem in problems or []}) for problems in (found.schema_errors, found.schema_deprecations)]
        return ["invalid" if paths[0] else "deprecated", *paths]
    except Exception:
        return None
    return ["valid", [], []]


def main():
    directory, count, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    schema = judge.get_schema()
    generator = Generator(schema, seed)
    keys = generator.top_level()
    expected = []
    for number in range(count):
        text = "#cloud-config\n" + yaml.safe_dump(generator.document(keys), allow_unicode=True, sort_keys=False)
        with open(os.path.join(directory, f"{number:06}.yaml"), "w", encoding="utf-8") as file:
            file.write(text)
        expected.append(said(text, schema))
    print(json.dumps({"version": version.version_string(), "expected": expected}))


main()
