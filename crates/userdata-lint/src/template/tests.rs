use super::*;

fn text(template: &str) -> String {
    match render(&format!("## template: jinja\n{template}")) {
        Rendered::Text { text, .. } => text,
        Rendered::Invalid(finding) | Rendered::Ignored(finding) => format!("broken: {}", finding.message),
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

/// The warnings of a template: place and message.
fn warnings(template: &str) -> Vec<(String, String)> {
    let whole = format!("## template: jinja\n{template}");
    let found = match render(&whole) {
        Rendered::Text { warnings, .. } => warnings,
        Rendered::Ignored(finding) => vec![finding],
        Rendered::Invalid(_) | Rendered::Unsupported(_) => panic!("{template}: {}", text(template)),
    };
    let place = |found: &Diagnostic| found.span.map(|span| whole[span.start..span.end].to_owned()).unwrap_or_default();
    found.iter().map(|found| (place(found), found.message.clone())).collect()
}

/// As Jinja 3.1 and cloud-init 26.2: `default` does not help below a missing variable.
#[test]
fn variables_below_a_missing_one_are_reported() {
    for (template, place, parent) in [
        ("{{ ds.meta_data.a.b }}", "ds.meta_data.a.b", "ds.meta_data.a"),
        ("{{ ds.meta_data.a.b | default('c') }}", "ds.meta_data.a.b", "ds.meta_data.a"),
        ("{{ ds.meta_data.a.b.c | default('c') }}", "ds.meta_data.a.b", "ds.meta_data.a"),
        ("{{ ds['meta_data']['a']['b'] }}", "ds['meta_data']['a']['b']", "ds['meta_data']['a']"),
        ("{% if ds.meta_data.a.b is defined %}c{% endif %}", "ds.meta_data.a.b", "ds.meta_data.a"),
        ("{{ v1.a.b | default('c') }}", "v1.a.b", "v1.a"),
    ] {
        let found = warnings(template);
        let expected = format!("if `{parent}` does not exist on the machine, cloud-init ignores the whole document");
        assert_eq!(found, [(place.to_owned(), expected)], "{template}");
    }
    for template in [
        "{{ ds.meta_data.a | default('b') }}",
        "{% if ds.meta_data.a is defined %}{{ ds.meta_data.a.b }}{% endif %}",
        "{% if ds.meta_data.a %}{{ ds.meta_data.a.b }}{% endif %}",
        "{{ (ds.meta_data.a | default({})).b | default('c') }}",
        "{{ merged_cfg.a.b }}{{ sys_info.a.b.c }}",
        "{% for a in ds.meta_data.b %}{{ a.c.d }}{% endfor %}",
        "{{ ds.meta_data.local_hostname }} {{ ds['meta_data']['local-hostname'] }} {{ ds.meta_data.instance_id }}",
        "{{ v1.local_hostname }} {{ local_hostname }} {{ v1['instance-id'] }}",
    ] {
        assert_eq!(warnings(template), [], "{template}");
    }
}

#[test]
fn names_with_minus_are_reported() {
    for (template, name) in [
        ("{{ v1.local-hostname }}", "v1.local-hostname"),
        ("{{ ds.meta_data.public-keys }}", "ds.meta_data.public-keys"),
        ("a\n{{ 'x-y' ~ ds.meta_data.local-hostname | default('a-b') }}", "ds.meta_data.local-hostname"),
        ("{% if v1.cloud-name == 'a' %}b{% endif %}", "v1.cloud-name"),
        ("{{ instance-id }}", "instance-id"),
    ] {
        let found = warnings(template);
        let expected = format!("Jinja reads the `-` in `{name}` as a minus, and cloud-init ignores the document");
        assert_eq!(found, [(name.to_owned(), expected)], "{template}");
    }
    for template in [
        "{{ 5 - 2 }}",
        "{{ 7-2 }}",
        "{{ v1.region }}-{{ v1.cloud_name }}",
        "{{- v1.region -}}",
        "{% set a = 3 %}{{ a-1 }}",
    ] {
        assert_eq!(warnings(template), [], "{template}");
    }
}
