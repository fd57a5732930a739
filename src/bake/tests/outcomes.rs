//! How bakes end: well, and in each of the ways in which one wait or one action fails.

use super::fake::{Fake, World, spec};
use crate::bake::ports::RunnerState;
use crate::bake::{FailureKind, Left, MarkerKind, OnError, Outcome, Stage};

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
    assert_eq!(fake.there(), [format!("snapshot {}", product.snapshot.id)]);
    assert!(fake.said("hello from the droplet"));
    let state = fake.state.lock().unwrap();
    assert_eq!(state.created, 2, "build and verification");
    assert!(state.droplets[&1].tags.contains(&"mkimg:bake:19700101-000000-010203:10000".to_owned()));
}

#[tokio::test]
async fn without_a_channel_powering_off_is_the_marker() {
    let fake = Fake::new(World { crash_after: Some(30), ..World::default() });
    let outcome = fake.bake(&crate::bake::Spec { marker: MarkerKind::Poweroff, ..spec() }).await;
    assert_eq!(outcome.exit_status(), 0, "{outcome:?}");
    assert_eq!(fake.there().len(), 1);
}

#[tokio::test]
async fn each_wait_has_its_limit_and_names_its_option() {
    let cases = [
        (World { active_after: None, ..World::default() }, Stage::Boot, "--timeout-create"),
        (World { marker_answers: false, ..World::default() }, Stage::Provision, "--timeout-provision"),
        (World { provision: 10_000, ..World::default() }, Stage::Provision, "--timeout-provision"),
    ];
    for (world, stage, option) in cases {
        let fake = Fake::new(world);
        let outcome = fake.bake(&spec()).await;
        let (at, text, exit) = failure(&outcome);
        assert_eq!((at, exit), (stage, 3), "{text}");
        let Outcome::Failed { failure, .. } = &outcome else { panic!() };
        assert!(failure.advice().unwrap().contains(option), "{text}");
        assert_eq!(fake.there(), [""; 0], "{text}");
    }
}

#[tokio::test]
async fn a_guest_that_ignores_everything_is_switched_off() {
    let fake = Fake::new(World { heeds_acknowledgement: false, heeds_shutdown: false, ..World::default() });
    let outcome = fake.bake(&spec()).await;
    assert_eq!(outcome.exit_status(), 0, "{outcome:?}");
    assert!(fake.said("switching the droplet off"));
}

#[tokio::test]
async fn an_errored_action_is_seen_at_once() {
    for (world, stage) in [
        (World { snapshot_errors: true, ..World::default() }, Stage::Snapshot),
        (World { transfer_errors: true, ..World::default() }, Stage::Transfer),
    ] {
        let fake = Fake::new(world);
        let outcome = fake.bake(&spec()).await;
        let (at, text, exit) = failure(&outcome);
        assert_eq!((at, exit), (stage, 3));
        assert!(text.contains("`errored`"), "{text}");
        assert!(fake.seconds() < 90, "not at the limit: {}", fake.seconds());
        assert_eq!(fake.there(), [""; 0]);
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
    assert_eq!(fake.there(), [""; 0]);
}

#[tokio::test]
async fn a_droplet_that_crashes_is_not_taken_for_finished() {
    let fake = Fake::new(World { crash_after: Some(10), provision: 100, ..World::default() });
    let (stage, text, exit) = failure(&fake.bake(&spec()).await);
    assert_eq!((stage, exit), (Stage::Provision, 3));
    assert!(text.contains("went off by itself during step `script 01 of debian-12-x64`"), "{text}");
}

#[tokio::test]
async fn keep_keeps_and_says_what() {
    let fake = Fake::new(World { final_state: RunnerState::Failed, ..World::default() });
    let outcome = fake.bake(&crate::bake::Spec { on_error: OnError::Keep, ..spec() }).await;
    assert_eq!(outcome.exit_status(), 4);
    assert!(matches!(outcome.left(), [Left::Droplet { id: 1, .. }]), "{outcome:?}");
    assert_eq!(fake.there(), ["droplet 1"]);
}

#[tokio::test]
async fn a_full_disk_stops_the_bake_and_leaves_nothing() {
    for full in 0..24 {
        let fake = Fake::new(World { journal_full_after: Some(full), ..World::default() });
        let outcome = fake.bake(&spec()).await;
        match outcome.exit_status() {
            0 => assert_eq!(fake.there().len(), 1),
            3 => assert_eq!(fake.there(), [""; 0], "{full}"),
            other => panic!("{full}: {other}: {outcome:?}"),
        }
    }
}

#[tokio::test]
async fn lists_that_lag_do_no_harm() {
    let fake = Fake::new(World { lag: 5, ..World::default() });
    let outcome = fake.bake(&spec()).await;
    assert_eq!(outcome.exit_status(), 0, "{outcome:?}");
    assert_eq!(fake.there().len(), 1);
}
