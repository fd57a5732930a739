//! A snapshot's way to several regions: at the same time where the provider lets it, one after the other where it does not.

use super::fake::{Fake, World, spec};
use crate::bake::ports::Event;
use crate::bake::{Outcome, Spec, Stage};

fn to(regions: &[&str]) -> Spec {
    let mut spec = spec();
    spec.snapshot.regions = regions.iter().map(|&region| region.to_owned()).collect();
    spec.verify = false;
    spec
}

/// How it ends, how often a transfer is asked for, and how many seconds the bake takes.
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
    let (outcome, asked, together) = transfer(World::default(), &to(&regions)).await;
    let Outcome::Done(product) = outcome else { panic!("{outcome:?}") };
    assert_eq!(product.snapshot.regions.len(), 4);
    assert_eq!(asked, 3, "each is asked for once");
    let (outcome, asked, one_by_one) =
        transfer(World { one_transfer_at_a_time: true, ..World::default() }, &to(&regions)).await;
    assert_eq!(outcome.exit_status(), 0, "{outcome:?}");
    assert!(asked > 3, "what is held up is asked for again");
    assert!(one_by_one > together + 7, "{one_by_one} {together}");
}

#[tokio::test]
async fn transfers_need_not_be_waited_for() {
    let mut spec = to(&["fra1", "ams3"]);
    spec.snapshot.await_transfers = false;
    // They fail later, which nobody looks at.
    let (outcome, asked, _) = transfer(World { transfer_errors: true, ..World::default() }, &spec).await;
    let Outcome::Done(product) = outcome else { panic!("{outcome:?}") };
    assert_eq!((product.snapshot.regions, asked), (vec!["nyc3".to_owned()], 2));
}
