"""Changes of documents as texts, for `generate.py`: what a generator of values cannot write.

Headers and their mistakes, scalars as YAML 1.1 reads them, keys that are no texts, duplicates, anchors and merges, what
an editor or a hurried hand does to a file. Each function takes a source of chance and a text, and gives a text.
"""
import re

HEADERS = [
    "#cloud-config\n", "#cloud-config\r\n", "#cloud-config \n", "#cloud-config please\n", "#Cloud-Config\n",
    "\n#cloud-config\n", " \t#cloud-config\n", "#cloud-config\n\n\n", "#cloud-config\n---\n", "#cloud-config\n# more\n",
    "\ufeff#cloud-config\n", "# cloud-config\n", "#cloud-confi\n", "#cloud config\n", "cloud-config\n", "---\n#cloud-config\n",
    "# first\n#cloud-config\n", "", "#cloud-config\n#cloud-config\n", "#cloud-config\n%YAML 1.1\n---\n",
    "#cloud-config\n%TAG ! tag:example.org,2000:\n---\n", "#cloud-configs\n", "#cloud-config\x0b\n", "\x0c#cloud-config\n",
    "#!/bin/sh\n", "#include\n", "#include-once\n", "#INCLUDE https://downloads.example\n", "#cloud-boothook\n", "#part-handler\n",
    "#cloud-config-archive\n", "#cloud-config-jsonp\n", "## template: jinja\n#cloud-config\n", "##template: jinja\n#cloud-config\n",
    "## template:jinja\n#cloud-config\n", "## template: jinja\n", "## template: Jinja\n#cloud-config\n",
    "## template: jinja2\n#cloud-config\n", "## template: mako\n#cloud-config\n", "## template: jinja\n\n#cloud-config\n",
    "\n## template: jinja\n#cloud-config\n", "## template: jinja\n#!/bin/sh\n", "## template: jinja\n## template: jinja\n#cloud-config\n",
    "Content-Type: multipart/mixed; boundary=x\nMIME-Version: 1.0\n\n--x\n", "MIME-Version: 1.0\n", "text/x-shellscript-per-boot\n",
    "text/x-shellscript-per-once\n", "text/cloud-config\n", "\u2028#cloud-config\n", "\u3000#cloud-config\n", "\x1c#cloud-config\n",
    "\u200b#cloud-config\n", "#cloud-\u212aonfig\n", "#cloud-boothoo\u212a\n", "\x85#cloud-config\n", "\xa0#cloud-config\n",
]

SCALARS = [
    "yes", "No", "ON", "off", "y", "n", "TRUE", "~", "null", "Null", "", "0644", "0o644", "0688", "0x1F", "0b11", "1_000",
    "+5", "-0", "1e3", "1.0e+3", "1.5", ".5", "5.", "1000.0", ".inf", "-.INF", ".nan", "12:30:45", "12:60", "1:30", "190:20:30.15",
    "2021-02-03", "2021-02-30", "2021-2-3", "2001-12-14t21:59:43.10-05:00", "2001-12-14 21:59:43.10 -5", "=", "<<",
    "!!binary aGVsbG8=", "!!binary \"not base64\"", "!!str 5", "!!int five", "!!int '5'", "!!float 1", "!!null x", "!!bool yes",
    "!!set {a, b}", "!!omap [a: 1]", "!!pairs [a: 1, a: 2]", "!!python/none x", "!!python/str x", "!local x", "! x", "!<tag:yaml.org,2002:str> 7",
    "'it''s'", '"a\\tb\\x41\\u00e9"', '"\\q"', "\"unclosed", "'unclosed", "[a, b", "{a: b", "[a, b]]", "*missing", "&a b", "&a", "*", "|", ">-",
    "| x", "|2-", "@at", "`tick", "%percent", "- a", "? a", "a: b", "a:b", "a #b", "a# b", "#b", "{a, b}", "[a: b]", "{[a]: b}", "[,]", "{,}",
    "\u00e9\u00e8", "\u4e2d\u6587", "\U0001f600", "\u00a0", "\u2028", "\ufeff", "\x07", "\x7f", "\ud7ff", "\ufffe", "\t", "a\tb", "true ", "99999999999999999999",
]

KEYS = [
    "~", "null", "1", "1.5", "yes", "2021-02-03", "? a", "? [a, b]", "? {a: b}", "!!binary aGVsbG8=", "<<", "=", "'it''s'", '"a\\nb"', "\u00e9", "\U0001f600",
    "''", "packages", "runcmd", "users", "name", "path", "x-y", "!!str 5", "!!int '5'", "&k a", "*k", "0x10", "12:30", "\"a'b\"", "'a\"b'", "\"a'b\\\"c\"", "a\u00a0b", "'\\'",
]

BLOCKS = [
    "x-a: &x {path: /a}\nwrite_files:\n- <<: *x\n  content: b\n", "write_files:\n- &w\n  path: /a\n- <<: *w\n  owner: a:b\n",
    "write_files:\n- &w {path: /a}\n- <<: [*w, {content: x}]\n", "users:\n- <<: 5\n  name: a\n", "users:\n- <<: [5]\n", "users:\n- <<: {name: x}\n  name: y\n",
    "users:\n- <<: {nme: x}\n  name: y\n", "packages: &p [a, b]\npackages: *p\n", "runcmd: &r [a]\nbootcmd: *r\n",
    "packages:\n- a\npackages:\n  a: 1\n", "1: a\n2: b\n", "null: a\n", "yes: a\n", "? [a]\n: b\n", "? {a: b}\n: c\n", "...\n", "---\n", "--- a\n",
    "...\nhostname: b\n", "\thostname: b\n", "hostname:\tb\n", "hostname: a\n b\n", "hostname: |\n a\n", "hostname: >\n\ta\n", " hostname: a\n",
    "hostname: a: b\n", "hostname: [\n", "hostname: {a: b\n", "hostname: 'a\n", "hostname: \"a\\\n b\"\n", "- a\n", "just words\n", "hostname:a\n", "? hostname\n: a\n",
    "? hostname\n", "users: [default, {name: a}, [a, b]]\n", "users:\n- default\n-\n", "users: {}\n", "runcmd: [[sleep, 5]]\n", "swap: {size: 1G, maxsize: 5}\n",
    "# Cloud-config part ignored SCHEMA_ERROR: x\n", " # Cloud-config part ignored SCHEMA_ERROR: x\n", "hostname: x # Cloud-config part ignored SCHEMA_ERROR: x\n",
    "ntp: {servers: [a, a]}\n", "ntp: null\n", "ntp:\n", "apt: {conf: !!binary aGk=}\n", "mounts: [[a, b, c, d, e, f, g]]\n", "mounts: [[null, 5, a]]\n",
    "hostname: !!str\n", "locale: false\n", "timezone: 5\n", "timezone: {{ v1.region }}\n", "hostname: \"{{ v1.local_hostname }}\"\n", "hostname: {{ ds.meta_data.x }}\n",
    "{% if v1.distro == 'ubuntu' %}\npackages: [a]\n{% else %}\npackages: 5\n{% endif %}\n", "{% for n in [1, 2] %}\nk{{ n }}: {{ n }}\n{% endfor %}\n", "hostname: {{ nothing }}\n",
    "hostname: {% raw %}{{ x }}{% endraw %}\n", "{# comment #}\nhostname: a\n", "hostname: {{ v1.distro | upper }}\n", "hostname: {{ v1.distro\n", "{% if %}\n", "{% endif %}\n",
]


def with_header(pick, text):
    body = text.partition("\n")[2] if text.startswith("#cloud-config") else text
    return pick.choice(HEADERS) + body


def with_scalar(pick, text):
    """Another value in one line."""
    lines = text.split("\n")
    places = [index for index, line in enumerate(lines) if re.match(r"^\s*(- )*[^#\s].*(:|-) ", line)]
    if not places:
        return text
    index = pick.choice(places)
    start = re.match(r"^.*?(: |- )", lines[index])
    lines[index] = (start[0] if start else lines[index] + " ") + pick.choice(SCALARS)
    return "\n".join(lines)


def with_key(pick, text):
    """Another key in one line."""
    lines = text.split("\n")
    places = [index for index, line in enumerate(lines) if re.match(r"^\s*(- )*[^\s:'\"-][^:]*:( |$)", line)]
    if not places:
        return text
    index = pick.choice(places)
    lead, rest = re.match(r"^(\s*(?:- )*)[^:]*(:.*)$", lines[index], re.S).groups()
    lines[index] = lead + pick.choice(KEYS) + rest
    return "\n".join(lines)


def with_block(pick, text):
    return text + ("" if text.endswith("\n") else "\n") + pick.choice(BLOCKS)


def with_duplicate(pick, text):
    """Lines once more, at the end or where they are: a key twice."""
    lines = text.split("\n")
    start = pick.randrange(len(lines))
    some = lines[start:start + pick.choice([1, 1, 2, 5])]
    place = pick.choice([start, len(lines)])
    return "\n".join(lines[:place] + some + lines[place:])


def without_lines(pick, text):
    lines = text.split("\n")
    start = pick.randrange(len(lines))
    del lines[start:start + pick.choice([1, 1, 2, 4])]
    return "\n".join(lines)


def with_indentation(pick, text):
    lines = text.split("\n")
    index = pick.randrange(len(lines))
    lines[index] = pick.choice([" ", "  ", "\t", "    "]) + lines[index] if pick.random() < 0.6 else lines[index].lstrip(" ")
    return "\n".join(lines)


def with_character(pick, text):
    index = pick.randrange(len(text)) if text else 0
    new = pick.choice(list("abzAZ019 :-#,[]{}&*!|>'\"%@`\\\n\t?=~<") + ["\u00e9", "\U0001f600", "\r", "\x00", ""])
    return text[:index] + new + text[index + pick.choice([0, 1]):]


def with_exchange(pick, text):
    lines = text.split("\n")
    one, two = pick.randrange(len(lines)), pick.randrange(len(lines))
    lines[one], lines[two] = lines[two], lines[one]
    return "\n".join(lines)


def with_crlf(_pick, text):
    return text.replace("\n", "\r\n")


def cut(pick, text):
    return text[: pick.randrange(len(text) + 1)]


CHANGES = [
    with_header, with_scalar, with_scalar, with_scalar, with_key, with_key, with_block, with_block, with_duplicate, without_lines, with_indentation,
    with_character, with_character, with_exchange, with_crlf, cut,
]


def changed(pick, text):
    for _ in range(pick.choice([1, 1, 1, 2, 3])):
        text = pick.choice(CHANGES)(pick, text)
    return text
