"""Documents for `validate.rs`, with the verdicts of the cloud-init that PYTHONPATH names.

    generate.py DIRECTORY COUNT SEED [GOOD…]

writes COUNT documents into DIRECTORY and prints one JSON object: the version of cloud-init, and for each document its verdict
and the key paths of errors and deprecations. Half of the documents are generated from the schema of that cloud-init (every
key present, missing, mistyped, out of range, unknown). A third are these, changed as texts (`texts.py`). The rest are the
documents GOOD (patterns of file names), changed.
"""
import datetime
import glob
import json
import os
import random
import sys
import tempfile

import texts
import verdict
import yaml

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


def main():
    directory, count, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    good = []
    for path in sorted(path for pattern in sys.argv[4:] for path in glob.glob(pattern)):
        with open(path, encoding="utf-8", newline="") as file:
            good.append(file.read())
    with tempfile.TemporaryDirectory() as scratch:
        cloud_init = verdict.CloudInit(scratch)
        generator = Generator(cloud_init.schema, seed)
        pick = generator.random
        keys = generator.top_level()
        # First each key by itself, so that every module is covered.
        once = sorted(keys)
        expected = []
        for number in range(count):
            document = {once[number]: generator.value(keys[once[number]])} if number < len(once) else generator.document(keys)
            style = pick.choice([False, False, None, True])
            text = "#cloud-config\n" + yaml.safe_dump(document, allow_unicode=True, sort_keys=False, default_flow_style=style)
            chance = pick.random()
            if good and chance < 0.17:
                text = pick.choice(good)
                if len(text) > 8000 and pick.random() < 0.9:
                    # PyYAML needs half a second for a long one.
                    text = text[: text.index("\n", pick.randrange(8000)) + 1]
                text = texts.changed(pick, text)
            elif chance < 0.5:
                text = texts.changed(pick, text)
            path = os.path.join(directory, f"{number:06}.yaml")
            with open(path, "w", encoding="utf-8", newline="", errors="surrogatepass") as file:
                file.write(text)
            expected.append(cloud_init.verdict_of(path))
    print(json.dumps({"version": cloud_init.version, "expected": expected}))


main()
