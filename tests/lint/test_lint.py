# SPDX-License-Identifier: Apache-2.0
"""The tidy finds what it is there to find, and nothing in clean text."""
import contextlib
import io
import os
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tools", "lint"))
sys.path.insert(0, os.path.join(ROOT, "dev.d"))

import atomics  # noqa: E402
import headers  # noqa: E402
import layers  # noqa: E402
import lint  # noqa: E402
import shape  # noqa: E402
import shared  # noqa: E402
import summary  # noqa: E402
from source import Finding, Source, load_tree  # noqa: E402

LICENCE = "/* SPDX-License-" + "Identifier: Apache-2.0 */\n"


def texts(findings):
    return [f.text for f in findings]


def source(path, text):
    return Source(path, text)


class SourceTest(unittest.TestCase):
    def test_blanking_keeps_every_offset(self):
        text = 'int a; /* free(a)\n */ char *b = "malloc(1)"; // x\nint c;\n'
        one = source("base/x.c", text)
        self.assertEqual(len(one.code), len(text))
        self.assertEqual(one.code.count("\n"), text.count("\n"))
        self.assertNotIn("free", one.code)
        self.assertNotIn("malloc", one.code)
        self.assertIn("int c;", one.code)

    def test_comment_text_is_joined(self):
        one = source("base/x.c", "/*\n * two\n * lines\n */\n")
        self.assertEqual(one.comments[0].text, "two lines")

    def test_quote_in_character_literal(self):
        one = source("base/x.c", "char q = '\"'; free(p); char r = '\"';\n")
        self.assertIn("free(p)", one.code)


class LayersTest(unittest.TestCase):
    def check(self, path, text, *others):
        files = [source(path, text)] + [source(o, "") for o in others]
        return texts(layers.check(files))

    def test_downward_is_allowed(self):
        self.assertEqual(self.check(
            "agent/x.c", '#include "base/log.h"\n#include <hs/wire.h>\n',
            "base/log.h", "include/hs/wire.h"), [])

    def test_upward_is_refused(self):
        found = self.check("base/x.c", '#include "agent/index.h"\n',
                           "agent/index.h")
        self.assertEqual(len(found), 1)
        self.assertIn("may not include agent/index.h", found[0])

    def test_upward_by_a_relative_path_is_refused(self):
        self.assertEqual(len(self.check(
            "base/x.c", '#include "../agent/index.h"\n',
            "agent/index.h")), 1)

    def test_sideways_is_refused(self):
        self.assertEqual(len(self.check(
            "coordinator/x.c", '#include "ship/proto.h"\n',
            "ship/proto.h")), 1)

    def test_missing_file_is_named(self):
        self.assertIn('no file "gone.h"', self.check(
            "base/x.c", '#include "gone.h"\n')[0])

    def test_public_header_takes_libc_only(self):
        self.assertEqual(self.check(
            "include/hs/a.h", '#include <stdint.h>\n#include "hs/b.h"\n',
            "include/hs/b.h"), [])
        self.assertEqual(len(self.check(
            "include/hs/a.h", "#include <jansson.h>\n")), 1)

    def test_unknown_folder_needs_a_rule(self):
        self.assertEqual(len(self.check("cellar/x.c", "int a;\n")), 1)

    def test_pure_file_may_not_do_io(self):
        for call in ("socket(1, 2, 3)", "clock_gettime(0, &t)", "malloc(1)",
                     "fopen(a, b)", "printf(a)", "pthread_create(&t)",
                     "time(NULL)", "hs_clock_now_ns()"):
            self.assertEqual(len(self.check(
                "agent/core_x.c", "void f(void)\n{\n\t%s;\n}\n" % call)), 1,
                call)

    def test_pure_file_may_not_include_sockets(self):
        self.assertEqual(len(self.check(
            "ship/proto.c", "#include <sys/socket.h>\n")), 1)

    def test_pure_file_may_format_and_call_members(self):
        self.assertEqual(self.check(
            "agent/core.c", "void f(void)\n{\n\tsnprintf(a, 1, b);\n"
            "\top->send(op);\n\tio.close(io);\n\ths_table_free(t);\n}\n"), [])

    def test_other_files_may_do_io(self):
        self.assertEqual(self.check(
            "agent/main.c", "#include <sys/socket.h>\nint x = socket();\n"),
            [])


W1 = "/* lane.W1 release, pairs lane.R1: bytes before head. */\n"
R1 = "/* lane.R1 acquire, pairs lane.W1: head before bytes. */\n"
STORE = "__atomic_store_n(&l->head, h, __ATOMIC_RELEASE);\n"
LOAD = "h = __atomic_load_n(&l->head, __ATOMIC_ACQUIRE);\n"
TABLE = "| publishes | observes | what |\n|---|---|---|\n"
ROW = "| `lane.W1` | `lane.R1` | bytes |\n"


class AtomicsTest(unittest.TestCase):
    def check(self, code, table=TABLE + ROW, path="dataplane/x.c"):
        return texts(atomics.check([source(path, code),
                                    source(atomics.MODEL, table)]))

    def body(self, *lines):
        return "void f(void)\n{\n" + "".join(lines) + "}\n"

    def test_a_labelled_pair_is_clean(self):
        self.assertEqual(self.check(self.body(W1, STORE, R1, LOAD)), [])

    def test_a_trailing_label_is_seen(self):
        self.assertEqual(self.check(self.body(
            STORE.strip() + " " + W1, LOAD.strip() + " " + R1)), [])

    def test_a_label_in_a_long_comment_is_seen(self):
        self.assertEqual(self.check(self.body(
            "/*\n * lane.W1 release, pairs\n * lane.R1: bytes before\n"
            " * head.\n */\n", STORE, R1, LOAD)), [])

    def test_a_label_above_the_condition_is_seen(self):
        self.assertEqual(self.check(self.body(
            W1, STORE, R1, "if (a &&\n    b == " + LOAD.strip()[4:-1] +
            ")\n\treturn;\n")), [])

    def test_an_unlabelled_atomic_is_found(self):
        found = self.check(self.body(W1, STORE, R1, LOAD, LOAD))
        self.assertEqual(len(found), 1)
        self.assertIn("no label", found[0])

    def test_the_previous_statements_label_does_not_count(self):
        found = self.check(self.body(
            STORE.strip() + " " + W1, LOAD, R1, LOAD))
        self.assertEqual(len(found), 1)

    def test_an_order_that_differs_from_the_code_is_found(self):
        found = self.check(self.body(
            W1, STORE.replace("RELEASE", "RELAXED"), R1, LOAD))
        self.assertEqual(found, ["the code says relaxed, the label release"])

    def test_c11_forms_are_seen(self):
        found = self.check(self.body(
            "atomic_store_explicit(&a, 1, memory_order_release);\n"),
            TABLE)
        self.assertEqual(len(found), 1)

    def test_a_default_order_is_refused(self):
        for call in ("atomic_load(&a)", "atomic_fetch_add(&a, 1)",
                     "__sync_synchronize()"):
            found = self.check(self.body("x = %s;\n" % call), TABLE)
            self.assertEqual(len(found), 1, call)
            self.assertIn("default", found[0])

    def test_relaxed_may_stand_alone(self):
        self.assertEqual(self.check(self.body(
            "/* lane.C1 relaxed: a counter. */\n",
            STORE.replace("RELEASE", "RELAXED")), TABLE), [])

    def test_release_may_not_stand_alone(self):
        self.assertIn("lane.W1 release pairs with nobody", self.check(
            self.body("/* lane.W1 release: so. */\n", STORE), TABLE))

    def test_a_missing_partner_is_found(self):
        found = self.check(self.body(W1, STORE), TABLE + ROW)
        self.assertEqual(found, ["lane.W1 pairs lane.R1, which no atomic "
                                 "carries"])

    def test_a_one_sided_pair_is_found(self):
        table = TABLE + ROW + "| lane.W2 | lane.R1 | x |\n"
        found = self.check(self.body(
            W1, STORE, R1.replace("lane.W1", "lane.W2"), LOAD,
            "/* lane.W2 release, pairs lane.R1: x. */\n", STORE), table)
        self.assertEqual(found, ["lane.W1 pairs lane.R1, which does not "
                                 "name it back"])

    def test_a_pair_missing_from_the_table_is_found(self):
        found = self.check(self.body(W1, STORE, R1, LOAD), TABLE)
        self.assertEqual(len(found), 1)
        self.assertIn("does not list the pair lane.R1 | lane.W1", found[0])

    def test_a_table_row_without_code_is_found(self):
        found = self.check("int a;\n", TABLE + ROW)
        self.assertEqual(found, ["no code carries the pair "
                                 "lane.R1 | lane.W1"])

    def test_a_label_without_a_reason_is_found(self):
        found = self.check(self.body(
            "/* lane.W1 release, pairs lane.R1: */\n", STORE, R1, LOAD))
        self.assertEqual(found, ["lane.W1 gives no reason after the colon"])

    def test_tests_are_exempt(self):
        self.assertEqual(self.check(self.body(STORE), TABLE,
                                    "tests/dataplane/test_x.c"), [])

    def test_a_for_head_does_not_end_the_statement(self):
        self.assertEqual(self.check(self.body(
            W1, STORE, R1, "for (i = 0; i < " + LOAD.strip()[4:-1] +
            "; i++)\n\tg();\n")), [])


    def test_a_plain_write_to_an_atomic_field_is_found(self):
        field = "struct x { _Atomic uint64_t %s; atomic_uint b[4]; };\n"
        for write in ("x->a = 1;", "x->a++;", "x.b[2] |= 1;"):
            found = self.check(field % "a" + self.body("\t%s\n" % write),
                               TABLE)
            self.assertEqual(len(found), 1, write)
        for other in ("c = x->a2;", "if (x.a == 1)\n\t\tg();", "y->c = 1;"):
            self.assertEqual(self.check(
                field % "a" + self.body("\t%s\n" % other), TABLE), [], other)

    def test_a_name_that_is_also_plain_is_left_alone(self):
        self.assertEqual(self.check(
            "struct x { _Atomic uint64_t a; };\n"
            "struct y { uint64_t a; };\n" + self.body("\ty->a = 1;\n"),
            TABLE), [])


class HeadersTest(unittest.TestCase):
    def test_guard_names(self):
        self.assertEqual(headers.guard_wanted("base/log.h"), "LOG_H")
        self.assertEqual(headers.guard_wanted("base/hs_x.h"), "X_H")

    def test_guards(self):
        good = source("base/a.h", "#ifndef HS_A_H\n#define HS_A_H\n#endif\n")
        none = source("base/b.h", "int b;\n")
        wrong = source("base/c.h", "#ifndef C_H\n#define C_H\n#endif\n")
        again = source("numa/a.h", good.text)
        self.assertEqual(texts(headers.check_guards([good])), [])
        for bad in (none, wrong):
            self.assertEqual(len(texts(headers.check_guards([bad]))), 1)
        self.assertIn("also base/a.h's",
                      texts(headers.check_guards([good, again]))[0])

    def test_compiling(self):
        with tempfile.TemporaryDirectory() as root:
            def write(name, text):
                path = os.path.join(root, name)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "w", encoding="utf-8") as file:
                    file.write("#ifndef HS_%s\n#define HS_%s\n%s\n#endif\n" %
                               ((headers.guard_wanted(name),) * 2 + (text,)))

            write("base/good.h", "struct hs_good { int a; };")
            write("base/needs.h", "static inline uint32_t hs_n(void) "
                  "{ return 0; }")
            write("include/hs/c_only.h",
                  "static inline int *hs_c(void *p) { return p; }")
            found = list(headers.check(load_tree(root), root))
        self.assertEqual(sorted(f.path for f in found),
                         ["base/needs.h", "include/hs/c_only.h"])
        self.assertTrue(any("C++" in f.text for f in found))


class ShapeTest(unittest.TestCase):
    def test_licence(self):
        self.assertEqual(texts(shape.check_licence(
            [source("base/a.c", LICENCE), source("docs/a.md", "")])), [])
        self.assertEqual(len(texts(shape.check_licence(
            [source("base/a.c", "int a;\n"), source("dev", "#!/x\n")]))), 2)

    def test_notes(self):
        for word in ("TO" + "DO", "FIX" + "ME", "X" * 3):
            self.assertEqual(len(texts(shape.check_notes(
                [source("base/a.c", "/* %s: later */\n" % word)]))), 1)
        self.assertEqual(texts(shape.check_notes(
            [source("base/a.c", 'char t[] = "/tmp/hs-' + "X" * 6 +
                    '";\n')])), [])

    def test_function_length(self):
        def function(lines):
            return ("static int hs_f(int a,\n\t\tint b)\n{\n" +
                    "\ta++;\n" * (lines - 2) + "}\n")

        one = source("base/a.c", function(70))
        self.assertEqual(texts(shape.check_sizes([one])), [])
        two = source("base/a.c", function(70) + "\n" + function(71))
        found = list(shape.check_sizes([two]))
        self.assertEqual([f.symbol for f in found], ["hs_f"])
        self.assertIn("71 lines", found[0].text)

    def test_source_length(self):
        self.assertEqual(len(texts(shape.check_sizes(
            [source("base/a.c", "\n" * 601)]))), 1)


class SharedTest(unittest.TestCase):
    def test_what_goes_past_the_accessor_is_found(self):
        found = texts(shared.check([source("agent/a.c", """
void f(struct hs_guest *g)
{
	const struct hs_shm_slot *slots = hs_guest_slots(g);
	const struct hs_shm_lane *lane = hs_guest_lane(g, 0);
	const uint64_t *ring = (const void *)(lane + 1);
	const struct hs_shm_up *up = g->up.base;
	uint64_t head = hs_shm_read_lane_head(lane);

	use(&slots[1], lane, up, head);
	use(slots[1].use);
	use(lane->head);
	use(ring[3]);
	use(*up);
	use(hs_guest_lane(g, 1)->lost);
}
""")]))
        self.assertEqual(len(found), 5)

    def test_others_are_left_alone(self):
        text = """
void f(struct hs_guest *g)
{
	const struct hs_shm_lane *lane = hs_guest_lane(g, 0);

	use(lane->head);
}
"""
        self.assertEqual(texts(shared.check(
            [source("agent/shm_read.h", text), source("bench/a.c", text)])),
            [])


class ExceptionsTest(unittest.TestCase):
    def test_a_reason_is_demanded(self):
        exemptions, findings = lint.parse_exceptions(
            "# comment\nsize base/a.c because a table\nsize base/b.c\n")
        self.assertEqual(len(exemptions), 1)
        self.assertEqual([f.line for f in findings], [3])

    def test_only_the_named_symbol_is_excused(self):
        exemptions, _ = lint.parse_exceptions(
            "size base/a.c:hs_f because it is a table")
        kept = lint.apply_exceptions(
            [Finding("size", "base/a.c", 1, "f", "hs_f"),
             Finding("size", "base/a.c", 9, "g", "hs_g")],
            exemptions, {"size"})
        self.assertEqual([f.text for f in kept], ["g"])

    def test_an_idle_excuse_is_an_error(self):
        exemptions, _ = lint.parse_exceptions("size base/a.c because so")
        self.assertEqual(len(lint.apply_exceptions([], exemptions,
                                                   {"size"})), 1)
        self.assertEqual(lint.apply_exceptions([], exemptions, set()), [])


class SummaryTest(unittest.TestCase):
    def test_results_are_summed(self):
        lines = ['{"name": "%s", "result": "%s"}' % (r, r) for r in
                 ("OK", "OK", "SKIP", "FAIL", "TIMEOUT", "ERROR",
                  "EXPECTEDFAIL", "UNEXPECTEDPASS", "INTERRUPT")]
        self.assertEqual(summary.count(lines)[:3], (3, 5, 1))
        self.assertEqual(summary.count(lines)[3][0], "FAIL (FAIL)")

    def test_nothing_ran_is_a_failure(self):
        out = io.StringIO()
        with contextlib.redirect_stdout(out), \
                contextlib.redirect_stderr(io.StringIO()):
            self.assertEqual(summary.main(["summary", "/nonexistent"]), 1)
        self.assertEqual(out.getvalue(), "0 passed, 0 failed, 0 skipped\n")


if __name__ == "__main__":
    unittest.main()
