"""The archives: the same bytes each time, laid out as the real ones, named and pinned."""

import hashlib
import os
import subprocess
import sys
import tarfile
import unittest

import support


class Build(support.Case):
    def test_building_twice_gives_identical_bytes(self):
        again = self.path("again")
        # Another time zone, locale and umask: none of them may show.
        self.run_(sys.executable, os.path.join(support.STAND_INS, "build"), again,
                  env=dict(os.environ, TZ="Asia/Tokyo", LC_ALL="C", PYTHONHASHSEED="7"), umask=0o077)
        names = sorted(os.listdir(support.built()))
        self.assertEqual(names, sorted(os.listdir(again)))
        for name in names:
            with open(os.path.join(support.built(), name), "rb") as one, open(os.path.join(again, name), "rb") as other:
                self.assertEqual(one.read(), other.read(), name)

    def test_the_archives_are_laid_out_as_the_real_ones(self):
        layouts = {}
        for name in os.listdir(support.built()):
            if name.endswith("gz"):
                with tarfile.open(os.path.join(support.built(), name)) as archive:
                    layouts[name] = {member.name: (member.mode, member.uid, member.mtime) for member in archive}
        self.assertEqual(layouts["nakama-3.40.0-linux-amd64.tar.gz"],
                         {"nakama": (0o755, 0, 0), "README.md": (0o644, 0, 0), "LICENSE": (0o644, 0, 0)})
        top = "cockroach-v24.1.6.linux-amd64/"
        self.assertEqual(layouts["cockroach-v24.1.6.linux-amd64.tgz"],
                         {top + "cockroach": (0o755, 0, 0), top + "README.md": (0o644, 0, 0), top + "LICENSE.txt": (0o644, 0, 0)})

    def test_lock_and_checksum_file_hold_the_real_sums(self):
        with open(os.path.join(support.built(), "mkimg.lock"), encoding="utf-8") as file:
            lock = file.read()
        for name in os.listdir(support.built()):
            if not name.endswith("gz"):
                continue
            with open(os.path.join(support.built(), name), "rb") as file:
                content = file.read()
            digest = hashlib.sha256(content).hexdigest()
            self.assertIn('/%s"\n    sha256: "%s"\n    size: %d\n' % (name, digest, len(content)), lock)
            if name.startswith("cockroach"):
                with open(os.path.join(support.built(), name + ".sha256sum"), encoding="utf-8") as file:
                    self.assertEqual(file.read(), "%s  %s\n" % (digest, name))

    def test_a_variable_changes_name_version_and_lock(self):
        out = self.path("out")
        self.run_(sys.executable, os.path.join(support.STAND_INS, "build"), out, "--var", "arch=arm64", "--var", "nakama_version=3.41.0")
        self.assertIn("nakama-3.41.0-linux-arm64.tar.gz", os.listdir(out))
        self.assertIn("cockroach-v24.1.6.linux-arm64.tgz", os.listdir(out))

    def test_the_programs_say_that_they_are_stand_ins(self):
        self.assertEqual(self.run_(self.nakama, "--version"), "3.40.0+STAND-IN\n")
        self.assertEqual(self.run_(self.cockroach, "version", "--build-tag"), "v24.1.6-STAND-IN\n")
        self.assertIn("this is not CockroachDB", self.run_(self.cockroach, "--version"))

    def test_a_template_without_the_variables_is_refused(self):
        template = self.write("t.yaml", "variables:\n  nakama_version: '1'\n")
        done = subprocess.run([sys.executable, os.path.join(support.STAND_INS, "build"), self.path("o"), "--template", template],
                              capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("the variable nakama_url is missing", done.stderr)


if __name__ == "__main__":
    unittest.main()
