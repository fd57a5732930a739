//! Turns the pages of `pages/` into constants and the registry. An invalid page fails the build.

#![allow(clippy::disallowed_methods, reason = "a build script reads and writes files")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs, process};

fn main() {
    println!("cargo::rerun-if-changed=pages");
    let pages = match read_pages(Path::new("pages")) {
        Ok(pages) => pages,
        Err(problem) => {
            println!("cargo::error={problem}");
            process::exit(1);
        }
    };
    let out = env::var_os("OUT_DIR").expect("Cargo sets OUT_DIR");
    fs::write(Path::new(&out).join("registry.rs"), generate(&pages)).expect("OUT_DIR is writable");
    fs::write(Path::new(&out).join("list.md"), list(&pages)).expect("OUT_DIR is writable");
}

struct Page {
    code: String,
    name: String,
    former_names: Vec<String>,
    /// Variants of `Severity` and `Origin`.
    severity: &'static str,
    origin: &'static str,
    about_templates: bool,
    example_limit: Option<usize>,
    summary: String,
    /// The page as people read it.
    text: String,
    bad: Vec<Vec<u8>>,
    good: Vec<Vec<u8>>,
}

/// All pages, in the order of their codes.
fn read_pages(folder: &Path) -> Result<Vec<Page>, String> {
    let mut pages = BTreeMap::new();
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    for entry in fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))? {
        let path = entry.map_err(|error| error.to_string())?.path();
        let shown = path.display();
        let text = fs::read_to_string(&path).map_err(|error| format!("{shown}: {error}"))?;
        let page = parse(&text).map_err(|reason| format!("{shown}: {reason}"))?;
        if path.file_name().is_none_or(|file| file != format!("{}.md", page.code).as_str()) {
            return Err(format!("{shown}: the file must be named after its code, {}.md", page.code));
        }
        for name in page.former_names.iter().chain([&page.name]) {
            if let Some(other) = names.insert(name.clone(), page.code.clone()) {
                return Err(format!("{shown}: the name `{name}` is already taken by {other}"));
            }
        }
        pages.insert(page.code.clone(), page);
    }
    Ok(pages.into_values().collect())
}

fn parse(text: &str) -> Result<Page, String> {
    let (front_matter, body) = text
        .strip_prefix("---\n")
        .and_then(|rest| rest.split_once("\n---\n"))
        .ok_or("expected front matter between two lines `---`")?;
    let mut keys = BTreeMap::new();
    for line in front_matter.lines() {
        let (key, value) = line.split_once(": ").ok_or(format!("expected `key: value`, found `{line}`"))?;
        if keys.insert(key, value.trim()).is_some() {
            return Err(format!("the key `{key}` occurs twice"));
        }
    }
    let mut optional = |key: &str| keys.remove(key);
    let mut required = |key: &str| optional(key).ok_or(format!("the key `{key}` is missing"));
    let code = required("code")?.to_owned();
    let name = required("name")?.to_owned();
    let severity = match required("severity")? {
        "error" => "Error",
        "warning" => "Warning",
        "deprecated" => "Deprecated",
        "info" => "Info",
        other => return Err(format!("unknown severity `{other}`")),
    };
    let (origin, verdict) = match required("origin")? {
        "cloud-init" => ("CloudInit", "`cloud-init schema` reports this too; it counts for the verdict"),
        "mkimg" => ("Mkimg", "only mkimg reports this; it does not change cloud-init's verdict"),
        other => return Err(format!("unknown origin `{other}`")),
    };
    let former_names = optional("former_names").unwrap_or_default();
    let former_names: Vec<_> = former_names.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    let example_limit = optional("example_limit")
        .map(|limit| limit.parse().map_err(|_| format!("`example_limit` must be a number of bytes, not `{limit}`")))
        .transpose()?;
    let about_templates = match optional("example_kind") {
        None => false,
        Some("template") => true,
        Some(other) => return Err(format!("unknown `example_kind: {other}`")),
    };
    if let Some(key) = keys.keys().next() {
        return Err(format!("unknown key `{key}`"));
    }
    if code.len() != 5 || !code.starts_with("MK") || !code[2..].bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("a code is `MK` and three digits, not `{code}`"));
    }
    for name in former_names.iter().copied().chain([name.as_str()]) {
        let is_word = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
        if !name.split('-').all(is_word) {
            return Err(format!("a name is lowercase words with hyphens, not `{name}`"));
        }
    }
    let (summary, rest) = body.trim_start().split_once("\n\n").unwrap_or((body.trim(), ""));
    let summary = summary.split_whitespace().collect::<Vec<_>>().join(" ");
    if !summary.ends_with('.') {
        return Err("the first paragraph must end with a full stop".into());
    }
    let examples = Examples::read(rest)?;
    if examples.bad.is_empty() != examples.good.is_empty() {
        return Err("expected a bad and a good example, found only one of them".into());
    }
    if examples.bad.is_empty() && code.as_str() < "MK9" {
        return Err("expected a code block `yaml bad` and a code block `yaml good`".into());
    }
    let severity_name = severity.to_lowercase();
    let origin_name = if origin == "Mkimg" { "mkimg" } else { "cloud-init" };
    let mut text =
        format!("# {code} {name}\n\n{summary}\n\nSeverity: {severity_name}. Origin: {origin_name} ({verdict}).\n");
    if !examples.text.is_empty() {
        let _ = write!(text, "\n{}\n", examples.text);
    }
    let former_names = former_names.into_iter().map(str::to_owned).collect();
    let Examples { bad, good, .. } = examples;
    Ok(Page { code, name, former_names, severity, origin, about_templates, example_limit, summary, text, bad, good })
}

/// The examples of a page, and its text without what marks them.
#[derive(Default)]
struct Examples {
    text: String,
    bad: Vec<Vec<u8>>,
    good: Vec<Vec<u8>>,
}

impl Examples {
    fn read(body: &str) -> Result<Self, String> {
        let mut found = Self::default();
        let mut lines = body.trim_matches('\n').lines();
        while let Some(line) = lines.next() {
            let Some(info) = line.strip_prefix("```") else {
                found.text += line;
                found.text.push('\n');
                continue;
            };
            let (language, expectation) = info.split_once(' ').unwrap_or((info, ""));
            let mut code = String::new();
            loop {
                match lines.next() {
                    None => return Err("a code block is not closed".into()),
                    Some("```") => break,
                    Some(line) => code = code + line + "\n",
                }
            }
            match expectation {
                "bad" => found.bad.push(unescape(&code)?),
                "good" => found.good.push(unescape(&code)?),
                "" => {}
                other => return Err(format!("expected `bad` or `good` after ```{language}, found `{other}`")),
            }
            let _ = writeln!(found.text, "```{language}\n{code}```");
        }
        found.text.truncate(found.text.trim_end().len());
        Ok(found)
    }
}

/// Replaces `⟨U+000D⟩` by the character and `⟨0xE9⟩` by the byte.
fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('⟨') {
        let (escape, after) = after.split_once('⟩').ok_or("`⟨` without `⟩`")?;
        bytes.extend_from_slice(before.as_bytes());
        let number = |digits: &str| u32::from_str_radix(digits, 16).ok();
        let character = escape.strip_prefix("U+").and_then(number).and_then(char::from_u32);
        let byte = escape.strip_prefix("0x").and_then(number).and_then(|number| u8::try_from(number).ok());
        match (character, byte) {
            (Some(character), _) => bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
            (None, Some(byte)) => bytes.push(byte),
            (None, None) => return Err(format!("unknown escape `⟨{escape}⟩`; write `⟨U+000D⟩` or `⟨0xE9⟩`")),
        }
        rest = after;
    }
    bytes.extend_from_slice(rest.as_bytes());
    Ok(bytes)
}

fn constant(page: &Page) -> String {
    page.name.to_uppercase().replace('-', "_")
}

/// The list of all rules, for the documentation of the crate.
fn list(pages: &[Page]) -> String {
    let mut out = String::from("| code | name | severity | finds |\n| --- | --- | --- | --- |\n");
    for page in pages {
        let (code, severity, summary) = (&page.code, page.severity.to_lowercase(), page.summary.replace('|', "\\|"));
        let _ = writeln!(out, "| [{code}]({}) | {} | {severity} | {summary} |", constant(page), page.name);
    }
    out
}

fn generate(pages: &[Page]) -> String {
    let mut out = String::new();
    let byte_strings = |examples: &[Vec<u8>]| {
        let list: Vec<_> = examples.iter().map(|example| format!("b\"{}\"", example.escape_ascii())).collect();
        list.join(", ")
    };
    for page in pages {
        let _ = writeln!(
            out,
            "#[doc = {:?}]\npub static {}: Rule = Rule {{\n    code: {code:?},\n    name: {:?},\n    \
             former_names: &{:?},\n    origin: Origin::{},\n    severity: Severity::{},\n    summary: {summary:?},\n    \
             page: {:?},\n    bad: &[{}],\n    good: &[{}],\n    about_templates: {},\n    example_limit: {:?},\n}};",
            page.text,
            constant(page),
            page.name,
            page.former_names,
            page.origin,
            page.severity,
            page.text,
            byte_strings(&page.bad),
            byte_strings(&page.good),
            page.about_templates,
            page.example_limit,
            code = page.code,
            summary = page.summary,
        );
    }
    out += "/// All rules, in the order of their codes.\npub static REGISTRY: &[&Rule] = &[\n";
    for page in pages {
        let _ = writeln!(out, "    &{},", constant(page));
    }
    out + "];\n"
}
