//! Commands of `bootcmd` that must not run in every boot, or that run too early.

use super::unnoticed::all_codes;

fn has(code: &str, items: &str) -> bool {
    let found = all_codes(&format!("bootcmd:\n{items}\n"));
    found.contains(&code)
}

#[test]
fn formatting_is_reported() {
    for item in [
        "mkfs.ext4 /dev/sda",
        "sudo mkfs -t ext4 -F /dev/disk/by-id/scsi-0DO_Volume_data",
        "[ mkfs.ext4, -L, data, /dev/vdb ]",
        "mkdir -p /mnt/data && mkfs.ext4 -F /dev/sda && mount /dev/sda /mnt/data",
        "mkfs.xfs -f /dev/vdb1",
        "mke2fs -t ext4 /dev/nvme1n1",
        "parted -s /dev/sda mklabel gpt",
        "parted -s /dev/sda 'mklabel gpt mkpart primary ext4 0% 100%'",
        "sgdisk --zap-all /dev/sda",
        "sgdisk -n 1:0:0 /dev/vdb",
        "echo ',,L' | sfdisk /dev/vdb",
        "wipefs -a /dev/sda",
        "dd if=/dev/zero of=/dev/vdb bs=1M count=10",
        "[ sh, -c, 'mkfs.ext4 /dev/sda' ]",
        "printf 'n\\np\\n1\\n\\n\\nw\\n' | fdisk /dev/sdb",
        "for d in sdb sdc; do mkfs.ext4 /dev/$d; done",
    ] {
        assert!(has("MK411", &format!("  - {item}")), "{item}");
    }
    for item in [
        "[ cloud-init-per, once, format, mkfs.ext4, /dev/sda ]",
        "cloud-init-per instance format mkfs.ext4 /dev/sda",
        "blkid /dev/sda || mkfs.ext4 /dev/sda",
        "test -e /etc/done || mkfs.ext4 /dev/sda",
        "if ! blkid /dev/sda; then mkfs.ext4 /dev/sda; fi",
        "'[ -z \"$(lsblk -no FSTYPE /dev/sda)\" ] && mkfs.ext4 /dev/sda'",
        "lsblk -f /dev/sda | grep -q ext4 || { mkfs.ext4 /dev/sda; }",
        "mkfs.xfs /dev/vdb",
        "mkfs.ext4 /dev/ram0",
        "parted -s /dev/sda print",
        "parted -s /dev/sda resizepart 1 100%",
        "sgdisk -p /dev/sda",
        "echo ', +' | sfdisk -N 1 /dev/sda",
        "fdisk -l /dev/sda",
        "growpart /dev/sda 1",
        "echo mkfs.ext4 /dev/sda",
        "dd if=/dev/zero of=/swapfile bs=1M count=100",
        "wipefs /dev/sda",
        "test -e /etc/done && exit 0\n  - mkfs.ext4 /dev/sda",
        "exit 0\n  - mkfs.ext4 /dev/sda",
        "for d in $(lsblk -dno NAME); do mkfs.ext4 /dev/$d; done",
        "for d in sdb sdc; do blkid /dev/$d || mkfs.ext4 /dev/$d; done",
        "for d in sdb sdc; do if ! blkid /dev/$d; then mkfs.ext4 /dev/$d; fi; done",
        "for d in sdb sdc; do test -e /etc/$d && mkfs.ext4 /dev/$d; done",
        "if ! blkid /dev/sda; then\n  - mkfs.ext4 /dev/sda\n  - fi",
    ] {
        assert!(!has("MK411", &format!("  - {item}")), "{item}");
    }
    let script = |path: &str, body: &str| {
        let text = format!(
            "write_files:\n  - path: {path}\n    permissions: '0755'\n    content: |\n      #!/bin/sh\n      {body}\n"
        );
        all_codes(&text).contains(&"MK411")
    };
    assert!(script("/var/lib/cloud/scripts/per-boot/a", "mkfs.ext4 /dev/sda"));
    assert!(!script("/var/lib/cloud/scripts/per-boot/a", "blkid /dev/sda && exit 0\n      mkfs.ext4 /dev/sda"));
    assert!(!script("/var/lib/cloud/scripts/per-boot/a", "set -e\n      [ ! -e /etc/done ]\n      mkfs.ext4 /dev/sda"));
    assert!(!script("/var/lib/cloud/scripts/per-instance/a", "mkfs.ext4 /dev/sda"));
    for (text, is_found) in [
        ("#cloud-boothook\n#!/bin/sh\nmkfs.ext4 /dev/sda\n", true),
        ("#cloud-boothook\n#!/bin/sh\nblkid /dev/sda || mkfs.ext4 /dev/sda\n", false),
        ("#!/bin/sh\nmkfs.ext4 /dev/sda\n", false),
    ] {
        let report = crate::lint_bytes("t", text.as_bytes(), &crate::Options::default());
        let found = &report.documents[0].findings.diagnostics;
        assert_eq!(found.iter().any(|found| found.rule.code == "MK411"), is_found, "{text}");
    }
    assert!(!all_codes("runcmd:\n  - mkfs.ext4 /dev/sda\n").contains(&"MK411"));
}

#[test]
fn appending_is_reported() {
    for item in [
        "echo 'x' >> /etc/fstab",
        "echo x | tee -a /etc/sysctl.conf",
        "[ sh, -c, 'echo nameserver >> /etc/x.conf' ]",
        "mkdir -p /etc/x && echo y >> /etc/x/z",
        "cat /root/a >> /root/.bashrc",
        "|\n    cat >> /etc/environment <<EOF\n    A=b\n    EOF",
        "printf 'a\\n' >>/etc/modules",
    ] {
        assert!(has("MK412", &format!("  - {item}")), "{item}");
    }
    for item in [
        "grep -q x /etc/fstab || echo x >> /etc/fstab",
        "cloud-init-per once fstab sh -c 'echo x >> /etc/fstab'",
        "[ cloud-init-per, once, fstab, sh, -c, 'echo x >> /etc/fstab' ]",
        "echo started >> /var/log/boot-times",
        "echo x >> /tmp/a",
        "echo x > /etc/a; echo y >> /etc/a",
        "sed -i /x/d /etc/fstab; echo x >> /etc/fstab",
        "echo x > /etc/a",
        "echo $(date) >> /root/boots",
        "echo 192.168.1.130 mirror >> /etc/hosts",
        "mkfs.ext4 /dev/ram0 >> /opt/out",
        "echo x >> $FILE",
        "rm -f /etc/a\n  - echo x >> /etc/a",
    ] {
        assert!(!has("MK412", &format!("  - {item}")), "{item}");
    }
}

#[test]
fn downloads_are_reported() {
    for item in [
        "curl -fsSL https://example.org/key -o /etc/apt/keyrings/a.asc",
        "wget -qO /usr/share/keyrings/a.gpg https://example.org/a.gpg",
        "[ curl, -o, /opt/x, 'https://example.org/x' ]",
        "mkdir -p /opt && curl https://example.org/x -o /opt/x",
        "cloud-init-per once get wget https://example.org/x",
        "git clone https://example.org/x.git /opt/x",
        "pip3 install awscli",
        "apt-key adv --keyserver hkp://keyserver.ubuntu.com:80 --recv-keys 0A",
        "gpg --keyserver=keys.openpgp.org --recv-keys 0A",
        "curl -s https://example.org/key | gpg --dearmor > /etc/apt/keyrings/x.gpg",
    ] {
        assert!(has("MK413", &format!("  - {item}")), "{item}");
    }
    for item in [
        "curl -s http://169.254.169.254/metadata/v1/id -o /run/id",
        "curl http://127.0.0.1/x",
        "curl http://10.0.0.5/x -o /x",
        "curl -H 'Metadata-Flavor: Google' http://metadata.google.internal/x",
        "until curl -fsS https://example.org/x -o /x; do sleep 1; done",
        "while ! ping -c1 example.org; do sleep 1; done\n  - curl https://example.org/x -o /x",
        "curl --retry 10 https://example.org/x -o /x",
        "echo nameserver 1.1.1.1 > /etc/resolv.conf\n  - curl https://example.org/x -o /x",
        "echo curl https://example.org/x",
        "curl file:///opt/x",
        "curl $URL",
        "pip install /opt/a.whl",
        "gpg --import /opt/a.asc",
    ] {
        assert!(!has("MK413", &format!("  - {item}")), "{item}");
    }
    assert!(!all_codes("runcmd:\n  - curl https://example.org/x -o /x\n").contains(&"MK413"));
}
