use super::*;

pub(super) static WRONG_TYPE: Rule = Rule {
    code: "MK102",
    name: "wrong-type",
    origin: Origin::CloudInit,
    severity: Severity::Error,
    summary: "A value of the wrong type.",
    page: "# MK102",
    ..Rule::EMPTY
};

fn source() -> Source {
    Source::new("user-data.yaml", "#cloud-config\nwrite_files:\n  - path: /a\n    permissions: 644\n")
}

fn finding(start: usize, text: &str) -> Diagnostic {
    let span = Span::new(start, start + text.len());
    let message = "expected a string, found the integer `644`";
    Diagnostic::new(&WRONG_TYPE, "write_files.0.permissions", span, message).with_help("put it in quotes")
}

pub(super) fn report(diagnostics: Vec<Diagnostic>) -> Report {
    let findings = Findings { source: source(), diagnostics };
    Report {
        documents: vec![LintedDocument {
            kind: "cloud-config",
            verdict: Verdict::Invalid,
            findings,
            parts: Vec::new(),
            suppressed: Vec::new(),
        }],
    }
}

fn at_mode() -> Diagnostic {
    finding(source().text().find("644").unwrap(), "644")
}

#[test]
fn human_output_underlines_the_finding() {
    let text = report(vec![at_mode()]).render(Format::Human, false);
    let expected = "\
error[MK102]: expected a string, found the integer `644`
 --> user-data.yaml:4:18
  |
4 |     permissions: 644
  |                  ^^^ write_files.0.permissions
  |
  = help: put it in quotes
  = note: `mkimg explain MK102` says more

";
    assert_eq!(text, expected);
}

#[test]
fn related_spans_are_shown() {
    let mut finding = at_mode();
    finding.related.push((Span::new(14, 25), "in this list".into()));
    let text = report(vec![finding]).render(Format::Human, false);
    assert!(text.contains("2 | write_files:\n  | ----------- in this list"), "{text}");
}

#[test]
fn colour_can_be_switched() {
    let report = report(vec![at_mode()]);
    assert!(report.render(Format::Human, true).contains('\u{1b}'));
    assert!(!report.render(Format::Human, false).contains('\u{1b}'));
}

#[test]
fn control_characters_are_escaped() {
    let source = Source::new("a\u{1b}[31m.yaml", "#cloud-config\nx\u{1b}]0;t\u{7}\u{202e}\u{9b}: 1\n");
    let mut finding = finding(14, "x");
    finding.message = "\u{1b}[2J\u{202e}".into();
    finding.help = Some("\u{9b}31m\r".into());
    finding.path = "x\u{1b}".into();
    let findings = Findings { source, diagnostics: vec![finding] };
    let report = Report {
        documents: vec![LintedDocument {
            kind: "cloud-config",
            verdict: Verdict::Valid,
            findings,
            parts: Vec::new(),
            suppressed: Vec::new(),
        }],
    };
    for format in [Format::Human, Format::Json, Format::Github, Format::Sarif] {
        let text = report.render(format, false);
        let harmful: Vec<_> = text.chars().filter(|c| (c.is_control() && *c != '\n') || *c == '\u{202e}').collect();
        assert!(harmful.is_empty(), "{format:?}: {harmful:?} in {text}");
    }
}

#[test]
fn json_has_the_documented_shape() {
    let value: serde_json::Value = serde_json::from_str(&report(vec![at_mode()]).render(Format::Json, false)).unwrap();
    let expected = serde_json::json!({"version": 1,
        "documents": [{"file": "user-data.yaml", "kind": "cloud-config", "verdict": "invalid", "diagnostics": [{
            "code": "MK102", "name": "wrong-type", "origin": "cloud-init", "severity": "error",
            "path": "write_files.0.permissions", "message": "expected a string, found the integer `644`",
            "help": "put it in quotes", "line": 4, "column": 18, "end_line": 4, "end_column": 21}]}],
        "summary": {"documents": 1, "valid": 0, "deprecated": 0, "invalid": 1, "skipped": 0}});
    assert_eq!(value, expected);
}

#[test]
fn github_commands_are_escaped() {
    let mut finding = at_mode();
    finding.message = "100%\n::error::x".into();
    let text = report(vec![finding]).render(Format::Github, false);
    assert_eq!(
        text,
        "::error file=user-data.yaml,line=4,col=18,endLine=4,endColumn=21,title=MK102 wrong-type::\
         100%25%0A::error::x%0Ahelp: put it in quotes\n"
    );
}

static ODD_NAME: Rule = Rule { name: "x,y:z%", ..WRONG_TYPE };

#[test]
fn github_properties_are_escaped() {
    let source = Source::new("a,b:c%\r\n::error::d.yaml", "#cloud-config\na: |\n  x\n");
    let mut finding = finding(17, "|\n  x\n");
    finding.rule = &ODD_NAME;
    finding.message = "50%, a: b\r\nnext\u{1b}".into();
    finding.help = None;
    let findings = Findings { source, diagnostics: vec![finding] };
    let (kind, verdict) = ("cloud-config", Verdict::Invalid);
    let document = LintedDocument { kind, verdict, findings, parts: Vec::new(), suppressed: Vec::new() };
    let text = Report { documents: vec![document] }.render(Format::Github, false);
    assert_eq!(
        text,
        "::error file=a%2Cb%3Ac%25%0D%0A%3A%3Aerror%3A%3Ad.yaml,line=2,endLine=4,title=MK102 x%2Cy%3Az%25::\
         50%25, a: b%0D%0Anext\\u{1b}\n"
    );
}

#[test]
fn sarif_places_are_relative_and_have_fingerprints() {
    let about = |name: &str, text: &str, place: usize| {
        let findings = Findings { source: Source::new(name, text), diagnostics: vec![finding(place, "644")] };
        let (kind, verdict) = ("cloud-config", Verdict::Invalid);
        let document = LintedDocument { kind, verdict, findings, parts: Vec::new(), suppressed: Vec::new() };
        let text = Report { documents: vec![document] }.render(Format::Sarif, false);
        let log: serde_json::Value = serde_json::from_str(&text).unwrap();
        let result = log["runs"][0]["results"][0].clone();
        let location = result["locations"][0]["physicalLocation"]["artifactLocation"].clone();
        (location, result["partialFingerprints"]["primaryLocationLineHash"].as_str().unwrap().to_owned())
    };
    let (location, hash) = about("dir/a b.yaml", "x\n  mode: 644\n", 10);
    assert_eq!(location, serde_json::json!({"uri": "dir/a%20b.yaml", "uriBaseId": "%SRCROOT%"}));
    assert!(hash.ends_with(":1"), "{hash}");
    // Lines before it, and its indentation, may change.
    let (location, same) = about("/tmp/a.yaml", "x\ny: é\n    mode: 644\n", 17);
    assert_eq!((location, same), (serde_json::json!({"uri": "file:///tmp/a.yaml"}), hash.clone()));
    assert_ne!(about("-", "mode: 6444\n", 6).1, hash);
    assert_eq!(about("-", "mode: 6444\n", 6).0, serde_json::json!({"uri": "-"}));
}

#[test]
fn allowed_findings_are_listed_separately() {
    let mut report = report(vec![]);
    report.documents[0].suppressed =
        vec![Suppressed { diagnostic: at_mode(), reason: "old".into(), allowed_at: Some(Span::new(0, 5)) }];
    assert_eq!(report.counts(), Counts { suppressed: 1, ..Counts::default() });
    let read = |format| -> serde_json::Value { serde_json::from_str(&report.render(format, false)).unwrap() };
    let json = read(Format::Json);
    assert_eq!(json["summary"]["suppressed"], 1);
    let allowed = &json["documents"][0]["suppressed"][0];
    assert_eq!((&allowed["code"], &allowed["reason"]), (&"MK102".into(), &"old".into()));
    assert_eq!(allowed["allowed_at"], serde_json::json!({"line": 1, "column": 1}));
    let sarif = read(Format::Sarif);
    let suppression = &sarif["runs"][0]["results"][0]["suppressions"][0];
    assert_eq!((&suppression["kind"], &suppression["justification"]), (&"inSource".into(), &"old".into()));
    assert_eq!(report.render(Format::Github, false), "");
    assert_eq!(report.render(Format::Human, false), "");
}

#[test]
fn sarif_refers_to_its_rules() {
    let text = report(vec![at_mode()]).render(Format::Sarif, false);
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let run = &value["runs"][0];
    assert_eq!(value["version"], "2.1.0");
    assert_eq!(run["tool"]["driver"]["rules"][0]["help"]["markdown"], "# MK102");
    assert_eq!(run["tool"]["driver"]["rules"][0]["shortDescription"]["text"], "A value of the wrong type.");
    let result = &run["results"][0];
    assert_eq!(result["ruleIndex"], 0);
    let region = &result["locations"][0]["physicalLocation"]["region"];
    assert_eq!(*region, serde_json::json!({"startLine": 4, "startColumn": 18, "endLine": 4, "endColumn": 21}));
}

#[test]
fn very_long_lines_are_cut() {
    let text = format!("#cloud-config\nk: {}X{}\n", "é".repeat(50_000), "y".repeat(50_000));
    let place = text.find('X').unwrap();
    let findings = Findings { source: Source::new("t", text), diagnostics: vec![finding(place, "X")] };
    let shown = human(&findings, false);
    assert!(shown.contains(":2:50004"), "{shown}");
    assert!(shown.len() < 1_000, "{shown}");
}

#[test]
fn findings_over_many_lines_show_the_first() {
    let text = format!("#cloud-config\nk: {}", "  line\n".repeat(500));
    let findings = Findings { source: Source::new("t", text.clone()), diagnostics: vec![finding(17, &text[17..])] };
    assert!(human(&findings, false).lines().count() < 12);
}
