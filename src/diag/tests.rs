use super::*;

fn source() -> Source {
    Source::new("user-data.yaml", "#cloud-config\nwrite_files:\n  - path: /a\n    permissions: 644\n")
}

fn finding(start: usize, text: &str) -> Diagnostic {
    Diagnostic {
        code: "MK102",
        name: "wrong-type",
        origin: Origin::CloudInit,
        severity: Severity::Error,
        path: "write_files.0.permissions".into(),
        message: "expected a string, found the integer `644`".into(),
        help: Some("put it in quotes".into()),
        span: Some(Span::new(start, start + text.len())),
        related: vec![],
    }
}

fn report(diagnostics: Vec<Diagnostic>) -> Report {
    let findings = Findings { source: source(), diagnostics };
    Report {
        documents: vec![Document { kind: "cloud-config", verdict: Verdict::Invalid, findings, parts: Vec::new() }],
    }
}

fn at_mode() -> Diagnostic {
    finding(source().text().find("644").unwrap(), "644")
}

#[test]
fn people_get_carets() {
    let text = report(vec![at_mode()]).render(Format::Human, false, &|_| None);
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
fn related_places_are_shown() {
    let mut finding = at_mode();
    finding.related.push((Span::new(14, 25), "in this list".into()));
    let text = report(vec![finding]).render(Format::Human, false, &|_| None);
    assert!(text.contains("2 | write_files:\n  | ----------- in this list"), "{text}");
}

#[test]
fn colour_can_be_switched() {
    let report = report(vec![at_mode()]);
    assert!(report.render(Format::Human, true, &|_| None).contains('\u{1b}'));
    assert!(!report.render(Format::Human, false, &|_| None).contains('\u{1b}'));
}

#[test]
fn no_control_character_gets_through() {
    let source = Source::new("a\u{1b}[31m.yaml", "#cloud-config\nx\u{1b}]0;t\u{7}\u{202e}\u{9b}: 1\n");
    let mut finding = finding(14, "x");
    finding.message = "\u{1b}[2J\u{202e}".into();
    finding.help = Some("\u{9b}31m\r".into());
    finding.path = "x\u{1b}".into();
    let findings = Findings { source, diagnostics: vec![finding] };
    let report = Report {
        documents: vec![Document { kind: "cloud-config", verdict: Verdict::Valid, findings, parts: Vec::new() }],
    };
    for format in [Format::Human, Format::Json, Format::Github, Format::Sarif] {
        let text = report.render(format, false, &|_| None);
        let harmful: Vec<_> = text.chars().filter(|c| (c.is_control() && *c != '\n') || *c == '\u{202e}').collect();
        assert!(harmful.is_empty(), "{format:?}: {harmful:?} in {text}");
    }
}

#[test]
fn json_has_the_promised_shape() {
    let value: serde_json::Value =
        serde_json::from_str(&report(vec![at_mode()]).render(Format::Json, false, &|_| None)).unwrap();
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
    let text = report(vec![finding]).render(Format::Github, false, &|_| None);
    assert_eq!(
        text,
        "::error file=user-data.yaml,line=4,col=18,endLine=4,endColumn=21,title=MK102 wrong-type::\
         100%25%0A::error::x%0Ahelp: put it in quotes\n"
    );
}

#[test]
fn sarif_refers_to_its_rules() {
    let text = report(vec![at_mode()]).render(Format::Sarif, false, &|code| Some(format!("about {code}")));
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let run = &value["runs"][0];
    assert_eq!(value["version"], "2.1.0");
    assert_eq!(run["tool"]["driver"]["rules"][0]["shortDescription"]["text"], "about MK102");
    let result = &run["results"][0];
    assert_eq!(result["ruleIndex"], 0);
    let region = &result["locations"][0]["physicalLocation"]["region"];
    assert_eq!(*region, serde_json::json!({"startLine": 4, "startColumn": 18, "endLine": 4, "endColumn": 21}));
}

#[test]
fn a_very_long_line_is_cut_around_the_place() {
    let text = format!("#cloud-config\nk: {}X{}\n", "é".repeat(50_000), "y".repeat(50_000));
    let place = text.find('X').unwrap();
    let findings = Findings { source: Source::new("t", text), diagnostics: vec![finding(place, "X")] };
    let shown = human(&findings, false);
    assert!(shown.contains(":2:50004"), "{shown}");
    assert!(shown.len() < 1_000, "{shown}");
}

#[test]
fn a_finding_over_many_lines_is_shown_by_its_first() {
    let text = format!("#cloud-config\nk: {}", "  line\n".repeat(500));
    let findings = Findings { source: Source::new("t", text.clone()), diagnostics: vec![finding(17, &text[17..])] };
    assert!(human(&findings, false).lines().count() < 12);
}
