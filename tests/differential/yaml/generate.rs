//! Texts to compare: deterministic for a seed.

use super::corpus::CORPUS;

/// A small generator of random numbers (`splitmix64`): the same on every machine.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `bound`, which is not 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    pub(crate) fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }
}

/// Tokens with a meaning in YAML.
const PIECES: &[&str] = &[
    "a", "b", "key", "x y", " ", "  ", "\n", "\n", "\n  ", "\n    ", "\n- ", "\n  - ", "- ", "-", ": ", ":", "? ", "?",
    ", ", ",", "[", "]", "{", "}", "&a ", "&b ", "*a", "*b", "*a ", "!", "! ", "!!str ", "!!int ", "!!float ",
    "!!bool ", "!!null ", "!!binary ", "!!timestamp ", "!!set ", "!!omap ", "!!pairs ", "!!seq ", "!!map ", "!!merge ",
    "!!value ", "!x ", "!e!y ", "!<tag:yaml.org,2002:str> ", "!<!> ", "!%21 ", "!%C3%A9", "!%zz", "|", ">", "|-", ">+",
    "|2", ">1-", "|+1", "|\n", ">\n", "|-\n  ", "'", "''", "\"", "\\", "\\n", "\\x41", "\\u00e9", "\\U0001F600",
    "\\ud800", "\\\n", "#", " #", "# c\n", "%", "%YAML 1.1\n", "%TAG !e! tag:e,1:\n", "---", "--- ", "\n---\n", "...",
    "\n...\n", "\t", "\r", "\r\n", "\u{85}", "\u{2028}", "\u{2029}", "\u{feff}", "\u{7}", "\u{e9}", "\u{65e5}\u{672c}",
    "\u{1f600}", "e\u{301}", "<<", "<<: ", "=", "=: ", "~", "null", "yes", "no", "on", "0644", "0o7", "0x1F", "0b1",
    "1_000", "12:30:45", "1.5", "1e3", "1.0e+3", ".inf", "-.INF", ".nan", "2021-02-28", "2021-02-30",
    "2001-12-14t21:59:43.10-05:00", "@", "`", "0", "-1", "@x",
];

/// Characters of numbers, dates and booleans.
const SCALAR_PIECES: &[&str] = &[
    "0", "1", "2", "5", "6", "7", "8", "9", "00", "12", "59", "60", "_", ".", ":", "-", "+", "e", "E", "e+", "x", "0x",
    "b", "0b", "o", "0o", "a", "F", ".inf", ".nan", ".Inf", "inf", "T", "t", "Z", " ", "2021", "-02", "-1-1",
    " 1:00:00", "yes", "No", "true", "ON", "null", "~", "<<", "=", "\u{663}", "=", "QUJD", "QQ==", "\n",
];

/// One text, generated in one of several ways.
pub(crate) fn text(random: &mut Random) -> String {
    match random.below(10) {
        0..=3 => mutated(random),
        4 | 5 => soup(random),
        6 => scalars(random),
        7 => {
            let mut out = String::new();
            structure(random, 0, &mut out);
            out
        }
        _ => {
            let mut out = String::new();
            structure(random, 0, &mut out);
            mutate(random, out)
        }
    }
}

fn mutated(random: &mut Random) -> String {
    let text = random.pick(CORPUS).to_owned();
    mutate(random, text)
}

fn boundary(random: &mut Random, text: &str) -> usize {
    let mut at = random.below(text.len() + 1);
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

fn mutate(random: &mut Random, mut text: String) -> String {
    for _ in 0..=random.below(4) {
        let from = boundary(random, &text);
        match random.below(7) {
            0 => text.insert_str(from, random.pick(PIECES)),
            1 => {
                let to = (from + 1 + random.below(6)).min(text.len());
                let to = (to..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap();
                text.replace_range(from..to, "");
            }
            2 => {
                let to = (from + 1 + random.below(3)).min(text.len());
                let to = (to..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap();
                text.replace_range(from..to, random.pick(PIECES));
            }
            3 => {
                // A line changes its indentation.
                let start = text[..from].rfind('\n').map_or(0, |at| at + 1);
                if random.one_in(2) || !text[start..].starts_with(' ') {
                    text.insert_str(start, random.pick(&[" ", "  ", "\t", "    "]));
                } else {
                    text.remove(start);
                }
            }
            4 => {
                // Inserts a piece of another text.
                let other = random.pick(CORPUS);
                let start = boundary(random, other);
                let end = (start + random.below(40)).min(other.len());
                let end = (end..=other.len()).find(|at| other.is_char_boundary(*at)).unwrap();
                text.insert_str(from, &other[start..end]);
            }
            5 => text.truncate(from),
            _ => {
                // Two lines change places.
                let mut lines: Vec<&str> = text.split('\n').collect();
                let (one, two) = (random.below(lines.len()), random.below(lines.len()));
                lines.swap(one, two);
                text = lines.join("\n");
            }
        }
    }
    text
}

fn soup(random: &mut Random) -> String {
    (0..=random.below(16)).map(|_| random.pick(PIECES)).collect()
}

fn scalar(random: &mut Random) -> String {
    (0..=random.below(6)).map(|_| random.pick(SCALAR_PIECES)).collect()
}

/// Scalars with and without tags, in one document, so most of them are valid.
fn scalars(random: &mut Random) -> String {
    let text = scalar(random);
    let tag = random
        .pick(&["", "", "", "! ", "!!int ", "!!float ", "!!bool ", "!!timestamp ", "!!binary ", "!!null ", "!!str "]);
    let quoted = random.one_in(3) || text.contains('\n');
    if quoted { format!("- {tag}\"{}\"\n", text.replace('\n', "\\n")) } else { format!("- {tag}{text}\n") }
}

fn structure(random: &mut Random, column: usize, out: &mut String) {
    let pad = " ".repeat(column);
    let depth = column / 2;
    let count = 1 + random.below(if depth > 3 { 2 } else { 4 });
    let list = random.one_in(3);
    for number in 0..count {
        // A first entry may follow the dash of its list.
        if number > 0 || !out.ends_with("- ") {
            out.push_str(&pad);
        }
        if list {
            out.push_str("- ");
        } else {
            match random.below(12) {
                0 => out.push_str("? "),
                1 => out.push_str("<<: "),
                2 => out.push_str("\"k\": "),
                _ => {
                    out.push_str(
                        random.pick(&["a", "b", "c", "runcmd", "1", "yes", "true", "1.0", "content", "=", "'q'", "é"]),
                    );
                    out.push_str(": ");
                }
            }
        }
        if random.one_in(6) {
            out.push_str(
                random
                    .pick(&["&a ", "&b ", "&c ", "&d ", "!!str ", "!!set ", "!!omap ", "! ", "&e !!map ", "!!seq &f "]),
            );
        }
        match random.below(if depth > 3 { 7 } else { 10 }) {
            0 => out.push_str(random.pick(&["*a", "*b", "*c", "*d"])),
            1 => {
                let inner = scalar(random).replace('\n', "");
                out.push_str(&inner);
            }
            2 => flow(random, 0, out),
            3 => {
                out.push_str(random.pick(&["|", ">", "|-", ">+", "|2", ">-"]));
                for _ in 0..random.below(5) {
                    out.push('\n');
                    if !random.one_in(4) {
                        let deep = random.pick(&["  ", "  ", "  ", "    ", "   ", " "]);
                        out.push_str(&pad);
                        out.push_str(deep);
                        out.push_str(
                            random.pick(&["text", "more: text", "# no comment", "\tt", "t ", "", "\u{2028}x"]),
                        );
                    }
                }
            }
            4 => out.push_str(random.pick(&[
                "plain text", "'single ''quoted'''", "\"dou\\tble\"", "a\n   b", "\"a\n\n  b\"", "'a\n  b'", "x # c",
            ])),
            5 => out.push_str(random.pick(&["", "~", "1", "0644", "true", "2021-01-01", "1.5", "{}", "[]"])),
            6 => out.push_str(random.pick(&["a", "b c", "/etc/motd", "root:root"])),
            _ => {
                let step = if random.one_in(8) { 1 } else { 2 };
                if !out.ends_with("- ") || random.one_in(3) {
                    out.push('\n');
                }
                structure(random, column + step, out);
                continue;
            }
        }
        out.push('\n');
    }
}

fn flow(random: &mut Random, depth: usize, out: &mut String) {
    let map = random.one_in(2);
    out.push(if map { '{' } else { '[' });
    for number in 0..random.below(4) {
        if number > 0 {
            out.push_str(random.pick(&[", ", ",", " ,", ",\n  "]));
        }
        if random.one_in(3) != map {
            out.push_str(random.pick(&["a: ", "b: ", "? c : ", "\"d\":", "<<: ", "'e' : ", "=: "]));
        }
        match random.below(6) {
            0 if depth < 4 => flow(random, depth + 1, out),
            1 => out.push_str(random.pick(&["*a", "*b ", "&c x", "!!str 1", "&a {k: v}", "&b [1]"])),
            2 => {}
            _ => {
                out.push_str(random.pick(&[
                    "x", "1", "yes", "'q'", "\"r\"", "a b", "a:b", "http://x/y", "-1", "~", "a#b", "- x", "?x",
                ]));
            }
        }
    }
    out.push(if map { '}' } else { ']' });
}
