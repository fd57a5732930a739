//! Checks sshd's configuration, /etc/fstab, sysctl settings, and JSON and YAML files.

use super::file::{Content, ContentFault};
use crate::places::json_error;
use crate::rules;
use diagnostics::did_you_mean;
use diagnostics::quoted;
use diagnostics::source::Span;

/// The keywords of sshd_config(5), with deprecated ones and those of Debian and Red Hat.
const SSHD: &str = "\
    AcceptEnv AddressFamily AllowAgentForwarding AllowGroups AllowStreamLocalForwarding AllowTcpForwarding AllowUsers \
    AuthenticationMethods AuthorizedKeysCommand AuthorizedKeysCommandUser AuthorizedKeysFile AuthorizedPrincipalsCommand \
    AuthorizedPrincipalsCommandUser AuthorizedPrincipalsFile Banner CASignatureAlgorithms ChallengeResponseAuthentication \
    ChannelTimeout ChrootDirectory Ciphers ClientAliveCountMax ClientAliveInterval Compression DebianBanner DenyGroups \
    DenyUsers DisableForwarding DSAAuthentication ExposeAuthInfo FingerprintHash ForceCommand GatewayPorts \
    GSSAPIAuthentication GSSAPICleanupCredentials GSSAPIEnablek5users GSSAPIKexAlgorithms GSSAPIKeyExchange \
    GSSAPIStoreCredentialsOnRekey GSSAPIStrictAcceptorCheck HostbasedAcceptedAlgorithms HostbasedAcceptedKeyTypes \
    HostbasedAuthentication HostbasedUsesNameFromPacketOnly HostCertificate HostKey HostKeyAgent HostKeyAlgorithms \
    IgnoreRhosts IgnoreUserKnownHosts Include IPQoS KbdInteractiveAuthentication KeepAlive KerberosAuthentication \
    KerberosGetAFSToken KerberosOrLocalPasswd KerberosTgtPassing KerberosTicketCleanup KerberosUniqueCCache \
    KerberosUseKuserok KexAlgorithms KeyRegenerationInterval ListenAddress LoginGraceTime LogLevel LogVerbose MACs Match \
    MaxAuthTries MaxSessions MaxStartups ModuliFile PAMServiceName PasswordAuthentication PermitEmptyPasswords PermitListen \
    PermitOpen PermitRootLogin PermitTTY PermitTunnel PermitUserEnvironment PermitUserRC PerSourceMaxStartups \
    PerSourceNetBlockSize PerSourcePenalties PerSourcePenaltyExemptList PidFile Port PrintLastLog PrintMotd Protocol \
    PubkeyAcceptedAlgorithms PubkeyAcceptedKeyTypes PubkeyAuthentication PubkeyAuthOptions RDomain RefuseConnection \
    RekeyLimit RequiredRSASize RevokedKeys RhostsRSAAuthentication RSAAuthentication RSAMinSize SecurityKeyProvider \
    ServerKeyBits SetEnv SkeyAuthentication SshdAuthPath SshdSessionPath StreamLocalBindMask StreamLocalBindUnlink \
    StrictModes Subsystem SyslogFacility TCPKeepAlive TrustedUserCAKeys UnusedConnectionTimeout UseDNS UseLogin UsePAM \
    UsePrivilegeSeparation VersionAddendum X11DisplayOffset X11Forwarding X11UseLocalhost XAuthLocation";

const YES_NO: &str = "yes no true false";
/// Keywords with fixed values.
const WORDS: &[(&str, &str)] = &[
    ("PasswordAuthentication", YES_NO),
    ("PubkeyAuthentication", YES_NO),
    ("KbdInteractiveAuthentication", YES_NO),
    ("ChallengeResponseAuthentication", YES_NO),
    ("PermitEmptyPasswords", YES_NO),
    ("UsePAM", YES_NO),
    ("UseDNS", YES_NO),
    ("StrictModes", YES_NO),
    ("X11Forwarding", YES_NO),
    ("PermitRootLogin", "yes no true false prohibit-password without-password forced-commands-only"),
];

/// The lines of a configuration file with their positions, trimmed, without comments and blank lines.
fn settings(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines =
        crate::places::lines(text).map(|(start, line)| (start + line.len() - line.trim_start().len(), line.trim()));
    lines.filter(|(_, bare)| !bare.is_empty() && !bare.starts_with('#'))
}

pub(super) fn check_sshd(content: &Content<'_>, out: &mut Vec<ContentFault>) {
    let below = content.path.strip_prefix("/etc/ssh/sshd_config");
    if !below.is_some_and(|rest| rest.is_empty() || rest.starts_with(".d/") && super::file::has_ending(rest, "conf")) {
        return;
    }
    for (at, bare) in settings(content.text) {
        let length = bare.find([' ', '\t', '=']).unwrap_or(bare.len());
        let (keyword, rest) = bare.split_at(length);
        let span = Span::new(at, at + length);
        let Some(known) = SSHD.split(' ').find(|known| known.eq_ignore_ascii_case(keyword)) else {
            if let Some(help) = did_you_mean(keyword, SSHD.split(' ')) {
                let message = format!("sshd does not know the keyword {}, and does not start", quoted(keyword));
                out.push(ContentFault::new(&rules::INVALID_SSHD_SETTING, span, message, Some(help)));
            }
            continue;
        };
        let value = rest.trim_start_matches([' ', '\t', '=']);
        let value = value.split([' ', '\t', '#']).next().unwrap_or_default().trim_matches('"');
        if value.is_empty() {
            let message = format!("the keyword {} has no value: sshd does not start", quoted(known));
            out.push(ContentFault::new(&rules::INVALID_SSHD_SETTING, span, message, Some("add a value".into())));
            continue;
        }
        let words = WORDS.iter().find(|(name, _)| *name == known).map(|(_, words)| *words);
        if let Some(words) = words.filter(|words| !words.split(' ').any(|word| word.eq_ignore_ascii_case(value))) {
            let from = at + bare.rfind(value).unwrap_or_default();
            let message = format!("{} does not accept the value {}: sshd does not start", quoted(known), quoted(value));
            let use_one =
                words.split(' ').filter(|word| !matches!(*word, "true" | "false")).collect::<Vec<_>>().join(", ");
            let help = Some(format!("use one of: {use_one}"));
            out.push(ContentFault::new(
                &rules::INVALID_SSHD_SETTING,
                Span::new(from, from + value.len()),
                message,
                help,
            ));
        }
    }
}

pub(super) fn check_fstab(content: &Content<'_>, out: &mut Vec<ContentFault>) {
    if content.path != "/etc/fstab" {
        return;
    }
    for (at, bare) in settings(content.text) {
        let span = Span::new(at, at + bare.len());
        let help =
            || Some("write `device mount-point type options 0 0`; use `\\040` for a space in a path".to_string());
        let fields: Vec<&str> = bare.split_ascii_whitespace().take_while(|field| !field.starts_with('#')).collect();
        if fields.len() < 3 {
            let message = format!("expected device, mount point and type, found {} fields", fields.len());
            out.push(ContentFault::new(&rules::MALFORMED_FSTAB, span, message, help()));
            continue;
        }
        if let Some(field) = fields.iter().skip(4).take(2).find(|field| field.parse::<i32>().is_err()) {
            let from = at + bare.rfind(field).unwrap_or_default();
            let message = format!("expected a number after the options, found {}", quoted(field));
            out.push(ContentFault::new(&rules::MALFORMED_FSTAB, Span::new(from, from + field.len()), message, help()));
        }
    }
}

pub(super) fn check_sysctl(content: &Content<'_>, out: &mut Vec<ContentFault>) {
    let below = content.path.strip_prefix("/etc/sysctl.d/");
    if below.is_none() && content.path != "/etc/sysctl.conf" {
        return;
    }
    let first = content.text.lines().next().unwrap_or_default().len();
    if let Some(name) = below.filter(|name| !super::file::has_ending(name, "conf")) {
        if !name.contains("README") && !name.contains('/') {
            let message = format!("sysctl ignores a file named {}", quoted(name));
            let help = Some(format!("name it {}", quoted(&format!("{name}.conf"))));
            out.push(ContentFault::new(&rules::MALFORMED_SYSCTL, Span::new(0, first), message, help));
        }
        return;
    }
    // `-name` excludes a name from a glob.
    let is_malformed = |bare: &str| !bare.starts_with([';', '-']) && !bare.contains('=');
    for (at, bare) in settings(content.text).filter(|(_, bare)| is_malformed(bare)) {
        let message = format!("expected `name = value`, found {}", quoted(bare));
        out.push(ContentFault::new(&rules::MALFORMED_SYSCTL, Span::new(at, at + bare.len()), message, None));
    }
}

/// Larger files are not parsed.
const MAX_FILE_BYTES: usize = 1024 * 1024;

/// Checks JSON and YAML files. Extensions that some programs accept (comments, templates, several
/// documents, tags) are not reported.
pub(super) fn check_json_and_yaml(content: &Content<'_>, out: &mut Vec<ContentFault>) {
    let ending = content.path.rsplit_once('.').map(|(_, ending)| ending);
    let is_json = ending == Some("json");
    if !(is_json || matches!(ending, Some("yaml" | "yml"))) || content.appends || content.text.len() > MAX_FILE_BYTES {
        return;
    }
    let text = content.text;
    if text.trim().is_empty() || ["{{", "{%", "<%", "${"].iter().any(|mark| text.contains(mark)) {
        return;
    }
    out.extend(if is_json { check_json(text) } else { check_yaml(text) });
}

fn check_json(text: &str) -> Option<ContentFault> {
    let error = serde_json::from_str::<serde::de::IgnoredAny>(text).err()?;
    let has_comments =
        text.lines().any(|line| ["//", "/*", "#"].iter().any(|mark| line.trim_start().starts_with(mark)));
    let (reason, at) = json_error(text, &error);
    // Several documents, or nesting that is too deep for our parser.
    if has_comments || reason.contains("recursion") || text.starts_with('\u{feff}') {
        return None;
    }
    if reason.starts_with("trailing characters") && text[at..].starts_with(['{', '[']) {
        return None;
    }
    let end = text[at..].chars().next().map_or(at, |c| at + if c == '\n' { 0 } else { c.len_utf8() });
    let message = format!("this file is not valid JSON: {reason}");
    Some(ContentFault::new(&rules::INVALID_JSON, Span::new(at, end), message, None))
}

fn check_yaml(text: &str) -> Option<ContentFault> {
    // Extensions that other YAML parsers accept: custom tags, several documents, directives.
    let is_extension = |line: &str| {
        line.starts_with("---")
            || line.starts_with('%')
            || line.contains(" !")
            || line.starts_with('!')
            || line.contains("\\/")
    };
    let start = text.strip_prefix("---").unwrap_or(text);
    if start.lines().any(is_extension) {
        return None;
    }
    let error = yaml11::parse(text).err()?;
    let ours = ["tag", "anchor", "alias", "levels", "values", "document", "escape", "merge", "character"];
    if ours.iter().any(|word| error.message.contains(word)) {
        return None;
    }
    Some(ContentFault::new(
        &rules::INVALID_YAML_FILE,
        error.reported_span(),
        format!("this file is not valid YAML: {}", error.message),
        None,
    ))
}
