"""The verdict of cloud-init's `schema` command on documents, in this process: Python starts once for many documents.

It calls the function of the command, so the command checks headers, YAML errors and templates, too. Paths are taken from the
errors that it raises. PYTHONPATH names the cloud-init.
"""
import contextlib
import io
import json
import logging
import os
import re
import sys
import tempfile
import warnings

warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)

import yaml
from cloudinit import version
from cloudinit.config import schema as cloud_init

# What mkimg substitutes for values that only the machine knows (`crates/userdata-lint/src/template`).
STANDARD = {
    "availability_zone": "nyc3", "cloud_id": "digitalocean", "cloud_name": "digitalocean", "distro": "ubuntu",
    "distro_release": "noble", "distro_version": "24.04", "instance_id": "123456789",
    "kernel_release": "6.8.0-31-generic", "local_hostname": "machine", "machine": "x86_64", "platform": "digitalocean",
    "python_version": "3.12.3", "region": "nyc3", "subplatform": "metadata",
    "system_platform": "Linux-6.8.0-31-generic-x86_64", "variant": "ubuntu",
    "public_ssh_keys": ["ssh-ed25519 AAAA example"],
}
DASHED = ("availability_zone", "cloud_name", "instance_id", "local_hostname")


class CloudInit:
    def __init__(self, scratch):
        self.schema = cloud_init.get_schema()
        self.version = version.version_string()
        self.raised = None
        whole = cloud_init.validate_cloudconfig_schema

        def recorded(*args, **keywords):
            try:
                return whole(*args, **keywords)
            except cloud_init.SchemaValidationError as found:
                self.raised = found
                raise

        cloud_init.validate_cloudconfig_schema = recorded
        self.instance_data = os.path.join(scratch, "instance-data.json")
        known = {**STANDARD, **{name.replace("_", "-"): STANDARD[name] for name in DASHED}}
        with open(self.instance_data, "w", encoding="utf-8") as file:
            json.dump({**known, "v1": known}, file)

    def ask(self, path):
        arguments = [path, self.schema]
        if hasattr(cloud_init, "SchemaType"):
            arguments += [cloud_init.SchemaType.CLOUD_CONFIG, False, self.instance_data]
        return cloud_init.validate_cloudconfig_file(*arguments)

    def has_no_line(self, path, cause):
        """Bytes that YAML cannot read have no mark, the command says line 1; in a template, it counts the rendered lines."""
        with open(path, encoding="utf-8", errors="replace") as file:
            start = file.read(200).lstrip().lower()
        return isinstance(cause, yaml.reader.ReaderError) or start.startswith("## template:")

    def verdict_of(self, path):
        """{"verdict", "errors", "deprecated", "line"}; for a document that crashes cloud-init, {"died": why}."""
        self.raised = None
        printed = io.StringIO()
        errors = []
        cause = None
        try:
            with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
                verdict = "skipped" if self.ask(path) is False else "valid"
        except cloud_init.SchemaValidationError as found:
            cause = found.__cause__
            verdict, errors = "invalid", [problem[0] for problem in found.schema_errors or []]
        except RuntimeError as found:
            if "YAML dict" not in str(found) and "Cloud-config" not in str(found):
                return {"died": repr(found)[:200]}
            verdict, errors = "invalid", [""]
        except SystemExit:
            verdict, errors = "invalid", [""]
        except Exception as found:  # a traceback of the command
            return {"died": repr(found)[:200]}
        deprecated = [problem[0] for problem in (self.raised and self.raised.schema_deprecations) or []]
        if verdict == "valid" and deprecated:
            verdict = "deprecated"
        places = [re.match(r"format-l(\d+)\.c", path) for path in errors]
        lines = [int(place[1]) for place in places if place]
        if self.has_no_line(path, cause):
            lines = []
        paths = {"" if place else path for path, place in zip(errors, places)}
        return {
            "verdict": verdict, "errors": sorted(paths), "deprecated": sorted(set(deprecated)),
            "line": lines[0] if len(lines) == 1 else None,
        }


def main():
    """Prints one JSON object per line for each file on the command line."""
    with tempfile.TemporaryDirectory() as scratch:
        one = CloudInit(scratch)
        for path in sys.argv[1:]:
            print(json.dumps({"file": path, **one.verdict_of(path)}))


if __name__ == "__main__":
    main()
