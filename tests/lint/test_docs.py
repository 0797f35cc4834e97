# SPDX-License-Identifier: Apache-2.0
"""What the documents point at is there."""
import glob
import os
import re
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
LINK = re.compile(r"\]\(([^)#\s]+)")
PATH = re.compile(r"`((?:agent|base|bench|collector|coordinator|dataplane|"
                  r"dev\.d|docs|include|model|rdma|tests|tools)/[\w./*-]+)`")


def documents():
    for pattern in ("*.md", "docs/*.md", "docs/adr/*.md"):
        for path in sorted(glob.glob(os.path.join(ROOT, pattern))):
            with open(path, encoding="utf-8") as text:
                yield path, text.read()


class DocsTest(unittest.TestCase):
    def test_links_lead_somewhere(self):
        for path, text in documents():
            for link in LINK.findall(text):
                if "://" not in link:
                    target = os.path.join(os.path.dirname(path), link)
                    self.assertTrue(os.path.exists(target), (path, link))

    def test_files_that_are_named_exist(self):
        for path, text in documents():
            for name in PATH.findall(text):
                self.assertTrue(glob.glob(os.path.join(ROOT, name))
                                or "NAME" in name or "test_x" in name,
                                (path, name))

    def test_every_decision_is_in_the_index(self):
        folder = os.path.join(ROOT, "docs/adr")
        with open(os.path.join(folder, "README.md"), encoding="utf-8") as f:
            index = LINK.findall(f.read())
        records = [name for name in sorted(os.listdir(folder))
                   if name != "README.md"]
        self.assertEqual(index, records)


if __name__ == "__main__":
    unittest.main()
