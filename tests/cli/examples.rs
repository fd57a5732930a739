//! The projects in `examples/` are valid, and render to their golden files.

use crate::harness::{bless, mkimg, repository};

#[test]
fn examples_are_valid_and_match_their_fixtures() {
    let folder = repository().join("examples");
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let projects: Vec<_> = entries.filter(|path| path.join("templates").is_dir()).collect();
    assert_eq!(projects.len(), 3, "{projects:?}");
    for project in projects {
        if bless() {
            mkimg(&project).args(["diff", "--update"]).run().success();
        }
        mkimg(&project).args(["validate", "--deny", "warnings"]).run().success();
        mkimg(&project).args(["diff"]).run().success();
    }
}
