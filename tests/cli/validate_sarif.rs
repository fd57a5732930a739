//! SARIF output, checked with the SARIF schema. `MKIMG_SARIF_SCHEMA` names the schema file (`sarif-schema-2.1.0.json`), which
//! this repository may not include. Without it, only what GitHub's code scanning needs is checked.

use mkimg::validate::rules::REGISTRY;

use crate::harness::{mkimg, python, tests};

/// Arguments: the schema, then logs. Each log conforms, and no longer does with a level that SARIF does not define.
const CONFORMS: &str = r#"
import json, sys, jsonschema
schema = json.load(open(sys.argv[1]))
validator = jsonschema.validators.validator_for(schema)
validator.check_schema(schema)
validator = validator(schema, format_checker=validator.FORMAT_CHECKER)
for path in sys.argv[2:]:
    log = json.load(open(path))
    validator.validate(log)
    log["runs"][0]["results"][0]["level"] = "fatal"
    assert not validator.is_valid(log), path
"#;

#[test]
fn every_log_conforms() {
    let scratch = tempfile::tempdir().unwrap();
    let examples = scratch.path().join("examples");
    std::fs::create_dir(&examples).unwrap();
    for rule in REGISTRY {
        for bad in rule.bad {
            std::fs::write(examples.join(format!("{}, bad: 100%.yaml", rule.code)), bad).unwrap();
        }
    }
    let cases = tests("cases/validate");
    let mut folders: Vec<_> = std::fs::read_dir(cases).unwrap().map(|case| case.unwrap().path()).collect();
    folders.sort();
    folders.push(examples);
    let mut logs = Vec::new();
    for folder in &folders {
        let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> =
            names.filter(|name| !["args", "stdout", "stderr", "status"].contains(&name.as_str())).collect();
        names.sort();
        if names.is_empty() {
            continue;
        }
        let log = mkimg(folder).args(["validate", "--format", "sarif"]).args(&names).run();
        let value = log.json();
        let run = &value["runs"][0];
        let results = run["results"].as_array().unwrap();
        for result in results {
            let location = &result["locations"][0]["physicalLocation"]["artifactLocation"];
            assert_eq!(location["uriBaseId"], "%SRCROOT%", "{result}");
            assert!(!result["partialFingerprints"]["primaryLocationLineHash"].as_str().unwrap().is_empty());
            let rule = &run["tool"]["driver"]["rules"][usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap()];
            assert_eq!(rule["id"], result["ruleId"]);
            assert!(rule["help"]["markdown"].as_str().unwrap().starts_with("# MK"), "{rule}");
        }
        let prints: std::collections::BTreeSet<String> = results
            .iter()
            .map(|result| format!("{}{}{}", result["ruleId"], result["locations"], result["partialFingerprints"]))
            .collect();
        assert_eq!(prints.len(), results.len(), "two alerts would be one: {}", folder.display());
        if !results.is_empty() {
            let file = scratch.path().join(format!("{}.sarif", logs.len()));
            std::fs::write(&file, log.stdout).unwrap();
            logs.push(file);
        }
    }
    assert!(logs.len() > 15, "only {} logs have results", logs.len());
    let Some(schema) = std::env::var_os("MKIMG_SARIF_SCHEMA") else {
        eprintln!("SKIPPED: MKIMG_SARIF_SCHEMA names no schema of SARIF's to compare with");
        return;
    };
    python(CONFORMS, std::iter::once(schema).chain(logs.into_iter().map(Into::into)));
}
