//! Files that are hidden, removed or not run, because of the directory in which they are.

use super::unnoticed::all_codes;

fn has(code: &str, path: &str, more: &str, rest: &str) -> bool {
    let text = format!("write_files:\n  - {{path: {path}, content: \"#!/bin/sh\\n\"{more}}}\n{rest}\n");
    all_codes(&text).contains(&code)
}

#[test]
fn files_below_mounts_are_reported() {
    let volume = "mounts:\n  - [/dev/sda, /mnt/data, ext4, 'defaults,nofail', '0', '2']";
    for (path, rest) in [
        ("/mnt/data/a", volume),
        ("/mnt/data//b/c", volume),
        ("/srv/a", "mounts: [[LABEL=x, /srv/]]"),
        ("/var/lib/docker/a", "mounts: [[tmpfs, /var/lib/docker, tmpfs]]"),
        ("/mnt/data/a", "runcmd:\n  - mount -o discard,defaults /dev/sda /mnt/data"),
        ("/mnt/data/a", "runcmd:\n  - mkdir -p /mnt/data && mount -t ext4 /dev/sda /mnt/data"),
    ] {
        assert!(has("MK416", path, "", rest), "{path} {rest}");
    }
    assert!(has("MK416", "/mnt/data/a", ", defer: true", "runcmd:\n  - mount /dev/sda /mnt/data"));
    for (path, rest) in [
        ("/mnt/a", volume),
        ("/mnt/database/a", volume),
        ("/mnt/data", volume),
        ("/etc/a", "mounts: [[/dev/vda1, /, ext4]]"),
        ("/mnt/data/a", "mounts: [[/dev/sda, /mnt/data, ext4, 'noauto,nofail']]"),
        ("/mnt/data/a", "mounts: [[swap, none, swap, sw]]"),
        ("/mnt/data/a", "mounts: [[/dev/sda]]"),
        ("/mnt/data/a", "mounts: [[/dev/sda, null]]"),
        ("/mnt/data/a", "mounts: [[overlay, /mnt/data, overlay, 'lowerdir=/mnt/data,upperdir=/a,workdir=/b']]"),
        ("/mnt/data/a", "runcmd:\n  - cp /mnt/data/a /etc/a\n  - mount /dev/sda /mnt/data"),
        ("/mnt/data/a", "runcmd:\n  - test -b /dev/sda && mount /dev/sda /mnt/data"),
        ("/mnt/data/a", "bootcmd:\n  - mount /dev/sda /mnt/data"),
        ("/mnt/data/a", "runcmd:\n  - mount -a"),
    ] {
        assert!(!has("MK416", path, "", rest), "{path} {rest}");
    }
    assert!(!has("MK416", "/mnt/data/a", ", defer: true", volume));
}

#[test]
fn files_in_tmp_are_reported() {
    for path in ["/tmp/a", "/tmp//a.yaml", "/tmp/dir/a", "/tmp/./a"] {
        assert!(has("MK417", path, "", ""), "{path}");
    }
    for path in ["/var/tmp/a", "/run/a", "/root/tmp/a", "/tmpfiles/a", "/etc/tmpfiles.d/a.conf", "/tmp"] {
        assert!(!has("MK417", path, "", ""), "{path}");
    }
    assert!(!has("MK417", "/tmp/a", ", defer: true", ""));
    assert!(!has("MK417", "/tmp/a", "", "mounts: [[tmpfs, /tmp, tmpfs]]"), "one finding is enough");
}

#[test]
fn scripts_that_are_skipped_are_reported() {
    for (path, more) in [
        ("/var/lib/cloud/scripts/per-instance/a", ", permissions: '0644'"),
        ("/var/lib/cloud/scripts/per-boot/a.sh", ""),
        ("/var/lib/cloud/scripts/per-once/a", ", permissions: '0600'"),
        ("/etc/update-motd.d/99-a", ""),
        ("/etc/network/if-up.d/a", ", permissions: '0644'"),
        ("/etc/NetworkManager/dispatcher.d/90-a", ""),
        ("/var/lib/cloud/instance/scripts/a", ""),
    ] {
        assert!(has("MK415", path, more, ""), "{path}");
        assert!(!has("MK210", path, more, ""), "{path}");
    }
    for (path, more, rest) in [
        ("/var/lib/cloud/scripts/per-instance/a", ", permissions: '0755'", ""),
        ("/etc/cron.daily/a", ", permissions: '0700'", ""),
        ("/etc/update-motd.d/99-a", "", "runcmd: [chmod +x /etc/update-motd.d/99-a]"),
        ("/etc/update-motd.d/99-a", ", permissions: '${mode}'", ""),
        ("/etc/cron.d/a", "", ""),
        ("/opt/a", "", ""),
        ("/etc/update-motd.d/lib/a", "", ""),
        ("/etc/profile.d/a.sh", "", ""),
    ] {
        assert!(!has("MK415", path, more, rest), "{path} {more} {rest}");
    }
    assert!(!all_codes("write_files: [{path: /etc/update-motd.d/README, content: text}]\n").contains(&"MK415"));
    // cron's directories have a rule of their own.
    for (path, more, rest, is_found) in [
        ("/etc/cron.daily/a", ", permissions: '0644'", "", true),
        ("/etc/cron.hourly/a", "", "", true),
        ("/etc/cron.daily/a", ", permissions: '0755'", "", false),
        ("/etc/cron.daily/a", "", "runcmd: [chmod +x /etc/cron.daily/a]", false),
    ] {
        assert_eq!(has("MK321", path, more, rest), is_found, "{path} {more} {rest}");
    }
}
