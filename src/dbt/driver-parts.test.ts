/** Parts of the driver that need no run of dbt, each tried by a few lines of Python. */
import { test } from "node:test";
import { runPython, skip } from "../../test/driver-python.ts";

const onLinux = process.platform === "linux" ? skip : "pages are told of on Linux alone";

test("a change anywhere in an object is seen, be it to something equal", { skip }, () => {
  runPython(`
import dataclasses, threading
from unchanged import Unprovable, Witness

@dataclasses.dataclass
class Inner:
    names: list = dataclasses.field(default_factory=lambda: ["a", {"deep": [1]}])

@dataclasses.dataclass
class Outer:
    inner: Inner = dataclasses.field(default_factory=Inner)
    meta: dict = dataclasses.field(default_factory=lambda: {"flag": True, "pair": ([0], 1)})
    lock: object = dataclasses.field(default_factory=threading.Lock)

def append(o): o.inner.names.append("b")
def replace(o): o.inner.names[0] = "b"
def deep(o): o.inner.names[1]["deep"][0] = 2
def in_tuple(o): o.meta["pair"][0].append(1)
def new_key(o): o.meta["new"] = None
def renamed(o): o.meta["other"] = o.meta.pop("pair")
def reordered(o): o.meta["flag"] = o.meta.pop("flag")
def equal_number(o): o.meta["flag"] = 1
def equal_object(o): o.inner = Inner()
def attribute(o): o.late = 1

for change in (append, replace, deep, in_tuple, new_key, renamed, reordered, equal_number, equal_object, attribute):
    one = Outer()
    witness = Witness(one)
    assert witness.holds()
    change(one)
    assert not witness.holds(), change

ring = Outer()
ring.inner.names.append(ring)
assert Witness(ring).holds()
for opaque in (set(), bytearray(), object(), iter([])):
    try:
        Witness(Outer(meta={"it": opaque}))
    except Unprovable:
        continue
    raise AssertionError(opaque)
`);
});

test("an object completed by ready texts is the same bytes, and fails before anything is written", { skip }, () => {
  runPython(`
import io, json
import quick_json

whole = {"metadata": {"a": "\\u00e9"}, "nodes": {"x": {"n": None}, "y": [1, 2], "z": "\\u2028"}, "macros": {}, "end": []}
sent = {**whole, "nodes": {"y": whole["nodes"]["y"]}}
texts = {"nodes": {"x": '"x": {"n": null}', "y": None, "z": json.dumps("z") + ": " + json.dumps("\\u2028")}, "macros": {}}
with quick_json.sections(texts) as taken:
    assert not taken()
    file = io.StringIO()
    quick_json.dump(sent, file, cls=json.JSONEncoder)
    assert taken()
assert file.getvalue() == json.dumps(whole), file.getvalue()

for wrong in ({"nodes": {}}, {**sent, "end": object()}):
    file = io.StringIO()
    try:
        with quick_json.sections(texts) as taken:
            quick_json.dump(wrong, file, cls=json.JSONEncoder)
    except (KeyError, TypeError):
        assert file.getvalue() == ""
        continue
    raise AssertionError(wrong)
`);
});

test("merging flat mappings quickly is what dbt makes of them, and others are left to it", { skip }, () => {
  runPython(`
from dbt_common.utils.dict import deep_merge
import quick_relations

quick = quick_relations.quick_merge(deep_merge)
for dicts in ((), ({},), ({"a": 1},), ({"a": 1, "b": None}, {"b": True, "c": "x"}, {}, {"a": False}),
              ({"a": {"b": 1}}, {"a": {"c": 2}}), ({"a": [1]}, {"a": [2]}), ({"a": 1}, None)):
    expected = deep_merge(*dicts)
    assert quick(*dicts) == expected, dicts
    if expected is not None:
        assert list(quick(*dicts)) == list(expected), dicts
first = {"a": 1}
assert quick(first) is not first
`);
});

test("the schemas of many relations are those that dbt finds", { skip }, () => {
  runPython(`
from types import SimpleNamespace
from dbt.adapters.base.impl import BaseAdapter
from dbt.adapters.duckdb.relation import DuckDBRelation
from dbt.adapters.postgres.relation import PostgresRelation
import quick_relations

original = BaseAdapter._get_cache_schemas
quick_relations.install()
assert BaseAdapter._get_cache_schemas is not original

def config(number):
    quoting = {} if number % 5 else {"schema": False, "column": True}
    schema = ("one", "two", "TWO", None)[number % 4]
    return SimpleNamespace(database=("db", None)[number % 3 == 0], schema=schema, identifier=f"m{number}",
                           quoting_dict=quoting, resource_type="model", config={})

class Odd(DuckDBRelation):
    def without_identifier(self):
        return self

for kind, count in ((DuckDBRelation, None), (PostgresRelation, None), (Odd, 60)):
    adapter = SimpleNamespace(Relation=kind, config=SimpleNamespace(quoting={"database": True}))
    expected = original(adapter, [config(number) for number in range(60)])
    found = BaseAdapter._get_cache_schemas(adapter, [config(number) for number in range(60)])
    assert found == expected and {repr(each) for each in found} == {repr(each) for each in expected}
    assert len(found) == (count or len(found)) and (count or len(found) < 20), len(found)
`);
});

test("a line is read, and what comes behind it is left to whoever reads next", { skip }, () => {
  runPython(`
import socket
from wire import read_line

one, other = socket.socketpair()
one.sendall(b"first\\nsecond")
assert read_line(other) == b"first\\n"
one.sendall(b" line\\nrest")
assert read_line(other) == b"second line\\n"
one.close()
assert read_line(other) == b""
`);
});

test("pages that a run had copied are copied beforehand for the next", { skip: onLinux }, () => {
  runPython(`
import mmap, os
from hot_pages import PAGE, HotPages, faults

PAGES = 4000
memory = mmap.mmap(-1, PAGES * PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
memory.madvise(mmap.MADV_NOHUGEPAGE)

def write():
    for page in range(0, PAGES, 2):
        memory[page * PAGE] = 1

def in_fork(work):
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0

write()
hot = HotPages()

def unprepared():
    hot.begin()
    write()
    hot.note()

def prepared():
    hot.copy()
    before = faults()
    write()
    assert faults() - before < PAGES // 20, faults() - before
    assert memory[0] == 1 and memory[PAGE] == 0

in_fork(unprepared)
in_fork(prepared)
`);
});

test("a template is compiled once, each kind for itself, and plain values are not noted", { skip }, () => {
  runPython(`
import os
import hot_templates
from dbt_common.clients import jinja

original = jinja.MacroFuzzEnvironment.compile
templates = hot_templates.HotTemplates()
templates.install()
MACRO = "{% macro greet(name) %}hello {{ name }}{% endmacro %}"
environment = jinja.get_environment
code = environment().compile(MACRO)
assert environment().compile(MACRO) is code
assert code.co_code == original(environment(), MACRO).co_code
assert environment(native=True).compile(MACRO) is not code
assert environment(None, capture_macros=True).compile(MACRO) is not code
module = jinja.get_template(MACRO, {}).module
assert module.dbt_macro__greet("you") == "hello you"
for wrong in ("{% if %}", "{{ unclosed"):
    for _ in range(2):
        try:
            jinja.get_template(wrong, {})
        except Exception as problem:
            assert type(problem).__name__ == "CompilationError", problem
            continue
        raise AssertionError(wrong)

before = len(templates._compiled)
pid = os.fork()
if pid == 0:
    templates.begin()
    assert environment().compile(MACRO) is code
    environment(native=True).compile("a secret value")
    environment().compile("{{ used_in_a_run }}")
    assert len(templates._compiled) == before
    templates.note()
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
assert hot_templates.digest("a secret value") not in templates._noted()
assert len(list(templates.compile(["{{ never_used }}", "{{ used_in_a_run }}", MACRO]))) == 2
assert len(templates._compiled) == before + 1
`);
});

test("who has defined a flag, and which plugins there are, is told as dbt tells it", { skip }, () => {
  runPython(`
import pathlib, sys, tempfile
from dbt.plugins.manager import PluginManager
from dbt_common import behavior_flags

with tempfile.TemporaryDirectory() as folder:
    pathlib.Path(folder, "some_adapter.py").write_text("""
def flags(behavior):
    return behavior([{"name": "it", "default": True, "description": "what it does"}], {})
""")
    sys.path.insert(0, folder)
    import some_adapter
    sys.path.remove(folder)

def told():
    return some_adapter.flags(behavior_flags.Behavior).it._behavior_change_event.flag_source

plugins = PluginManager.get_prefixed_modules()
assert told() == "some_adapter"
import quick_lookups
look = PluginManager.__dict__["get_prefixed_modules"]
default = behavior_flags.BehaviorFlagRendered.__dict__["_default_source"]
quick_lookups.install()
assert PluginManager.__dict__["get_prefixed_modules"] is not look
assert behavior_flags.BehaviorFlagRendered.__dict__["_default_source"] is not default
assert PluginManager.get_prefixed_modules() == plugins and list(PluginManager.get_prefixed_modules()) == list(plugins)
assert "dbt_common" in plugins
assert told() == "some_adapter"
sys.path.insert(0, "/nowhere")
assert PluginManager.get_prefixed_modules() == plugins
`);
});
