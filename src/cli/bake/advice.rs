//! What to do about a failed bake. The bake's errors are typed data; here the command line adds its
//! options' names.

use super::prepare::TemplatePlaces;
use crate::bake::outcome::PreflightRemedy;
use crate::bake::ports::{ProviderError, ProviderErrorKind, RunnerError};
use crate::bake::{Failure, FailureKind, LimitKind};

/// The option that sets a limit.
fn option(limit: LimitKind) -> Option<&'static str> {
    match limit {
        LimitKind::Create => Some("--timeout-create"),
        LimitKind::Provision => Some("--timeout-provision"),
        LimitKind::PowerOff => Some("--timeout-power-off"),
        LimitKind::Snapshot => Some("--timeout-snapshot"),
        LimitKind::Transfer => Some("--timeout-transfer"),
        LimitKind::Verify => Some("--timeout-verify"),
        LimitKind::Unreachable => Some("--timeout-unreachable"),
        LimitKind::Destroy => None,
    }
}

/// What to do about a failed bake.
pub(in crate::cli) fn for_failure(failure: &Failure) -> Option<String> {
    match &failure.kind {
        FailureKind::Provider(error) => for_provider_error(error),
        FailureKind::Unavailable { last, .. } => {
            let advice = last.advice.as_deref().or(general_advice(last.kind)).unwrap_or("try again later");
            Some(format!("{advice}; to wait longer: --timeout-unreachable"))
        }
        FailureKind::Timeout { kind, log, .. } => match (log, option(*kind)) {
            (Some(log), Some(option)) => Some(format!("the droplet's log so far: {log}; a longer limit: {option}")),
            (Some(log), None) => Some(format!("the droplet's log so far: {log}")),
            (None, option) => option.map(|option| format!("a longer limit: {option}")),
        },
        FailureKind::Runner(runner) => {
            let keep = "`--on-error keep` keeps the droplet to look inside";
            Some(match &runner.log {
                Some(log) => format!("the droplet's whole log: {log}; {keep}"),
                None => keep.to_owned(),
            })
        }
        FailureKind::Droplet(_) => Some("`--on-error keep` keeps the droplet to look at its console".to_owned()),
        FailureKind::Upload(_) => Some("run the bake again: it copies the files to upload first".to_owned()),
        FailureKind::Journal(_) => Some("free some space, or set XDG_STATE_HOME to another disk".to_owned()),
        FailureKind::ActionErrored { .. } | FailureKind::CreateLost { .. } => {
            Some("try again; if it repeats, the provider's support can look it up by these numbers".to_owned())
        }
        FailureKind::Snapshot(_) | FailureKind::Earlier(_) | FailureKind::Preflight(_) => None,
    }
}

/// What cloud-init could not do, and the place in the template that says it.
pub(in crate::cli) fn place_in_template<'p>(
    error: &RunnerError,
    places: &'p TemplatePlaces,
) -> Option<&'p (String, String)> {
    if error.step != "cloud-init" {
        return None;
    }
    // A module has the name of its key, or a longer one: `apt_configure`, in 22.4 `apt-configure`.
    let message = error.message.replace('-', "_");
    let words = || message.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let is_named = |key: &str| {
        words().any(|word| word.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with('_')))
    };
    places.iter().find(|(key, _)| is_named(key))
}

/// The provider's own advice, or what helps against this kind of error.
pub(in crate::cli) fn for_provider_error(error: &ProviderError) -> Option<String> {
    match (&error.advice, error.kind) {
        (Some(advice), ProviderErrorKind::Unanswered) => Some(format!("try again later; {advice}")),
        (Some(advice), _) => Some(advice.clone()),
        (None, kind) => general_advice(kind).map(str::to_owned),
    }
}

fn general_advice(kind: ProviderErrorKind) -> Option<&'static str> {
    match kind {
        ProviderErrorKind::Unreachable => Some("check the network, and that --api-url is right"),
        ProviderErrorKind::Unanswered => Some("try again later"),
        ProviderErrorKind::RateLimited => {
            Some("too many requests with this account's tokens: wait, or use a longer --poll-interval")
        }
        _ => None,
    }
}

/// A failed preflight, each problem with its remedy; any other failure as it is.
pub(in crate::cli) fn describe(failure: &Failure) -> String {
    let FailureKind::Preflight(problems) = &failure.kind else { return failure.to_string() };
    let problems: Vec<String> = problems
        .iter()
        .map(|problem| match problem.remedy {
            None => problem.message.clone(),
            Some(PreflightRemedy::FreeDroplets) => {
                format!(
                    "{}: destroy one (`mkimg gc` finds orphans of bakes), or ask for a higher limit",
                    problem.message
                )
            }
            Some(PreflightRemedy::FewerBakes(free)) => format!("{}: --parallel {free}", problem.message),
            Some(PreflightRemedy::NameSshKey) => {
                format!("{}: --ssh-key takes its number or fingerprint", problem.message)
            }
        })
        .collect();
    format!("{}: {}", failure.stage, problems.join("; "))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::bake::Stage;
    use crate::bake::outcome::PreflightProblem;

    /// Every option that advice names exists.
    #[test]
    fn limits_have_options() {
        let mut command = crate::cli::description();
        command.build();
        let bake = command.find_subcommand("bake").unwrap();
        for (limit, expected) in [
            (LimitKind::Create, "--timeout-create"),
            (LimitKind::Provision, "--timeout-provision"),
            (LimitKind::PowerOff, "--timeout-power-off"),
            (LimitKind::Snapshot, "--timeout-snapshot"),
            (LimitKind::Transfer, "--timeout-transfer"),
            (LimitKind::Verify, "--timeout-verify"),
            (LimitKind::Unreachable, "--timeout-unreachable"),
        ] {
            assert_eq!(option(limit), Some(expected));
            let known =
                bake.get_arguments().filter_map(clap::Arg::get_long).any(|long| expected == format!("--{long}"));
            assert!(known, "{expected}");
        }
        assert_eq!(option(LimitKind::Destroy), None);
    }

    #[test]
    fn what_cloud_init_could_not_do_has_a_place() {
        let places: TemplatePlaces =
            [("apt", "t:30:3"), ("ntp", "t:40:3"), ("write_files", "t:10:3"), ("user", "t:5:3")]
                .map(|(key, place)| (key.to_owned(), place.to_owned()))
                .to_vec();
        let place = |step: &str, message: &str| {
            let error = RunnerError { step: step.into(), message: message.into(), exit: None, tail: String::new() };
            place_in_template(&error, &places).map(|(key, place)| format!("{key} {place}"))
        };
        let failed = |module: &str| format!("cloud-init could not do all that the document says: {module}");
        for (message, expected) in [
            (failed("write-files: OSError('Unknown user or group')"), Some("write_files t:10:3")),
            (failed("write_files: OSError('Unknown user or group')"), Some("write_files t:10:3")),
            (failed("apt-configure: ValueError('x')"), Some("apt t:30:3")),
            (failed("apt_configure: ValueError('x')"), Some("apt t:30:3")),
            (failed("Failed to create user ada"), Some("user t:5:3")),
            (failed("captured: x"), None),
        ] {
            assert_eq!(place("cloud-init", &message).as_deref(), expected, "{message}");
        }
        assert_eq!(place("script 01-apt.sh", "apt failed"), None);
    }

    #[test]
    fn a_timeout_names_its_option() {
        let kind = FailureKind::Timeout {
            what: "droplet 1 becoming active".to_owned(),
            kind: LimitKind::Create,
            limit: Duration::from_secs(360),
            last: None,
            log: None,
        };
        let failure = Failure { stage: Stage::Boot, kind };
        assert_eq!(failure.to_string(), "boot: droplet 1 becoming active took longer than 6m");
        assert_eq!(for_failure(&failure).unwrap(), "a longer limit: --timeout-create");
    }

    #[test]
    fn a_preflight_problem_has_its_remedy() {
        let problem = |message: &str, remedy| PreflightProblem { message: message.to_owned(), remedy };
        let problems = vec![
            problem("the account has no SSH key `18`", Some(PreflightRemedy::NameSshKey)),
            problem("there is no region `mars1`", None),
            problem("2 bakes run at a time", Some(PreflightRemedy::FewerBakes(1))),
        ];
        let failure = Failure { stage: Stage::Preflight, kind: FailureKind::Preflight(problems) };
        assert_eq!(
            describe(&failure),
            "preflight: the account has no SSH key `18`: --ssh-key takes its number or fingerprint; there is no region \
             `mars1`; 2 bakes run at a time: --parallel 1"
        );
    }

    /// The next step of each failure; "" for none.
    #[test]
    fn each_failure_has_its_next_step() {
        use crate::bake::journal::JournalError;
        use crate::bake::outcome::RunnerFailure;
        use FailureKind as Kind;
        use ProviderErrorKind as Error;

        let error = |kind, advice: Option<&str>| ProviderError {
            kind,
            request: "GET /v2/account".to_owned(),
            status: None,
            request_id: None,
            message: "no".to_owned(),
            advice: advice.map(str::to_owned),
            retry_after: None,
        };
        let boxed = |kind| Box::new(error(kind, None));
        let timeout = |kind, log: Option<&str>| Kind::Timeout {
            what: "x".to_owned(),
            kind,
            limit: Duration::from_secs(1),
            last: None,
            log: log.map(Into::into),
        };
        let runner = |log: Option<&str>| {
            Kind::Runner(Box::new(RunnerFailure { log: log.map(str::to_owned), ..RunnerFailure::default() }))
        };
        let support = "try again; if it repeats, the provider's support can look it up by these numbers";
        for (kind, expected) in [
            (Kind::Provider(boxed(Error::Unauthorized)), String::new()),
            (Kind::Provider(Box::new(error(Error::Unauthorized, Some("make a token")))), "make a token".to_owned()),
            (Kind::Provider(boxed(Error::Unreachable)), "check the network, and that --api-url is right".to_owned()),
            (Kind::Provider(boxed(Error::Unanswered)), "try again later".to_owned()),
            (
                Kind::Provider(boxed(Error::RateLimited)),
                "too many requests with this account's tokens: wait, or use a longer --poll-interval".to_owned(),
            ),
            (
                Kind::Provider(Box::new(error(Error::Unanswered, Some("look here")))),
                "try again later; look here".to_owned(),
            ),
            (
                Kind::Unavailable { what: "x".into(), budget: Duration::from_secs(1), last: boxed(Error::Unanswered) },
                "try again later; to wait longer: --timeout-unreachable".to_owned(),
            ),
            (timeout(LimitKind::Verify, None), "a longer limit: --timeout-verify".to_owned()),
            (
                timeout(LimitKind::Provision, Some("l")),
                "the droplet's log so far: l; a longer limit: --timeout-provision".to_owned(),
            ),
            (timeout(LimitKind::Destroy, Some("l")), "the droplet's log so far: l".to_owned()),
            (timeout(LimitKind::Destroy, None), String::new()),
            (runner(None), "`--on-error keep` keeps the droplet to look inside".to_owned()),
            (
                runner(Some("l")),
                "the droplet's whole log: l; `--on-error keep` keeps the droplet to look inside".to_owned(),
            ),
            (Kind::Droplet("x".into()), "`--on-error keep` keeps the droplet to look at its console".to_owned()),
            (
                Kind::Journal(JournalError { path: "p".into(), reason: "r".into() }),
                "free some space, or set XDG_STATE_HOME to another disk".to_owned(),
            ),
            (Kind::ActionErrored { action: 1, what: "x".into() }, support.to_owned()),
            (Kind::CreateLost { attempts: 3, last: boxed(Error::Unanswered) }, support.to_owned()),
            (Kind::Snapshot("x".into()), String::new()),
            (Kind::Earlier("x".into()), String::new()),
        ] {
            let failure = Failure { stage: Stage::Boot, kind };
            assert_eq!(for_failure(&failure).unwrap_or_default(), expected, "{failure}");
        }
    }
}
