"""Compares mkimg's tables with the schema of a cloud-init, key by key. For `validate.rs`.

    compare_tables.py < TABLES

reads what `userdata_lint::tables` gives and prints each difference in one line. PYTHONPATH chooses the cloud-init.
Words are left out of the comparison, and what no verdict depends on: defaults, `uri` and `hostname` (which need Python
packages that cloud-init does not require), and when a key was new.
"""
import json
import sys

from cloudinit.config import schema as cloud_init

SILENT = {
    "$defs", "$schema", "default", "description", "label", "title", "deprecated_description", "changed_description",
    "new", "new_version", "new_description", "use", "hidden", "examples", "markdownDescription",
}
MAPS = ("properties", "patternProperties")
patterns = {}


def resolved(reference, whole):
    target = whole
    for step in reference[2:].split("/"):
        target = target[step]
    return target


def joined(parts):
    """Merges schemas that all apply, where no keyword occurs twice and `additionalProperties` keeps its meaning."""
    out, rest = {}, []
    for part in parts:
        about_keys = any(key in part for key in (*MAPS, "additionalProperties"))
        if set(part) & set(out) or (about_keys and any(key in out for key in (*MAPS, "additionalProperties"))):
            rest.append(part)
        else:
            out.update(part)
    if rest:
        out.setdefault("allOf", [])
        out["allOf"] = sorted(out["allOf"] + rest, key=lambda part: json.dumps(part, sort_keys=True))
    return out


def values_joined(branches):
    """Merges the branches of a choice that only list distinct values."""
    out = []
    for branch in branches:
        if out and set(branch) == set(out[-1]) == {"enum"} and not set(branch["enum"]) & set(out[-1]["enum"]):
            out[-1] = {"enum": sorted(branch["enum"] + out[-1]["enum"], key=str)}
        else:
            out.append(branch)
    return out


def plain(shape, whole):
    """A schema in normal form, without descriptions and references."""
    own, parts = {}, []
    for key, value in shape.items():
        if key in SILENT or (key == "format" and value != "date"):
            continue
        if key == "$ref":
            parts.append(plain(resolved(value, whole), whole))
        elif key == "allOf":
            parts.extend(plain(part, whole) for part in value)
        elif key in MAPS:
            own[key] = {name: plain(part, whole) for name, part in value.items()}
        elif key in ("oneOf", "anyOf"):
            own[key] = values_joined([plain(part, whole) for part in value])
        elif key == "items":
            # A list of schemas that no value reaches is how the old schema wrote "the items are unrestricted".
            own[key] = plain(value, whole) if isinstance(value, dict) else value
        elif key == "type":
            own[key] = sorted([value] if isinstance(value, str) else value)
        elif key == "additionalProperties" and isinstance(value, dict):
            own[key] = plain(value, whole)
        elif key == "additionalItems" and isinstance(shape.get("items"), dict):
            continue  # it is about a list of shapes
        elif key == "prefixItems":
            continue  # not a keyword of draft 4
        elif key in ("enum", "required"):
            # A duplicate has no further meaning.
            own[key] = sorted(set(value), key=str)
        else:
            own[key] = value
    if [set(branch) for branch in own.get("oneOf", [])] == [{"enum"}] and "enum" not in own:
        own.update(own.pop("oneOf")[0])
    for key in ("items", "additionalProperties"):
        if own.get(key) in ({}, True):
            del own[key]
    # Unrestricted keys matter only where all others are refused.
    return joined([own, *parts])


def compare(place, ours, theirs, out):
    if isinstance(ours, dict) and isinstance(theirs, dict):
        if place.endswith("patternProperties") and len(ours) == len(theirs) == 1:
            (means, mine), (pattern, its) = *ours.items(), *theirs.items()
            paired(means, pattern, place, out)
            compare(f"{place}/{pattern}", mine, its, out)
            return
        for key in sorted({*ours, *theirs}):
            if key not in ours:
                out.append(f"{place}/{key}: only cloud-init has it: {json.dumps(theirs[key])[:200]}")
            elif key not in theirs:
                out.append(f"{place}/{key}: only mkimg has it: {json.dumps(ours[key])[:200]}")
            else:
                compare(f"{place}/{key}", ours[key], theirs[key], out)
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for index, (mine, its) in enumerate(zip(ours, theirs)):
            compare(f"{place}/{index}", mine, its, out)
    elif place.endswith("/pattern") and isinstance(ours, str):
        paired(ours, theirs, place, out)
    elif ours != theirs:
        out.append(f"{place}: mkimg {json.dumps(ours)[:300]}, cloud-init {json.dumps(theirs)[:300]}")


def paired(means, pattern, place, out):
    """Each of mkimg's patterns corresponds to one regular expression, everywhere."""
    if patterns.setdefault(means, pattern) != pattern:
        out.append(f"{place}: the pattern {means!r} stands for {patterns[means]} elsewhere, and for {pattern} here")


def without_versions(shape):
    """The oldest schemas say `deprecated` of what later ones call `changed`, and not since when."""
    if isinstance(shape, list):
        return [without_versions(part) for part in shape]
    if not isinstance(shape, dict):
        return shape
    out = {key: without_versions(part) for key, part in shape.items() if key not in ("deprecated_version", "changed_version")}
    if out.get("changed") is True:
        del out["changed"]
        out["deprecated"] = True
    return out


def main():
    whole = cloud_init.get_schema()
    theirs = {}
    out = []
    for part in whole["allOf"]:
        part = resolved(part["$ref"], whole)
        for key in set(part) - {"type", "properties"} - SILENT:
            if part[key] is not True:
                out.append(f"a keyword beside the top-level keys: {key}")
        for key, shape in part.get("properties", {}).items():
            if theirs.setdefault(key, plain(shape, whole)) != plain(shape, whole):
                out.append(f"{key}: two modules say different things of it")
    # Keys that are accepted without restrictions.
    for key, shape in whole.get("properties", {}).items():
        theirs.setdefault(key, plain(shape, whole))
    ours = {key: plain(shape, {}) for key, shape in json.load(sys.stdin).items()}
    if "additionalProperties" not in whole:
        # All keys are accepted, so an unrestricted key is like one that is not named.
        ours = {key: shape for key, shape in ours.items() if shape or key in theirs}
    if "deprecated_version" not in json.dumps(whole):
        ours, theirs = without_versions(ours), without_versions(theirs)
    compare("", ours, theirs, out)
    print("\n".join(out))


main()
