# SPDX-License-Identifier: Apache-2.0
"""./dev offers what is there, names what is missing, and is never silent."""
import os
import re
import subprocess
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))


def run(*command):
    return subprocess.run(command, cwd=ROOT, text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, check=False)


def library(script):
    return run("bash", "-euc", ". dev.d/lib.sh; " + script)


class DevTest(unittest.TestCase):
    def test_every_offered_command_has_its_script(self):
        done = run("./dev", "help")
        self.assertEqual(done.returncode, 0, done.stderr)
        names = re.findall(r"^  ([a-z]+) ", done.stdout, re.M)
        self.assertIn("test", names)
        for name in names:
            if name != "help":
                self.assertTrue(os.path.exists(
                    os.path.join(ROOT, "dev.d", name + ".sh")), name)

    def test_an_unknown_command_is_refused(self):
        done = run("./dev", "frobnicate")
        self.assertEqual(done.returncode, 2)
        self.assertIn("frobnicate", done.stderr)

    def test_scripts_parse(self):
        for folder in ("dev.d", ".ci", "tests/e2e"):
            for name in sorted(os.listdir(os.path.join(ROOT, folder))):
                path = os.path.join(folder, name)
                if name.endswith(".sh") or name == "run":
                    done = run("bash", "-n", path)
                    self.assertEqual(done.returncode, 0, done.stderr)

    @unittest.skipUnless(os.path.exists("/usr/bin/dpkg-query"), "no Debian")
    def test_missing_packages_are_told_apart(self):
        done = library("packages_missing dpkg no-such-package-here")
        self.assertEqual(done.stdout.split(), ["no-such-package-here"])

    @unittest.skipUnless(os.path.exists("/usr/bin/dpkg-query"), "no Debian")
    def test_without_root_the_packages_are_named(self):
        done = library("id() { echo 1000; }; "
                       "packages_need dpkg no-such-package-here")
        self.assertEqual(done.returncode, 1)
        self.assertIn("apt-get install -y --no-install-recommends "
                      "no-such-package-here\n", done.stderr)


if __name__ == "__main__":
    unittest.main()
