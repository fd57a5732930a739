//! Rules about image templates: `mkimg validate` runs on their examples in a project. Also the options that name providers.

use mkimg::validate::rules::REGISTRY;

use crate::harness::mkimg;

/// The codes that a project with this template gives.
fn codes(template: &str) -> Vec<String> {
    let project = tempfile::tempdir().unwrap();
    std::fs::create_dir(project.path().join("templates")).unwrap();
    std::fs::create_dir(project.path().join("scripts")).unwrap();
    std::fs::write(project.path().join("scripts/firewall.sh"), "#!/bin/sh\nufw --force enable\n").unwrap();
    let template = format!("{template}scripts: [scripts/firewall.sh]\n");
    std::fs::write(project.path().join("templates/a.yaml"), template).unwrap();
    let report = mkimg(project.path()).args(["validate", "--format", "json"]).run().json();
    let documents = report["documents"].as_array().unwrap();
    let found = documents.iter().flat_map(|document| document["diagnostics"].as_array().unwrap());
    found.map(|found| found["code"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn examples_of_templates_are_judged_as_they_say() {
    let rules: Vec<_> = REGISTRY.iter().filter(|rule| rule.about_templates).collect();
    assert!(rules.len() >= 3);
    for rule in rules {
        for bad in rule.bad {
            let found = codes(std::str::from_utf8(bad).unwrap());
            assert!(found.contains(&rule.code.to_owned()), "{}: {found:?}", rule.code);
        }
        for good in rule.good {
            let found = codes(std::str::from_utf8(good).unwrap());
            assert!(found.is_empty(), "{}: {found:?}", rule.code);
        }
    }
}

#[test]
fn what_a_template_downloads_and_asks_for_is_judged_where_it_stands() {
    let template = "variables: {version: \"24.3.1\"}\nartifacts:\n  - {url: 'https://binaries.cockroachdb.com/cockroach-v{{ version }}.linux-amd64.tgz', unpack: {cockroach: /usr/local/bin/cockroach}}\ndroplet: {image: ubuntu-24-04-x64, region: nyc3, size: s-1vcpu-1gb, monitoring: true}\nupgrade: true\nsnapshot: {name: a}\n";
    let mut found = codes(template);
    found.sort();
    // Reported once, at the template and not at the rendered document.
    assert_eq!(found, ["MK384", "MK390", "MK391"]);
    assert!(!codes(&template.replace("24.3.1", "24.1.6")).contains(&"MK390".to_owned()));
}

#[test]
fn providers_and_limits() {
    let folder = tempfile::tempdir().unwrap();
    let entry = |name: &str, bytes: usize| format!("  - path: /{name}\n    content: {}\n", "a b ".repeat(bytes / 4));
    let text = format!("#cloud-config\nwrite_files:\n{}{}", entry("small", 100), entry("large", 50_000));
    std::fs::write(folder.path().join("a.yaml"), &text).unwrap();
    let run = |arguments: &[&str]| {
        let (exit, stdout, stderr) =
            mkimg(folder.path()).arg("validate").args(arguments).arg("a.yaml").run().into_parts();
        (exit, stdout + &stderr)
    };
    assert_eq!(run(&[]).0, 0);
    let (status, printed) = run(&["--provider", "ec2", "--provider", "hetzner", "--provider", "azure"]);
    assert_eq!(status, 1);
    let over = |limit: usize| format!("{} more than fit", text.len() - limit);
    assert!(
        printed.contains(&over(16_384)) && printed.contains("Amazon EC2") && printed.contains(&over(32_768)),
        "{printed}"
    );
    assert!(!printed.contains("Azure") && printed.contains("the largest are `/large`"), "{printed}");
    let (status, printed) = run(&["--provider", "ovh"]);
    assert_eq!(status, 1, "66,000 bytes of base64: {printed}");
    assert!(printed.contains("in base64"), "{printed}");
    assert_eq!(run(&["--limit", "none"]).0, 0);
    let (status, printed) = run(&["--limit", "40000"]);
    assert!(status == 1 && printed.contains("more than the limit of 40000"), "{printed}");
    let (status, printed) = run(&["--provider", "nobody"]);
    assert!(status == 2 && printed.contains("hetzner"), "{printed}");
}
