//! Lists of modules that replace a stage.

use super::{Options, lint_bytes};

fn replaced(text: &str) -> Vec<String> {
    let report = lint_bytes("t", format!("#cloud-config\n{text}").as_bytes(), &Options::default());
    let found = report.documents[0].findings.diagnostics.iter().filter(|found| found.rule.code == "MK221");
    found.map(|found| format!("{}: {}", found.path, found.message)).collect()
}

#[test]
fn lost_keys_of_replaced_stages_are_named() {
    for (text, expected) in [
        ("cloud_final_modules: [[scripts-user, always]]\npackages: [nginx]\n", "final stage, so `packages` has"),
        (
            "cloud_final_modules: []\npackages: [a]\nruncmd: [b]\npower_state: {mode: reboot}\n",
            "so `packages`, `runcmd` and `power_state` have",
        ),
        ("cloud_final_modules: [runcmd]\nruncmd: [ls]\n", "so `runcmd` has"),
        ("cloud_config_modules: [ntp]\nruncmd: [ls]\n", "config stage, so `runcmd` has"),
        ("cloud_config_modules:\n  - {name: runcmd}\napt: {conf: a}\nruncmd: [ls]\n", "so `apt` has"),
        ("cloud_init_modules: [bootcmd, ssh]\nusers: [{name: ada}]\nbootcmd: [ls]\n", "init stage, so `users` has"),
        (
            "cloud_final_modules: [scripts_user]\nwrite_files: [{path: /a, defer: true}]\n",
            "so `write_files[].defer` has",
        ),
        (
            "cloud_init_modules: [ssh]\ncloud_config_modules: [runcmd]\nchpasswd: {expire: false}\nruncmd: [ls]\n",
            "config stage, so `chpasswd` has",
        ),
    ] {
        let found = replaced(text);
        assert!(found.len() == 1 && found[0].contains(expected), "{text}: {found:?}");
    }
    for text in [
        "cloud_final_modules: [[scripts-user, always]]\n",
        "cloud_final_modules: [[scripts-user, always]]\nruncmd: [ls]\nwrite_files: [{path: /a}]\nbootcmd: [ls]\n",
        "cloud_final_modules: [package_update_upgrade_install, cc_power_state_change]\npackages: [a]\npower_state: {mode: reboot}\n",
        "cloud_final_modules: [scripts-user, package-update-upgrade-install]\npackages: [a]\nruncmd: [b]\n",
        "cloud_config_modules: [runcmd]\ncloud_final_modules: [[scripts-user, always], users-groups, write-files]\nruncmd: [ls]\nchpasswd: {expire: false}\n",
        "cloud_init_modules: [write-files]\nhostname: a\nwrite_files: [{path: /a}]\npackages: []\npower_state: null\n",
        "cloud_init_modules: []\nwrite_files: [{path: /a, defer: true}]\n",
        // Another module list has it.
        "cloud_config_modules: [package-update-upgrade-install]\ncloud_final_modules: []\npackages: [a]\n",
        "cloud_final_modules: []\npackages: [a]\nmerge_how: 'list(append)+dict(recurse_list)'\n",
        "cloud_final_modules: ['${modules}']\npackages: [a]\n",
        "cloud_final_modules: 5\npackages: [a]\n",
    ] {
        assert!(replaced(text).is_empty(), "{text}: {:?}", replaced(text));
    }
}
