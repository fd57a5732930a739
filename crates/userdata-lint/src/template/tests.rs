use super::*;

fn text(template: &str) -> String {
    match render(&format!("## template: jinja\n{template}")) {
        Rendered::Text { text, .. } => text,
        Rendered::Invalid(finding) => format!("broken: {}", finding.message),
        Rendered::Unsupported(why) => format!("unknown: {why}"),
    }
}

/// The output of Jinja 3.1.
#[test]
fn values_are_printed_like_python() {
    for (template, expected) in [
        ("{{ [1, true, none, 'a', \"it's\", 1.0] }}", "[1, True, None, 'a', \"it's\", 1.0]"),
        ("{{ {'b': [true], 'a': 'x\\n'} }}", "{'b': [True], 'a': 'x\\n'}"),
        ("{{ true }} {{ none }} {{ 'x' }}", "True None x"),
        ("{{ 'a,b'.split(',')[1].upper() }}", "B"),
        ("{% for k, v in {'b': 1, 'a': 2}.items() %}{{ k }}{{ v }}{% endfor %}", "b1a2"),
        ("{{ '%s-%s' | format('a', 1) }}", "a-1"),
        ("{{ '%05.1f' | format(1.5) }}", "001.5"),
        ("{% set l = cycler('a', 'b') %}{{ l.next() }}{{ l.next() }}{{ '<b>a</b>' | striptags }}", "aba"),
        ("{% set a, b = 1, 2 %}{{ b }}", "2"),
        ("{% block b %}x{% endblock %}", "x"),
        ("{{ 'a b' | urlencode }}", "a%20b"),
        ("{{ {'a': [1]} | tojson }}", "{\"a\": [1]}"),
        ("{{ 'a b' | wordcount }}", "2"),
        ("{{ '7'.zfill(3) }} {{ '-7'.zfill(4) }} {{ 'abc'.zfill(2) }}", "007 -007 abc"),
        ("{{ 'a'.rjust(3, '.') }}{{ 'a'.ljust(3) }}|{{ 'ab'.center(5, '*') }}", "..aa  |**ab*"),
        ("{{ 'ab' | center(6) }}|{{ [] | random | default('x') }}", "  ab  |x"),
        ("{{ (range(3) | random) < 3 }} {{ 'aaa' | random }}", "True a"),
    ] {
        assert_eq!(text(template), expected, "{template}");
    }
}

#[test]
fn filters_of_minijinja_are_rejected() {
    for template in ["{{ 'a b' | split }}", "{{ 'yes' | bool }}"] {
        assert!(text(template).starts_with("broken: "), "{template}: {}", text(template));
    }
}

#[test]
fn features_of_jinja_are_skipped() {
    for template in [
        "{% do x %}a",
        "{{ 'http://a.example' | urlize }}",
        "{% set l = [] %}{% set _ = l.append('q') %}{{ l[0] }}",
        "{{ 1, 'a' }}",
        "{{ 1, }}",
        "{% if nothing, 0 %}a{% endif %}",
        "{% if a %}{% elif b, c %}d{% endif %}",
        "{% for x in 1, 2 %}{{ x }}{% endfor %}",
        "{% for in [1] %}{% endfor %}",
        "{{ '%s-%d' % ('a', 1) }}",
        "{{ '%s' % 'a' }}",
    ] {
        assert!(text(template).starts_with("unknown: "), "{template}: {}", text(template));
    }
}

#[test]
fn filters_get_the_placeholder_of_missing_variables() {
    for template in
        ["{{ ds.meta_data.name | lower }}", "{{ nothing | trim | upper }}", "{{ nothing | replace('x', 'y') }}"]
    {
        let Rendered::Text { text, warnings, .. } = render(&format!("## template: jinja\n{template}")) else {
            unreachable!("{}", text(template))
        };
        assert!(text.starts_with(MISSING), "{text}");
        assert_eq!(warnings.len(), 1, "{template}");
    }
    assert_eq!(
        text("{{ 'Ab' | lower }}{{ ' a ' | trim }}{{ 'aba' | replace('a', 'c') }}{{ 'a b' | title }}"),
        "abacbcA B"
    );
}
