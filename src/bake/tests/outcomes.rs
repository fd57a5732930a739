//! How bakes end: successfully, and after each way in which one wait or one action can fail.

use std::time::Duration;

use super::kills::run_until_killed;
use super::support::{Fake, Fault, World, spec};
use crate::bake::journal::JournalEntry;
use crate::bake::ports::{Event, ProviderErrorKind, RunnerState};
use crate::bake::state::DropletRole;
use crate::bake::{BakeState, FailureKind, LimitKind, MarkerKind, OnError, Outcome, RemainingResource, Spec, Stage};

fn failure(outcome: &Outcome) -> (Stage, String, u8) {
    match outcome {
        Outcome::Failed { failure, .. } => (failure.stage, failure.to_string(), outcome.exit_status()),
        other => panic!("should have failed: {other:?}"),
    }
}

#[tokio::test]
async fn a_bake_ends_with_one_snapshot_and_nothing_else() {
    let fake = Fake::new(World::default());
    let outcome = fake.bake(&spec()).await;
    let Outcome::Done(product) = &outcome else { panic!("{outcome:?}") };
    assert!(product.verified);
    assert_eq!(product.snapshot.tags, ["release"], "the bake's tag is off");
    assert_eq!(product.snapshot.regions, ["nyc3", "fra1"]);
    assert_eq!(fake.existing_resources(), [format!("snapshot {}", product.snapshot.id)]);
    assert!(fake.has_event("hello from the droplet"));
    let state = fake.state.lock().unwrap();
    assert_eq!(state.created, 2, "build and verification");
    assert!(state.droplets[&1].tags.contains(&"mkimg:bake:19700101-000000-010203:10000".to_owned()));
}

#[tokio::test]
async fn without_a_channel_powering_off_is_the_marker() {
    let fake = Fake::new(World { crash_after: Some(30), ..World::default() });
    let outcome = fake.bake(&crate::bake::Spec { marker: MarkerKind::Poweroff, ..spec() }).await;
    assert_eq!(outcome.exit_status(), 0, "{outcome:?}");
    assert_eq!(fake.existing_resources().len(), 1);
}

/// What a user sees of a droplet's work: each step once for each of its states, each line of its log once.
#[tokio::test]
async fn steps_and_log_lines_are_shown_once() {
    let fake = Fake::new(World::default());
    assert_eq!(fake.bake(&Spec { verify: false, ..spec() }).await.exit_status(), 0);
    let events = fake.events.lock().unwrap();
    let steps: Vec<&str> = events
        .iter()
        .filter_map(|event| match event {
            Event::Step(step) => Some(step.state.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(steps, ["running", "passed"]);
    let lines =
        |wanted: &str| events.iter().filter(|event| matches!(event, Event::Log { line } if line == wanted)).count();
    assert_eq!(lines("hello from the droplet"), 1);
    assert!(events.iter().any(|event| matches!(event, Event::Checked(check) if check.passed == 8)));
    let stages: Vec<Stage> = events
        .iter()
        .filter_map(|event| match event {
            Event::Stage { stage, .. } => Some(*stage),
            _ => None,
        })
        .collect();
    assert!(stages.is_sorted() && stages.contains(&Stage::PowerOff), "{stages:?}");
}

/// The status channel needs an address.
#[tokio::test]
async fn a_droplet_without_an_address_is_not_ready() {
    let fake = Fake::new(World { address_after: 20, ..World::default() });
    assert_eq!(fake.bake(&spec()).await.exit_status(), 0);
    let fake = Fake::new(World { address_after: 10_000, ..World::default() });
    let (stage, text, exit) = failure(&fake.bake(&spec()).await);
    assert_eq!((stage, exit), (Stage::Boot, 3), "{text}");
    // Without a status channel nobody needs it.
    let world = World { address_after: 10_000, crash_after: Some(30), ..World::default() };
    let fake = Fake::new(world);
    assert_eq!(fake.bake(&Spec { marker: MarkerKind::Poweroff, ..spec() }).await.exit_status(), 0);
}

/// A person may ask for tags that the bake sets anyway; the snapshot keeps all that the template names.
#[tokio::test]
async fn each_resource_gets_its_tags_once() {
    let fake = Fake::new(World::default());
    let mut spec = spec();
    spec.droplet.tags = vec!["mkimg".into(), "mine".into()];
    spec.snapshot.tags = vec!["release".into(), "debian".into()];
    let Outcome::Done(product) = fake.bake(&spec).await else { panic!() };
    assert_eq!(product.snapshot.tags, ["release", "debian"]);
    let state = fake.state.lock().unwrap();
    let own = spec.tag().to_string();
    assert_eq!(state.droplets[&1].tags, ["mkimg", &own, "mine"]);
    let verification = state.droplets.values().last().unwrap();
    assert_eq!(verification.tags, ["mkimg", &own]);
    assert_eq!((state.droplets[&1].name.as_str(), verification.name.as_str()), ("build", "build-verification"));
}

/// The snapshot is requested, and the bake fails before anything shows it. Its droplet is the only way to it.
#[tokio::test]
async fn a_hidden_snapshot_keeps_its_droplet() {
    let happy = Fake::new(World::default());
    assert_eq!(happy.bake(&spec()).await.exit_status(), 0);
    let requests = happy.state.lock().unwrap().requests.clone();
    let asked = requests.iter().position(|request| request.contains("Snapshot(")).unwrap() as u64 + 1;
    // No list of snapshots can be read any more, and the user asks to stop.
    let fake = Fake::new(World { stop_at: Some(asked + 1), permanent_failures_of_lists: true, ..World::default() });
    let outcome = fake.bake(&spec()).await;
    assert_eq!(outcome.exit_status(), 130);
    let existing = fake.existing_resources();
    assert!(existing.contains(&"droplet 1".to_owned()), "the droplet leads to it: {existing:?}");
    let kept = outcome.remaining().iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    assert!(kept.contains("kept, because it leads to a snapshot"), "{kept}");
}

/// A snapshot that no list shows until its droplet is being destroyed is found by the second look.
#[tokio::test]
async fn a_late_snapshot_is_cleaned_up() {
    let happy = Fake::new(World::default());
    assert_eq!(happy.bake(&spec()).await.exit_status(), 0);
    let requests = happy.state.lock().unwrap().requests.clone();
    let asked = requests.iter().position(|request| request.contains("Snapshot(")).unwrap() as u64 + 1;
    for lag in [12, 20, 30, 40] {
        let fake = Fake::new(World { stop_at: Some(asked + 1), lag, ..World::default() });
        let outcome = fake.bake(&spec()).await;
        assert_eq!((outcome.exit_status(), fake.existing_resources()), (130, Vec::new()), "{lag}: {outcome:?}");
    }
}

/// The wait begins with `begins`, an entry of the journal, and lasts `waits` times its limit. The log of a droplet that has
/// answered is saved.
#[tokio::test]
async fn each_wait_has_its_own_limit() {
    let world = World::default;
    let never = |name| World { without_effect: Some((name, usize::MAX)), ..World::default() };
    let stubborn = World { accepts_acknowledgement: false, accepts_shutdown: false, ..never("action PowerOff") };
    let no_log = None;
    for (world, stage, limit, begins, waits, log, exit) in [
        (World { active_after: None, ..world() }, Stage::Boot, LimitKind::Create, "created", 1, no_log, 3),
        (World { marker_answers: false, ..world() }, Stage::Provision, LimitKind::Provision, "active", 1, no_log, 3),
        (World { provision: 10_000, ..world() }, Stage::Provision, LimitKind::Provision, "active", 1, Some("build"), 3),
        // It is waited for by itself, after `shutdown` and after `power_off`.
        (stubborn, Stage::PowerOff, LimitKind::PowerOff, "passed", 3, no_log, 3),
        (never("action Snapshot"), Stage::Snapshot, LimitKind::Snapshot, "snapshot-started", 1, no_log, 4),
        (never("transfer"), Stage::Transfer, LimitKind::Transfer, "transferring", 1, no_log, 4),
        // Both attempts to finish a bake whose snapshot is there.
        (never("delete droplet"), Stage::Destroy, LimitKind::Destroy, "deleting-droplet", 2, no_log, 4),
        (
            World { verification: Some(10_000), ..world() },
            Stage::Verify,
            LimitKind::Verify,
            "verifying",
            1,
            Some("verification"),
            3,
        ),
    ] {
        let mut spec = spec();
        // A limit of a length of its own for each.
        let limits = &mut spec.limits;
        for (number, one) in [&mut limits.create, &mut limits.power_off, &mut limits.snapshot, &mut limits.transfer]
            .into_iter()
            .chain([&mut limits.verify, &mut limits.destroy])
            .enumerate()
        {
            *one = Duration::from_secs(60 + 10 * number as u64);
        }
        let fake = Fake::new(world);
        let outcome = fake.bake(&spec).await;
        let (at, text, status) = failure(&outcome);
        assert_eq!((at, status), (stage, exit), "{text}");
        let Outcome::Failed { failure, .. } = &outcome else { panic!() };
        assert!(matches!(failure.kind, FailureKind::Timeout { kind, .. } if kind == limit), "{limit:?}: {text}");
        let expected = format!("took longer than {}", crate::bake::duration::exact(spec.limits.get(limit)));
        assert!(text.contains(&expected), "{expected}: {text}");
        let name = |entry: &JournalEntry| match entry {
            JournalEntry::Active { role: DropletRole::Verification, .. } => "verifying".to_owned(),
            entry => serde_json::to_value(entry).unwrap()["entry"].as_str().unwrap().to_owned(),
        };
        let began = fake.time_of(|entry| name(entry) == begins).unwrap();
        let ended = fake.time_of(|entry| ["cleaning-up", "halted"].contains(&name(entry).as_str())).unwrap();
        let (took, least) = (ended - began, spec.limits.get(limit).as_secs() * waits);
        assert!((least..=least + 12).contains(&took), "{limit:?}: {took} s, not {least}");
        assert_eq!(failure.log().map(str::to_owned), log.map(|role| format!("state/{role}.log")), "{text}");
        assert_eq!(fake.saved.lock().unwrap().keys().collect::<Vec<_>>().len(), usize::from(log.is_some()), "{text}");
        assert!(exit == 4 || fake.existing_resources().is_empty(), "{text}");
    }
}

/// Who must be asked is asked once, with what there is; Ctrl-C at the question means no.
#[tokio::test]
async fn a_question_has_three_answers() {
    for (keep, exit, kept) in [(Some(true), 4, 1), (Some(false), 3, 0), (None, 3, 0)] {
        let fake = Fake::new(World { keep, final_state: RunnerState::Failed, ..World::default() });
        let outcome = fake.bake(&Spec { on_error: OnError::Ask, ..spec() }).await;
        assert_eq!((outcome.exit_status(), fake.existing_resources().len()), (exit, kept), "{keep:?}: {outcome:?}");
        let asked = "asked: provision: on the droplet, step `check 99-img-check.sh` failed: exit status 1: \
                     droplet 1 (build droplet, kept)";
        let notes = format!("{:?}", fake.events.lock().unwrap());
        assert_eq!(notes.matches("asked: ").count(), 1, "{notes}");
        assert!(notes.contains(asked), "{notes}");
    }
    // Nobody is asked about nothing, or after Ctrl-C.
    let refused = Some(("create".to_owned(), 1, Fault::Before(ProviderErrorKind::Refused)));
    for world in
        [World { permanent_failure: refused, ..World::default() }, World { stop_at: Some(12), ..World::default() }]
    {
        let fake = Fake::new(World { keep: Some(true), ..world });
        fake.bake(&Spec { on_error: OnError::Ask, ..spec() }).await;
        assert!(!fake.has_event("asked: ") && fake.existing_resources().is_empty());
    }
}

/// The droplet is told that its result was received. Otherwise it waits for an hour, until it is asked to shut down.
#[tokio::test]
async fn a_bake_without_faults_warns_of_nothing() {
    for marker in [MarkerKind::Https, MarkerKind::Poweroff] {
        let fake = Fake::new(World { crash_after: Some(30), ..World::default() });
        assert_eq!(fake.bake(&Spec { marker, verify: false, ..spec() }).await.exit_status(), 0);
        assert_eq!(fake.warnings(), [""; 0], "{marker:?}");
        assert_eq!(fake.count_requests("action Shutdown") + fake.count_requests("action PowerOff"), 0, "{marker:?}");
    }
}

/// What the bake reports about the status channel, the steps aside.
#[tokio::test]
async fn each_answer_of_the_status_channel_is_shown() {
    let bake = async |world| {
        let fake = Fake::new(world);
        assert_eq!(fake.bake(&Spec { verify: false, ..spec() }).await.exit_status(), 0);
        fake
    };
    // Another server's answers are ignored, and named once.
    let fake = bake(World { wrong_answers: 3, ..World::default() }).await;
    let warnings = fake.warnings();
    assert!(
        warnings.len() == 1 && warnings[0].ends_with("another certificate; ignoring it and asking again"),
        "{warnings:?}"
    );
    // The image is complete, and its check still runs.
    for (complete, times) in [(0, 0), (10, 1)] {
        let fake = bake(World { complete, ..World::default() }).await;
        let events = fake.events.lock().unwrap();
        assert_eq!(events.iter().filter(|event| matches!(event, Event::Complete)).count(), times, "{complete}");
    }
    // Each line of the log, also the last one without its end, and no blank one at the end.
    for (log, lines) in
        [("one\n\ntwo", vec!["one", "", "two"]), ("one\n  ", vec!["one"]), ("\u{1b}[31mred\n", vec!["red"])]
    {
        let fake = bake(World { log, ..World::default() }).await;
        let events = fake.events.lock().unwrap();
        let line = |event: &Event| match event {
            Event::Log { line } => Some(line.clone()),
            _ => None,
        };
        assert_eq!(events.iter().filter_map(line).collect::<Vec<_>>(), lines, "{log:?}");
    }
    // A droplet that does not take the acknowledgement is asked to shut down.
    let fake = bake(World { acknowledgement_fails: true, ..World::default() }).await;
    assert!(fake.has_event("did not take the acknowledgement; it may be off already"));
    assert_eq!(fake.warnings(), ["the droplet did not power off by itself: asking it to shut down"]);
}

/// What helps when a request to switch the droplet off is refused.
#[tokio::test]
async fn a_refused_shutdown_is_followed_by_switching_off() {
    use ProviderErrorKind as Kind;
    let stays_on = World { accepts_acknowledgement: false, ..World::default() };
    for (request, kind, exit, switched_off) in [
        ("action Shutdown", Kind::Refused, 0, true),
        ("action Shutdown", Kind::Unanswered, 0, true),
        ("action Shutdown", Kind::Pending, 0, true),
        ("action PowerOff", Kind::Refused, 3, false),
    ] {
        let permanent_failure = Some((request.to_owned(), 1, Fault::Before(kind)));
        let fake = Fake::new(World { accepts_shutdown: false, permanent_failure, ..stays_on.clone() });
        let outcome = fake.bake(&Spec { verify: false, ..spec() }).await;
        assert_eq!(outcome.exit_status(), exit, "{request} {kind:?}: {outcome:?}");
        assert_eq!(fake.count_requests("action PowerOff"), 1, "{request} {kind:?}");
        assert_eq!(fake.warnings().iter().any(|text| text.contains("as told")), switched_off, "{:?}", fake.warnings());
        if exit == 3 {
            assert_eq!(failure(&outcome).0, Stage::PowerOff, "{outcome:?}");
        }
    }
    // Refused, because it is off by then.
    let permanent_failure = Some(("action Shutdown".to_owned(), 1, Fault::Before(Kind::Refused)));
    let fake = Fake::new(World { crash_after: Some(50), permanent_failure, ..stays_on });
    assert_eq!(fake.bake(&Spec { verify: false, ..spec() }).await.exit_status(), 0);
    assert_eq!(fake.count_requests("action PowerOff"), 0);
}

/// The commit looks at the tags of the template, and sets again what is missing.
#[tokio::test]
async fn a_snapshot_without_its_tags_is_not_committed() {
    for (ignored, exit) in [(1, 0), (3, 0), (usize::MAX, 3)] {
        let fake = Fake::new(World { ignored_tag: Some(("release", ignored)), ..World::default() });
        let outcome = fake.bake(&spec()).await;
        assert_eq!(outcome.exit_status(), exit, "{ignored}: {outcome:?}");
        match &outcome {
            Outcome::Done(product) => assert_eq!(product.snapshot.tags, ["release"]),
            other => {
                let (stage, text, _) = failure(other);
                assert_eq!(stage, Stage::Commit);
                assert!(text.ends_with("does not take the tag release"), "{text}");
                assert_eq!(fake.existing_resources(), [""; 0]);
            }
        }
    }
}

/// A verification droplet that may exist is named by its tag, and the finished snapshot stays.
#[tokio::test]
async fn an_unknown_droplet_of_a_suspended_bake_is_named() {
    let happy = Fake::new(World::default());
    assert_eq!(happy.bake(&spec()).await.exit_status(), 0);
    let requests = happy.state.lock().unwrap().requests.clone();
    let second = requests.iter().rposition(|request| request == "create").unwrap() as u64 + 1;
    let faults = [(second, Fault::After)].into();
    let fake = Fake::new(World { faults, outage: Some((second + 1, u64::MAX / 2)), ..World::default() });
    let outcome = fake.bake(&spec()).await;
    assert!(outcome.is_resumable(), "{outcome:?}");
    let named: Vec<String> = outcome.remaining().iter().map(RemainingResource::name).collect();
    assert_eq!(named, [fake.existing_resources()[1].clone(), format!("possibly something tagged {}", spec().tag())]);
}

/// A droplet that an event still holds has not finished booting.
#[tokio::test]
async fn a_locked_droplet_that_is_off_has_not_booted() {
    let fake = Fake::new(World { active_after: Some(0), crash_after: Some(0), ..World::default() });
    assert_eq!(fake.bake(&Spec { marker: MarkerKind::Poweroff, ..spec() }).await.exit_status(), 0);
    let time = |wanted| {
        fake.time_of(|entry| {
            matches!((entry, wanted), (JournalEntry::Created { .. }, 0) | (JournalEntry::Active { .. }, 1))
        })
    };
    assert!(time(1).unwrap() >= time(0).unwrap() + 3, "{:?}", fake.journal.lock().unwrap());
}

/// What a request should have done is looked at, and the request is sent again.
#[tokio::test]
async fn requests_without_an_effect_are_repeated() {
    for (name, lost) in [("untag", 1), ("untag", 3), ("delete droplet", 1), ("action PowerOff", 0)] {
        let fake = Fake::new(World { without_effect: Some((name, lost)), ..World::default() });
        let outcome = fake.bake(&spec()).await;
        let Outcome::Done(product) = &outcome else { panic!("{name}: {outcome:?}") };
        assert_eq!(product.snapshot.tags, ["release"], "{name}");
        assert_eq!(fake.existing_resources(), [format!("snapshot {}", product.snapshot.id)], "{name}");
        assert!(fake.count_requests(name) >= lost, "{name}");
    }
}

#[tokio::test]
async fn a_guest_that_ignores_everything_is_switched_off() {
    let fake = Fake::new(World { accepts_acknowledgement: false, accepts_shutdown: false, ..World::default() });
    let outcome = fake.bake(&spec()).await;
    assert_eq!(outcome.exit_status(), 0, "{outcome:?}");
    assert!(fake.has_event("switching the droplet off"));
    // Where the shutdown ends with `errored`, nothing is waited for.
    let world =
        World { accepts_acknowledgement: false, accepts_shutdown: false, shutdown_errors: true, ..World::default() };
    let errored = Fake::new(world);
    assert_eq!(errored.bake(&spec()).await.exit_status(), 0);
    assert!(errored.seconds() + spec().limits.power_off.as_secs() / 2 < fake.seconds(), "{}", errored.seconds());
}

#[tokio::test]
async fn an_errored_action_is_seen_at_once() {
    for (world, stage) in [
        (World { creation_errors: true, active_after: None, ..World::default() }, Stage::Boot),
        (World { snapshot_errors: true, ..World::default() }, Stage::Snapshot),
    ] {
        let fake = Fake::new(world);
        let outcome = fake.bake(&spec()).await;
        let (at, text, exit) = failure(&outcome);
        assert_eq!((at, exit), (stage, 3));
        assert!(text.contains("`errored`"), "{text}");
        assert!(fake.seconds() < 90, "not at the limit: {}", fake.seconds());
        assert_eq!(fake.existing_resources(), [""; 0]);
    }
}

/// A transfer that fails is tried again; then the snapshot stays, without a droplet, and `resume` goes on.
#[tokio::test]
async fn a_finished_snapshot_stays_if_a_transfer_fails() {
    let refused = Some(("transfer".into(), 1, Fault::Before(ProviderErrorKind::Refused)));
    for (world, reason, requests) in [
        (World { transfer_errors: true, ..World::default() }, "(transfer to fra1) ended with `errored`", 2),
        (World { transfers_vanish: true, ..World::default() }, "the transfer to fra1", 2),
        (World { permanent_failure: refused, ..World::default() }, "as told", 2),
    ] {
        let mut fake = Fake::new(world);
        let mut spec = spec_for_regions(&["fra1"]);
        spec.limits.transfer = Duration::from_secs(1_800);
        let outcome = fake.bake(&spec).await;
        let (at, text, exit) = failure(&outcome);
        assert_eq!((at, exit, outcome.is_resumable()), (Stage::Transfer, 4, true), "{text}");
        assert!(text.contains(reason), "{text}");
        assert_eq!(fake.count_requests("transfer"), requests, "{text}");
        assert_eq!(fake.existing_resources().len(), 1, "the snapshot alone: {:?}", fake.existing_resources());
        assert!(matches!(outcome.remaining(), [RemainingResource::Snapshot { .. }]), "{outcome:?}");
        (fake.world.transfer_errors, fake.world.transfers_vanish, fake.world.permanent_failure) = (false, false, None);
        let state = BakeState::replay(fake.journal.lock().unwrap().iter());
        let Outcome::Done(product) = fake.resume(&spec, state).await else { panic!("{text}") };
        assert_eq!(sorted(&product.snapshot.regions), ["fra1", "nyc3"], "{text}");
        assert_eq!(fake.existing_resources().len(), 1);
    }
}

#[tokio::test]
async fn a_failed_check_is_shown_with_its_log() {
    let fake = Fake::new(World { final_state: RunnerState::Failed, ..World::default() });
    let outcome = fake.bake(&spec()).await;
    assert_eq!(outcome.exit_status(), 3);
    let Outcome::Failed { failure, .. } = &outcome else { panic!() };
    let FailureKind::Runner(runner) = &failure.kind else { panic!("{failure}") };
    assert_eq!(runner.error.tail, "[FAIL] ufw");
    assert_eq!(runner.log.as_deref(), Some("state/build.log"));
    assert_eq!(fake.saved.lock().unwrap()["build.log"], b"the whole log");
    assert_eq!(fake.existing_resources(), [""; 0]);
}

#[tokio::test]
async fn a_droplet_that_crashes_is_not_taken_for_finished() {
    let fake = Fake::new(World { crash_after: Some(10), provision: 100, ..World::default() });
    let (stage, text, exit) = failure(&fake.bake(&spec()).await);
    assert_eq!((stage, exit), (Stage::Provision, 3));
    assert!(text.contains("powered off by itself during step `script 01 of debian-12-x64`"), "{text}");
}

#[tokio::test]
async fn on_error_keep_keeps_and_names_resources() {
    let fake = Fake::new(World { final_state: RunnerState::Failed, ..World::default() });
    let outcome = fake.bake(&crate::bake::Spec { on_error: OnError::Keep, ..spec() }).await;
    assert_eq!(outcome.exit_status(), 4);
    assert!(matches!(outcome.remaining(), [RemainingResource::Droplet { id: 1, .. }]), "{outcome:?}");
    assert_eq!(fake.existing_resources(), ["droplet 1"]);
}

/// A droplet is kept to look into its failure; whoever presses Ctrl-C wants no bake.
#[tokio::test]
async fn on_error_keep_does_not_keep_what_is_interrupted() {
    let fake = Fake::new(World { stop_at: Some(12), ..World::default() });
    let outcome = fake.bake(&Spec { on_error: OnError::Keep, ..spec() }).await;
    assert_eq!((outcome.exit_status(), fake.existing_resources().len()), (130, 0), "{outcome:?}");
}

/// One lookup that does not find a resource proves nothing.
#[tokio::test]
async fn one_404_does_not_end_a_wait() {
    let happy = Fake::new(World::default());
    assert_eq!(happy.bake(&spec()).await.exit_status(), 0);
    let requests = happy.state.lock().unwrap().requests.clone();
    for lookup in ["droplet", "action", "snapshot"] {
        let at = requests.iter().position(|request| request == lookup).unwrap() as u64 + 1;
        let faults = [(at, Fault::Before(ProviderErrorKind::NotFound))].into();
        let fake = Fake::new(World { faults, ..World::default() });
        assert_eq!(fake.bake(&spec()).await.exit_status(), 0, "{lookup}");
    }
}

#[tokio::test]
async fn a_full_disk_stops_the_bake_and_leaves_nothing() {
    for full in 0..24 {
        let fake = Fake::new(World { journal_full_after: Some(full), ..World::default() });
        let outcome = fake.bake(&spec()).await;
        match outcome.exit_status() {
            0 => assert_eq!(fake.existing_resources().len(), 1),
            3 => assert_eq!(fake.existing_resources(), [""; 0], "{full}"),
            other => panic!("{full}: {other}: {outcome:?}"),
        }
    }
}

#[tokio::test]
async fn lists_that_lag_do_no_harm() {
    let fake = Fake::new(World { lag: 5, ..World::default() });
    let outcome = fake.bake(&spec()).await;
    assert_eq!(outcome.exit_status(), 0, "{outcome:?}");
    assert_eq!(fake.existing_resources().len(), 1);
}

fn spec_for_regions(regions: &[&str]) -> Spec {
    let mut spec = spec();
    spec.snapshot.regions = regions.iter().map(|&region| region.to_owned()).collect();
    spec.verify = false;
    spec
}

/// How the bake ends, how often a transfer is requested, and how many seconds the bake takes.
async fn transfer(world: World, spec: &Spec) -> (Outcome, usize, u64) {
    let fake = Fake::new(world);
    let outcome = fake.bake(spec).await;
    let events = fake.events.lock().unwrap();
    assert!(events.iter().any(|event| matches!(event, Event::Stage { stage: Stage::Transfer, .. })));
    let requests = fake.state.lock().unwrap();
    let transfers = requests.requests.iter().filter(|request| *request == "transfer").count();
    (outcome, transfers, fake.seconds())
}

#[tokio::test]
async fn regions_are_reached_at_the_same_time() {
    let regions = ["fra1", "ams3", "sgp1"];
    let (outcome, asked, together) = transfer(World::default(), &spec_for_regions(&regions)).await;
    let Outcome::Done(product) = outcome else { panic!("{outcome:?}") };
    assert_eq!(sorted(&product.snapshot.regions), ["ams3", "fra1", "nyc3", "sgp1"]);
    assert_eq!(asked, 3, "each is requested once");
    let (outcome, asked, one_by_one) =
        transfer(World { one_transfer_at_a_time: true, ..World::default() }, &spec_for_regions(&regions)).await;
    assert_eq!(outcome.exit_status(), 0, "{outcome:?}");
    assert!(asked > 3, "what is held up is asked for again");
    assert!(one_by_one > together + 7, "{one_by_one} {together}");
    // Each takes five seconds. The limit counts from the last request.
    let mut short = spec_for_regions(&regions);
    short.limits.transfer = Duration::from_secs(9);
    let (outcome, ..) = transfer(World { one_transfer_at_a_time: true, ..World::default() }, &short).await;
    assert_eq!(outcome.exit_status(), 0, "{outcome:?}");
}

#[tokio::test]
async fn transfers_need_not_be_waited_for() {
    let mut spec = spec_for_regions(&["fra1", "ams3"]);
    spec.snapshot.await_transfers = false;
    // The transfers fail later, after the bake has stopped checking them.
    let (outcome, asked, _) = transfer(World { transfer_errors: true, ..World::default() }, &spec).await;
    let Outcome::Done(product) = outcome else { panic!("{outcome:?}") };
    assert_eq!((product.snapshot.regions, asked), (vec!["nyc3".to_owned()], 2));
    // The bake waits until each of them is accepted.
    let (outcome, asked, _) = transfer(World { one_transfer_at_a_time: true, ..World::default() }, &spec).await;
    assert_eq!(outcome.exit_status(), 0, "{outcome:?}");
    assert!(asked > 2, "the second one was refused at first: {asked}");
}

#[tokio::test]
async fn a_completed_transfer_that_does_not_arrive_is_given_up() {
    let mut spec = spec_for_regions(&["fra1"]);
    spec.limits.transfer = Duration::from_secs(1_800);
    let (outcome, _, seconds) = transfer(World { transfers_vanish: true, ..World::default() }, &spec).await;
    let (stage, text, exit) = failure(&outcome);
    assert_eq!((stage, exit), (Stage::Transfer, 4), "{text}");
    assert!(text.contains("was completed 2m ago") && seconds < 900, "{seconds}: {text}");
}

fn sorted(regions: &[String]) -> Vec<&str> {
    let mut regions: Vec<&str> = regions.iter().map(String::as_str).collect();
    regions.sort_unstable();
    regions
}

#[tokio::test]
async fn the_droplets_own_region_and_repeated_ones_are_not_requested() {
    let (outcome, requested, _) =
        transfer(World::default(), &spec_for_regions(&["fra1", "nyc3", "fra1", "ams3"])).await;
    let Outcome::Done(product) = outcome else { panic!("{outcome:?}") };
    assert_eq!((sorted(&product.snapshot.regions), requested), (vec!["ams3", "fra1", "nyc3"], 2));
}

/// Where a bake is said to be after each entry of its journal (`mkimg bakes`, `mkimg resume`).
#[tokio::test]
async fn each_entry_of_the_journal_has_its_stage() {
    let fake = Fake::new(World::default());
    assert_eq!(fake.bake(&spec()).await.exit_status(), 0);
    let mut state = BakeState::default();
    let mut stages = Vec::new();
    for entry in fake.journal.lock().unwrap().iter() {
        state.apply(entry);
        stages.push(format!("{} {}", serde_json::to_value(entry).unwrap()["entry"].as_str().unwrap(), state.stage()));
    }
    let expected = [
        "creating create", "created boot", "active provision", "passed power off", "off snapshot",
        "snapshotting snapshot", "snapshot-started snapshot", "snapshot tag", "tagging tag", "tagging tag",
        "tagged transfer", "transferring transfer", "transferred transfer", "whole destroy",
        "deleting-droplet destroy", "droplet-gone verify", "creating verify", "created verify", "active verify",
        "passed verify", "deleting-droplet verify", "droplet-gone commit", "committing commit", "committed commit",
        "ended commit",
    ];
    assert_eq!(stages, expected);
    assert_eq!((state.exit_status(), state.clean_up_reason(), state.remaining()), (Some(0), None, &[][..]));
    // A clean-up has its own stage, and keeps its reason.
    let fake = Fake::new(World::failing_after_snapshot());
    assert_eq!(fake.bake(&spec()).await.exit_status(), 3);
    let state = BakeState::replay(fake.journal.lock().unwrap().iter());
    assert_eq!((state.stage(), state.exit_status()), (Stage::CleanUp, Some(3)));
    assert!(state.clean_up_reason().unwrap().starts_with("tag: "), "{state:?}");
    assert!(state.build.is_gone() && state.snapshot.present_id().is_none() && state.snapshot.id().is_some());
    assert_eq!((state.possible_droplets, state.check.map(|check| check.passed)), (0, Some(8)));
}

/// The journal names each region, and a resumed bake requests only the regions that are missing.
#[tokio::test]
async fn a_resumed_bake_requests_only_the_missing_regions() {
    let spec = spec_for_regions(&["fra1", "ams3", "sgp1"]);
    let full = Fake::new(World::default());
    assert_eq!(full.bake(&spec).await.exit_status(), 0);
    let journal = full.journal.lock().unwrap().clone();
    let mut transferred: Vec<&str> = journal
        .iter()
        .filter_map(|entry| match entry {
            JournalEntry::Transferred { region } => Some(region.as_str()),
            _ => None,
        })
        .collect();
    transferred.sort_unstable();
    assert_eq!(transferred, ["ams3", "fra1", "sgp1"]);
    // Killed before its first transfer.
    let first =
        full.state.lock().unwrap().requests.iter().position(|request| request == "transfer").unwrap() as u64 + 1;
    let fake = Fake::new(World { killed_at: Some((first, false)), ..World::default() });
    assert_eq!(run_until_killed(&fake, &spec).await, None);
    let mut state = BakeState::replay(fake.journal.lock().unwrap().iter());
    state.apply(&JournalEntry::Transferred { region: "fra1".into() });
    let before = fake.count_requests("transfer");
    let outcome = fake.resume(&spec, state).await;
    // The journal says that `fra1` is done, but it is not: the commit checks every region.
    assert_eq!(fake.count_requests("transfer") - before, 2, "{outcome:?}");
    assert_eq!(outcome.exit_status(), 3, "{outcome:?}");
    let Outcome::Failed { failure, .. } = &outcome else { panic!() };
    assert!(failure.to_string().contains("is not in fra1 any more"), "{failure}");
}
